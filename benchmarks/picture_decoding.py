"""Pictures a second that threads and processes prepare for a captioner.

    python benchmarks/picture_decoding.py [--pictures 2000] [--workers 2] [--rounds 3]

Drawn JPEGs are opened, turned upright and made what a model takes: pixels of InstructBLIP's image
processor (224 x 224), or the data URL that a server is sent. Threads and processes take turns on
the same files; wall time says how fast, processor time inside the work what it costs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from picture_scenes import draw_scenes
from PIL import Image

from genfilt.common.photos import open_photo
from genfilt.generators.llm.served import data_url

SIDE = 1000  # pixels of a shop's photo
AHEAD = 8  # pictures under way beyond those that are awaited


@cache
def _processor() -> Any:
    import torch
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    torch.set_num_threads(1)
    return BlipImageProcessorPil(size={"height": 224, "width": 224})


def pixels(path: Path) -> object:
    """Return a picture as InstructBLIP takes it, (3, 224, 224)."""
    return _processor()(open_photo(path), return_tensors="pt")["pixel_values"][0].numpy()


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Write photos of which no two are equal."""
    scenes = draw_scenes(10, seed=5)
    found = []
    for number in range(count):
        picture = scenes[number % len(scenes)].picture
        picture = picture.resize((SIDE, SIDE - number % 97), Image.Resampling.BILINEAR)
        found.append(folder / f"{number}.jpg")
        picture.save(found[-1], quality=88)
    return found


@contextmanager
def pool(kind: str, workers: int) -> Iterator[Executor]:
    """Open threads or processes, warmed up."""
    if kind == "threads":
        with ThreadPoolExecutor(workers) as threads:
            yield threads
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as processes:
            yield processes


def timed(work: Callable[[Path], object], path: Path) -> tuple[object, float]:
    """Return what was made and the processor time that it took."""
    started = time.thread_time()
    return work(path), time.thread_time() - started


def rate(kind: str, work: Callable[[Path], object], files: list[Path], workers: int) -> list[float]:
    """Return pictures a second and milliseconds of processor time a picture."""
    made, spent = partial(timed, work), 0.0
    with pool(kind, workers) as executor:
        list(executor.map(made, files[: 8 * workers]))  # what processes import is not counted
        started = time.perf_counter()
        waiting = deque(executor.submit(made, path) for path in files[: workers + AHEAD])
        rest = iter(files[workers + AHEAD :])
        while waiting:
            spent += waiting.popleft().result()[1]
            waiting.extend(executor.submit(made, path) for path in islice(rest, 1))
        wall = time.perf_counter() - started
    return [len(files) / wall, 1000 * spent / len(files)]


def main() -> None:
    """Print the medians of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    works = {"InstructBLIP's pixels": pixels, "data URL of a server": data_url}
    with tempfile.TemporaryDirectory() as folder:
        files = write_pictures(Path(folder), options.pictures)
        print("| | pictures/s | ms of processor time a picture |\n|---|---|---|")
        for name, work in works.items():
            found: dict[str, list[list[float]]] = {"threads": [], "processes": []}
            for _ in range(options.rounds):
                for kind, rounds in found.items():
                    rounds.append(rate(kind, work, files, options.workers))
            for kind, rounds in found.items():
                wall, spent = (statistics.median(each) for each in zip(*rounds, strict=True))
                row = f"| {name}, {options.workers} {kind} | {wall:.0f} | {spent:.1f} |"
                print(row, flush=True)


if __name__ == "__main__":
    main()
