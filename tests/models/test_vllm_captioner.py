"""A small BLIP-2 of random weights, served by real vLLM: pictures travel as data URLs."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from genfilt.generators.llm.served import VllmCaptioner
from genfilt.generators.protocols import Caption, Failure
from tests.models.small_blip2 import save_blip2

pytestmark = pytest.mark.models

COLORS = ["red", "lime", "blue", "yellow", "black", "white", "gray", "orange"]


def said(result: Caption | Failure) -> str:
    return result.raw if isinstance(result, Caption) else result.detail


def test_a_served_vision_model_sees_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    pictures = {}
    for color in COLORS:
        pictures[color] = tmp_path / f"{color}.png"
        Image.new("RGB", (50, 40), color).save(pictures[color])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    pictures["broken"] = tmp_path / "broken.png"
    with VllmCaptioner(model=str(save_blip2(tmp_path / "model"))) as captioner:
        results = dict(captioner.describe(pictures))
    assert results.keys() == pictures.keys()
    broken = results.pop("broken")
    assert isinstance(broken, Failure)
    assert broken.reason == "unreadable picture"
    assert len({said(result) for result in results.values()}) > len(COLORS) // 2
    assert any(isinstance(result, Caption) for result in results.values())
