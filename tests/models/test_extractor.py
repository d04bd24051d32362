"""A small model that knows the generated catalogue's words, trained and served: the whole path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.models.conftest import HERE, last_json, run

pytestmark = pytest.mark.models


def test_nine_fields_of_ten_are_right_on_unseen_titles(tmp_path: Path) -> None:
    """Words that no train title holds are harder: what nothing told must be guessed."""
    script = HERE.parents[1] / "examples" / "train_small_extractor.py"
    figures = last_json(run([sys.executable, str(script), "--out", str(tmp_path), "--check"]))
    print(figures)
    assert figures["seen words"]["titles"] > 500
    assert figures["seen words"]["all fields"] >= 0.9
    assert figures["held-out words"]["titles"] > 500
    assert figures["held-out words"]["all fields"] >= 0.5
