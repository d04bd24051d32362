"""Viterbi under BIO constraints against all sequences, one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from genfilt.generators.tagger.word_labels import (
    KINDS,
    LABELS,
    OUTSIDE,
    Span,
    begin_label,
    best_labels,
    decode,
    spans,
)


def is_allowed(labels: tuple[int, ...]) -> bool:
    """The rules in their plainest form: no I- after another field, exactly one B-core_word."""
    before = OUTSIDE
    for label in labels:
        if label != OUTSIDE and label % 2 == 0 and before not in (label - 1, label):
            return False
        before = label
    return labels.count(begin_label("core_word")) == 1


@pytest.mark.parametrize("words", [1, 2, 3])
def test_best_labels_are_the_best_of_all_allowed_sequences(words: int) -> None:
    scores = np.random.default_rng(words).normal(size=(5, words, LABELS)).astype(np.float32)
    allowed = [each for each in product(range(LABELS), repeat=words) if is_allowed(each)]
    for title, found in zip(scores, best_labels(scores), strict=True):
        sums = [sum(title[at, label] for at, label in enumerate(each)) for each in allowed]
        assert tuple(found) == allowed[int(np.argmax(sums))]


def test_titles_of_any_lengths_are_decoded_as_each_alone() -> None:
    rng = np.random.default_rng(7)
    scores = [rng.normal(size=(n, LABELS)).astype(np.float32) for n in (4, 0, 1, 9)]
    assert decode(scores) == [decode([each])[0] for each in scores]
    assert decode(scores)[1] == []
    assert decode([]) == []


def test_a_title_without_room_for_a_core_word_is_refused() -> None:
    scores = np.full((1, 2, LABELS), -np.inf, np.float32)
    scores[:, :, OUTSIDE] = 0
    with pytest.raises(ValueError, match="core word"):
        best_labels(scores)


def test_spans() -> None:
    core, brand = begin_label("core_word"), begin_label("brand")
    assert spans([brand, brand + 1, 0, core, brand]) == [
        Span("brand", 0, 2),
        Span("core_word", 3, 4),
        Span("brand", 4, 5),
    ]
    assert spans([]) == []
    assert len(KINDS) * 2 + 1 == LABELS
