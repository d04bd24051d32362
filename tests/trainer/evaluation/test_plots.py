"""Figures: two files, equal for equal input, colours apart for eyes of every kind."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from trainer.evaluation.metrics import precision_recall
from trainer.evaluation.plots import COLORS, save_precision_recall


def curves() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    positive = rng.random(300) < 0.3
    return {
        name: precision_recall(rng.normal(size=300) + gap * positive, positive)
        for name, gap in (("Q->T", 0.3), ("Q->I", 0.8), ("Q->T+Q->I", 1.0), ("Q->M", 2.0))
    }


def test_svg_and_png_show_every_curve_and_the_axes(tmp_path: Path) -> None:
    paths = save_precision_recall(curves(), tmp_path / "plots" / "precision_recall", 0.3)
    assert [path.suffix for path in paths] == [".svg", ".png"]
    root = ElementTree.parse(paths[0]).getroot()
    words = {text.strip() for node in root.iter() for text in [node.text or ""] if text.strip()}
    assert {"Recall", "Precision", "random order, 0.30", *curves()} <= words
    drawn = np.asarray(Image.open(paths[1]).convert("RGB"))
    assert min(drawn.shape[:2]) > 600
    for color in COLORS[:4]:
        wanted = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
        assert (np.abs(drawn.astype(int) - wanted).max(-1) < 8).sum() > 100


def test_equal_curves_give_equal_files(tmp_path: Path) -> None:
    for stem in ("a", "b"):
        save_precision_recall(curves(), tmp_path / stem, 0.3)
    for kind in ("svg", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
