"""InstructBLIP of random weights, saved and loaded as a real checkpoint is."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genfilt.common.errors import UserError
from genfilt.engines.local import LocalEngine
from genfilt.engines.local_pool import LocalPool
from genfilt.generators.protocols import Caption, Failure
from genfilt.generators.registry import GeneratorChoice, Vlm
from genfilt.generators.spread import captioner_engine, spread_captioner
from genfilt.generators.vlm.instructblip import InstructBlipCaptioner
from tests.models.small_models import save_instructblip


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads only get into each other's way where matrices are this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_instructblip(tmp_path_factory.mktemp("t5"), "t5")


@pytest.fixture
def captioner(checkpoint: Path) -> Iterator[InstructBlipCaptioner]:
    with InstructBlipCaptioner(str(checkpoint), batch=3) as opened:
        yield opened


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0)
    for n in range(7):
        size = (30 + n, 40, 3)
        Image.fromarray(noise.integers(0, 256, size, dtype=np.uint8)).save(folder / f"{n}.png")
    return {f"key{n}": folder / f"{n}.png" for n in range(7)}


def said(results: dict[str, Caption | Failure]) -> dict[str, str]:
    return {k: r.raw if isinstance(r, Caption) else r.detail for k, r in results.items()}


@pytest.mark.parametrize("language", ["t5", "opt", "llama"])
def test_a_batch_says_what_single_pictures_say(
    language: str, pictures: dict[str, Path], tmp_path: Path
) -> None:
    folder = save_instructblip(tmp_path, language)
    with InstructBlipCaptioner(str(folder), batch=3) as captioner:
        together = dict(captioner.describe(pictures))
        captioner.batch = 1
        alone = dict(captioner.describe(pictures))
    assert together == alone
    assert together.keys() == pictures.keys()
    texts = said(together)
    assert all("Name the" not in text for text in texts.values())
    assert len(set(texts.values())) > 1


def test_a_broken_picture_fails_alone(
    captioner: InstructBlipCaptioner, pictures: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    mixed = {"key0": pictures["key0"], "bad": tmp_path / "broken.jpg", "gone": tmp_path / "none"}
    results = dict(captioner.describe(mixed))
    assert results["key0"] == dict(captioner.describe({"key0": pictures["key0"]}))["key0"]
    for key in ("bad", "gone"):
        assert isinstance(results[key], Failure)
        assert results[key].reason == "unreadable picture"


def test_a_batch_halves_when_memory_runs_out(
    captioner: InstructBlipCaptioner, pictures: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = dict(captioner.describe(pictures))
    captioner.batch = 7
    real = captioner._loaded.model.generate

    def generate(**inputs: torch.Tensor) -> torch.Tensor:
        if len(inputs["pixel_values"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(**inputs)

    monkeypatch.setattr(captioner._loaded.model, "generate", generate)
    assert dict(captioner.describe(pictures)) == expected
    assert captioner.batch == 1 or captioner.batch == 2


def test_one_picture_too_large_for_memory_is_a_failure(
    captioner: InstructBlipCaptioner, pictures: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def generate(**inputs: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")

    monkeypatch.setattr(captioner._loaded.model, "generate", generate)
    results = dict(captioner.describe(pictures))
    assert {result.reason for result in results.values()} == {"out of memory"}


def test_a_model_that_says_nothing_or_the_prompt_fails(
    captioner: InstructBlipCaptioner, pictures: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = {key: pictures[key] for key in ("key0", "key1")}
    texts = ["", captioner._prompt + " "]
    monkeypatch.setattr(captioner, "_generate", lambda pixels: texts)
    results = dict(captioner.describe(pictures))
    assert [results["key0"].reason, results["key1"].reason] == [
        "empty reply",
        "reply repeats the prompt",
    ]


def test_another_models_folder_is_refused(pictures: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be loaded as InstructBLIP"):
        next(InstructBlipCaptioner(str(tmp_path / "none")).describe(pictures))


def test_a_checkpoint_with_missing_weights_is_refused(
    checkpoint: Path, pictures: dict[str, Path], tmp_path: Path
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    partial = tmp_path / "partial"
    shutil.copytree(checkpoint, partial)
    weights = load_file(partial / "model.safetensors")
    del weights["query_tokens"]
    save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights of InstructBLIP, query_tokens"):
        next(InstructBlipCaptioner(str(partial)).describe(pictures))


def test_the_next_pictures_are_opened_while_the_model_generates(
    captioner: InstructBlipCaptioner, pictures: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: set[Path] = set()
    ahead = threading.Event()
    open_one, generate = captioner._pixels, captioner._generate

    def pixels(path: Path) -> torch.Tensor | Failure:
        opened.add(path)
        if len(opened) > captioner.batch:
            ahead.set()
        return open_one(path)

    def texts(batch: Sequence[torch.Tensor]) -> list[str]:
        assert ahead.wait(60)  # of a picture that is not of the first batch
        return generate(batch)

    monkeypatch.setattr(captioner, "_pixels", pixels)
    monkeypatch.setattr(captioner, "_generate", texts)
    results = captioner.describe(pictures)
    first, _ = next(results)
    assert first == "key0"
    assert len(opened) <= 3 * captioner.batch  # and no more than the next batch's
    assert dict(results).keys() == pictures.keys() - {first}


def test_two_processes_say_what_one_says(pictures: dict[str, Path], checkpoint: Path) -> None:
    """As extract asks them, and one that is broken fails there, too."""
    choice = GeneratorChoice(Vlm.instructblip, str(checkpoint))
    broken = {**pictures, "broken": checkpoint / "config.json"}
    with InstructBlipCaptioner(str(checkpoint)) as captioner:
        alone = said(dict(captioner.describe(broken)))
        pool = captioner_engine(LocalEngine(), choice, 2)
        assert isinstance(pool, LocalPool)
        together = said(dict(spread_captioner(captioner, choice, pool).describe(broken)))
    assert together == alone
    assert len(set(alone.values())) > 1, "else all pictures have one caption"


def test_other_captioners_and_one_process_need_no_pool(checkpoint: Path) -> None:
    engine = LocalEngine()
    one = GeneratorChoice(Vlm.instructblip, str(checkpoint))
    assert captioner_engine(engine, one, 1) is engine
    assert captioner_engine(engine, GeneratorChoice(Vlm.neighbours), 2) is engine
