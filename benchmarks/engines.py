"""One worker against two: captions, embedding and join on Ray, beside plain processes.

    python benchmarks/engines.py

Each worker has one thread and a core of its own, and starts when all have opened their work; wall
time runs from the first's start to the last's end, processor seconds are the workers'. Two plain
processes on the same cores, with half of the chunks each, show what the machine itself allows. The
ceiling of the engine is a simulation: its workers sleep.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from genfilt.engines.choice import EngineChoice, EngineName, open_engine
from genfilt.engines.protocol import BATCH, Engine, Lost, Work

CHUNKS = 24
PICTURES, TEXTS, ROWS, WIDTH = 8, 128, 16_384, 384  # of a chunk
SLEEP, SLEEPERS, BATCHES = 0.02, (1, 2, 4, 8, 16, 32), 50
Chunk = Callable[[int], object]


@dataclass(frozen=True)
class Span:
    """When a chunk was computed (Unix time), and its processor seconds."""

    start: float
    end: float
    cpu: float


@dataclass(frozen=True)
class Opener:
    """Opens a task in one of several workers, on a core of its own, when all are ready.

    Attributes:
        task: captions, embedding or join.
        folder: of the pictures and of the workers' marks.
        run: the run's name among the marks.
        workers: how many there are.
    """

    task: str
    folder: Path
    run: str
    workers: int

    @contextmanager
    def __call__(self) -> Iterator[Work[int, Span]]:
        """Open the task."""
        import torch

        number = take_number(self.folder, self.run, self.workers)
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})
        torch.set_num_threads(1)
        compute = TASKS[self.task](self.folder)
        compute(0)  # compiles and loads
        meet(self.folder, self.run, self.workers)

        def work(chunks: Mapping[str, int]) -> Iterator[tuple[str, Span]]:
            for key, chunk in chunks.items():
                start, before = time.time(), time.process_time()
                compute(chunk)
                yield key, Span(start, time.time(), time.process_time() - before)

        yield work


def take_number(folder: Path, run: str, workers: int) -> int:
    """Return a number that no other worker of the run has."""
    for number in range(workers):
        try:
            (folder / f"{run}-{number}").touch(exist_ok=False)
            return number
        except FileExistsError:
            continue
    raise RuntimeError("more workers than there are places")


def meet(folder: Path, run: str, workers: int) -> None:
    """Wait until all workers of the run are here."""
    (folder / f"{run}-ready-{os.getpid()}").touch()
    while len(list(folder.glob(f"{run}-ready-*"))) < workers:
        time.sleep(0.01)


def captions(folder: Path) -> Chunk:
    """Return the embedded captioner on pictures of the shop."""
    from genfilt.generators.neighbours.neighbours import Neighbours
    from genfilt.generators.protocols import Caption

    pictures = sorted((folder / "shop").rglob("*.jpg")) or sorted((folder / "shop").rglob("*.png"))
    state = (folder / "neighbours").read_bytes()
    captioner = Neighbours.from_state(state)

    def compute(chunk: int) -> None:
        start = chunk * PICTURES
        chosen = {str(n): pictures[n % len(pictures)] for n in range(start, start + PICTURES)}
        assert all(isinstance(found, Caption) for _, found in captioner.describe(chosen))

    return compute


def embedding(folder: Path) -> Chunk:
    """Return the default embedder on short texts."""
    from genfilt.features.embed import Embedder

    embedder = Embedder()

    def compute(chunk: int) -> None:
        words = ("red", "navy", "cotton", "steel", "hoodie", "kettle", "mug", "backpack")
        texts = [
            " ".join(words[(n >> shift) % 8] for shift in range(0, 9, 3)) + f" {n}"
            for n in range(chunk * TEXTS, (chunk + 1) * TEXTS)
        ]
        assert embedder.encode(texts).shape == (TEXTS, WIDTH)

    return compute


def join(folder: Path) -> Chunk:
    """Return the join of one block, the same for each chunk."""
    import numpy as np

    from genfilt.join.threshold_join import threshold_join

    def side(seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        centres = np.random.default_rng(0).standard_normal((64, WIDTH))
        made = centres[random.integers(0, 64, ROWS)] + random.standard_normal((ROWS, WIDTH))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    left, right = side(1), side(2)

    def compute(chunk: int) -> None:
        pairs = sum(len(a) for a, _, _ in threshold_join(left, right, 0.62, device="cpu"))
        assert pairs < ROWS * ROWS // 100, "a filter's pairs are rare"

    return compute


TASKS: dict[str, Callable[[Path], Chunk]] = {
    "captions": captions,
    "embedding": embedding,
    "join": join,
}


def plain_part(opener: Opener, chunks: list[int], out: Path) -> None:
    """Compute chunks in a process of their own and write its spans."""
    with opener() as work:
        spans = [span for _, span in work({str(chunk): chunk for chunk in chunks})]
    out.write_text("\n".join(f"{s.start} {s.end} {s.cpu}" for s in spans))


def plain(opener: Opener) -> list[Span]:
    """Run the task in plain processes with equal shares of the chunks."""
    outs = [opener.folder / f"{opener.run}-out-{number}" for number in range(opener.workers)]
    started = [
        get_context("spawn").Process(
            target=plain_part, args=(opener, list(range(CHUNKS))[number :: opener.workers], out)
        )
        for number, out in enumerate(outs)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0
    lines = [line for out in outs for line in out.read_text().splitlines()]
    return [Span(*map(float, line.split())) for line in lines]


def on_ray(opener: Opener) -> list[Span]:
    """Run the task on a Ray of as many workers."""
    with open_engine(EngineChoice(EngineName.ray, "local", opener.workers)) as engine:
        spans = []
        for _, span in engine.map(opener, ((str(n), n) for n in range(CHUNKS)), batch=1):
            assert not isinstance(span, Lost)
            spans.append(span)
    return spans


def compare(folder: Path, tasks: Sequence[str]) -> Iterator[str]:
    """Yield the rows of the table of tasks."""
    for task in tasks:
        for name, runner in (("plain processes", plain), ("Ray", on_ray)):
            walls, cpus = [], []
            for workers in (1, 2):
                spans = runner(Opener(task, folder, f"{task}-{runner.__name__}-{workers}", workers))
                assert len(spans) == CHUNKS
                walls.append(max(s.end for s in spans) - min(s.start for s in spans))
                cpus.append(sum(s.cpu for s in spans))
            ratio = walls[0] / walls[1]
            yield (
                f"| {task} | {name} | {walls[0]:.2f} | {walls[1]:.2f} | {ratio:.2f} | "
                f"{cpus[0]:.2f} | {cpus[1]:.2f} |"
            )


@dataclass(frozen=True)
class Sleeping:
    """Opens work that sleeps, when all workers are here."""

    folder: Path
    workers: int

    @contextmanager
    def __call__(self) -> Iterator[Work[int, int]]:
        """Open the work."""
        meet(self.folder, f"sleep-{self.workers}", self.workers)

        def work(items: Mapping[str, int]) -> Iterator[tuple[str, int]]:
            time.sleep(SLEEP)
            yield from items.items()

        yield work


def ceiling(engine: Engine, folder: Path, workers: int) -> str:
    """Return a row: batches that sleep, from the first result to the last."""
    count = BATCHES * workers * BATCH
    results = engine.map(Sleeping(folder, workers), ((str(n), n) for n in range(count)))
    next(results)
    start, before = time.monotonic(), time.process_time()
    rest = sum(1 for _ in results)
    taken, driver = time.monotonic() - start, time.process_time() - before
    rate, ideal = rest / taken, workers * BATCH / SLEEP
    return f"| {workers} | {ideal:,.0f} | {rate:,.0f} | {rate / ideal:.2f} | {driver / taken:.2f} |"


def make_shop(folder: Path) -> None:
    """Draw a small shop and fit the captioner to it."""
    from genfilt.cli.app import app
    from genfilt.generators.fitted import fitted_neighbours
    from genfilt.store.store import Store

    shop, db = str(folder / "shop"), str(folder / "shop.duckdb")
    app(["synth", "--products", "120", "--out", shop], standalone_mode=False)
    products = str(folder / "shop" / "products.csv")
    ingest = ["ingest", "--products", products, "--images", shop, "--db", db]
    app(ingest, standalone_mode=False)
    with Store(db) as store:
        (folder / "neighbours").write_bytes(fitted_neighbours(store).state())


def machine() -> str:
    """Return what it runs on, and the load."""
    info = Path("/proc/cpuinfo").read_text()
    model = next(line.split(": ")[1] for line in info.splitlines() if line.startswith("model name"))
    siblings = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list").read_text()
    threads = len(siblings.replace("-", ",").strip().split(","))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{model}, {os.cpu_count()} processors, {threads} thread(s) a core, load {load}; "
        f"Python {platform.python_version()}"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--sleepers", type=int, nargs="*", default=SLEEPERS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(machine(), end="\n\n")
    print("| task | engine | 1 wall s | 2 wall s | ratio | 1 CPU s | 2 CPU s |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "captions" in options.tasks:
            make_shop(folder)
        for row in compare(folder, options.tasks):
            print(row, flush=True)
        print("\nSimulation: batches of 64 items that sleep 20 ms.\n")
        print("| workers | ideal items/s | items/s | share | driver's cores |")
        print("|---:|---:|---:|---:|---:|", flush=True)
        for workers in options.sleepers:
            with open_engine(EngineChoice(EngineName.ray, "local", workers)) as engine:
                row = ceiling(engine, folder, workers)
            print(row, flush=True)  # an engine keeps standard output for answers
    print(f"\nAfterwards: {machine()}")


if __name__ == "__main__":
    main()
