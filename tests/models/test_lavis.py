"""A real LAVIS BLIP-2 with T5, small and of random weights, in its environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from genfilt.common.errors import UserError
from genfilt.generators.protocols import Caption, Failure
from genfilt.generators.vlm.lavis.lavis import LavisCaptioner
from tests.models.conftest import HERE
from tests.models.environments import LAVIS

pytestmark = pytest.mark.models

WORKER = HERE / "small_lavis_worker.py"
COLORS = ["red", "lime", "blue", "yellow", "black", "white"]


@pytest.fixture(scope="module")
def captioner(small_lavis: Path, _environments: None) -> Iterator[LavisCaptioner]:
    with LavisCaptioner(str(small_lavis), environment=LAVIS, worker=WORKER, batch=4) as opened:
        yield opened


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for color in COLORS:
        Image.new("RGB", (50, 40), color).save(folder / f"{color}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return {name: folder / f"{name}.png" for name in [*COLORS, "broken"]}


def said(result: Caption | Failure) -> str:
    return result.raw if isinstance(result, Caption) else result.detail


def test_pictures_are_described_and_the_broken_one_fails(
    captioner: LavisCaptioner, pictures: dict[str, Path]
) -> None:
    results = dict(captioner.describe(pictures))
    assert results.keys() == pictures.keys()
    broken = results.pop("broken")
    assert isinstance(broken, Failure)
    assert broken.reason == "unreadable picture"
    assert len({said(result) for result in results.values()}) > 1
    assert any(isinstance(result, Caption) for result in results.values())


def test_a_batch_says_what_single_pictures_say(
    captioner: LavisCaptioner, pictures: dict[str, Path]
) -> None:
    together = dict(captioner.describe(pictures))
    alone = {}
    for key, path in pictures.items():
        alone |= dict(captioner.describe({key: path}))
    assert together == alone


def test_a_model_that_lavis_does_not_know_is_named(pictures: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"LAVIS cannot load the model"):
        next(LavisCaptioner("blip9:nonsense", environment=LAVIS).describe(pictures))
