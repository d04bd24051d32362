"""The tagger's network gives a title one answer, whatever stands beside it, in either precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genfilt.generators.tagger import token_model
from genfilt.generators.tagger.title_words import title_words
from genfilt.generators.tagger.token_model import load_model, score

TITLES = (
    "Wall mount for projector",
    "Acme Red Cotton Hoodie XL",
    "Desk holder for computer, steel, 3 levels, with cable clips and a lamp",
    "mug",
    "Bottle opener steel",
)


def test_titles_of_one_length_need_no_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_model, "multiplies_bfloat16", lambda: False)
    model, inputs = load_model(), title_words(TITLES)
    assert len({len(each.pieces) for each in inputs}) > 2
    padded = score(model, inputs)
    for each, found in zip(inputs, padded, strict=True):
        (alone,) = score(model, [each])
        assert alone.shape == (len(each.words), found.shape[1])
        np.testing.assert_allclose(alone, found, atol=1e-3)


def test_half_precision_finds_the_same_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = title_words(TITLES)
    found = []
    for half in (False, True):
        monkeypatch.setattr(token_model, "multiplies_bfloat16", lambda half=half: half)
        model = load_model()
        assert model.encoder.dtype == (torch.bfloat16 if half else torch.float32)
        assert model.head.weight.dtype == torch.float32
        found.append(score(model, inputs))
    for whole, half_found in zip(*found, strict=True):
        assert whole.dtype == half_found.dtype == np.float32
        np.testing.assert_allclose(whole.argmax(1), half_found.argmax(1))
        assert np.abs(np.exp(whole) - np.exp(half_found)).max() < 0.1
