"""Kinds are named where cross-validated votes for them are right, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.neighbours.abstention import (
    MIN_PRECISION,
    NEVER,
    CheckedVote,
    certain_shares,
)
from genfilt.generators.neighbours.neighbours import Neighbours
from genfilt.generators.protocols import Caption


def votes(family: str, share: float, right: int, wrong: int) -> list[CheckedVote]:
    hits = [CheckedVote(family, share, True)] * right
    return hits + [CheckedVote(family, share, False)] * wrong


def test_a_kind_is_named_from_the_share_at_which_its_votes_are_right() -> None:
    found = certain_shares(
        [
            *votes("mug", 0.55, 3, 17),
            *votes("mug", 0.85, 19, 1),
            *votes("lamp", 0.95, 20, 0),
            *votes("tee", 0.95, 5, 15),
        ],
        ["mug", "lamp", "tee"],
    )
    assert found == {"mug": 0.6, "lamp": 0.5, "tee": NEVER}


def test_a_kind_with_few_votes_leans_on_all_others() -> None:
    good = votes("lamp", 0.9, 50, 1)
    assert certain_shares([*good, *votes("mug", 0.9, 1, 0)], ["mug"])["mug"] == 0.5
    bad = votes("lamp", 0.9, 10, 40)
    assert certain_shares([*bad, *votes("mug", 0.9, 1, 0)], ["mug"])["mug"] == NEVER
    assert certain_shares([], ["mug"])["mug"] == NEVER
    assert 0.5 < MIN_PRECISION < 1


def test_pictures_that_tell_nothing_of_their_titles_are_called_by_color_alone(
    tmp_path: Path,
) -> None:
    noise = np.random.default_rng(0)
    pictures, titles = {}, {}
    for number in range(40):
        pixels = np.full((60, 60, 3), 255, np.uint8)
        pixels[15:45, 15:45] = (90, 60, 30)
        pixels[20:40, 20:40] = noise.integers(60, 80, (20, 20, 3))
        key = f"{number:032x}"
        pictures[key] = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(pictures[key])
        titles[key] = [f"Nomen{number} {noise.choice(['Mug', 'Table Lamp', 'Tee', 'Sofa'])}"]
    captioner = Neighbours.fit(pictures, titles, Lexicon({}, ()))
    found = [result for _, result in captioner.describe(pictures)]
    for result in found:
        assert isinstance(result, Caption)
        assert json.loads(result.raw)["named"] is False
        assert result.caption.split()[-1] == "item"
