"""BIO labels of a title's words, and the best sequence of them with exactly one core word.

Labels are O, then B- and I- of each field. I-x follows B-x or I-x alone. Viterbi runs over pairs of
(label, whether a core word has begun), so that a sequence with none or two core words has no path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from genfilt.generators.protocols import FIELDS

OTHER_PRODUCT = "other_product"  # named in the title, and not what is sold
KINDS = (*FIELDS, OTHER_PRODUCT)
OUTSIDE = 0
LABELS = 1 + 2 * len(KINDS)

Scores = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Span:
    """A value of a field: words[start:end]."""

    field: str
    start: int
    end: int


def begin_label(field: str) -> int:
    """Return the number of the label of a field's first word; the further words' is one more."""
    return 1 + 2 * KINDS.index(field)


@lru_cache(maxsize=1)
def _transitions() -> npt.NDArray[np.float32]:
    """Return (2L, 2L) scores of a step between states: 0 where it is allowed, else -inf.

    State s < L has the label s and no core word so far, state L + s has one.
    """
    found = np.full((2 * LABELS, 2 * LABELS), -np.inf, np.float32)
    core = begin_label("core_word")
    for before in range(2 * LABELS):
        last, begun = before % LABELS, before >= LABELS
        for label in range(LABELS):
            inside = label != OUTSIDE and label % 2 == 0
            if (inside and last not in (label - 1, label)) or (label == core and begun):
                continue
            found[before, label + LABELS * (begun or label == core)] = 0
    return found


def best_labels(scores: Scores) -> Labels:
    """Return the best allowed labels of titles of equal length, (N, W), for scores (N, W, L).

    Exactly one run of words is the core word. Scores of -inf forbid a label of a word; raises
    ValueError where they leave a title no allowed sequence.
    """
    titles, words, _ = scores.shape
    step = _transitions()
    total = np.full((titles, 2 * LABELS), -np.inf, np.float32)
    begins = [label for label in range(LABELS) if label == OUTSIDE or label % 2 == 1]
    for label in begins:
        begun = label == begin_label("core_word")
        total[:, label + LABELS * begun] = scores[:, 0, label]
    back = np.zeros((words, titles, 2 * LABELS), np.int8)
    for word in range(1, words):
        every = total[:, :, None] + step
        back[word] = every.argmax(axis=1)
        total = every.max(axis=1) + np.concatenate([scores[:, word], scores[:, word]], axis=1)
    total[:, :LABELS] = -np.inf  # no core word
    state = total.argmax(axis=1)
    if words == 0 or not np.isfinite(total[np.arange(titles), state]).all():
        raise ValueError("every title needs a word that may be its core word")
    found = np.empty((titles, words), np.int64)
    for word in range(words - 1, -1, -1):
        found[:, word] = state % LABELS
        state = back[word, np.arange(titles), state]
    return found


def decode(scores: Sequence[Scores]) -> list[list[int]]:
    """Return the best labels of titles of any lengths, for scores (W, L) of each.

    Exactly one run of words of a title is its core word; a title without words has no labels.
    """
    rows = [row for row, each in enumerate(scores) if len(each)]
    found: list[list[int]] = [[] for _ in scores]
    if not rows:
        return found
    longest = max(len(scores[row]) for row in rows)
    padded = np.full((len(rows), longest, LABELS), -np.inf, np.float32)
    padded[:, :, OUTSIDE] = 0  # all that follows a title's last word is outside of its values
    for at, row in enumerate(rows):
        padded[at, : len(scores[row])] = scores[row]
    for row, labels in zip(rows, best_labels(padded), strict=True):
        found[row] = labels[: len(scores[row])].tolist()
    return found


def spans(labels: Sequence[int]) -> list[Span]:
    """Return the values that a title's labels mark, from left to right."""
    found: list[Span] = []
    for at, label in enumerate(labels):
        if label == OUTSIDE:
            continue
        if label % 2 == 1:
            found.append(Span(KINDS[label // 2], at, at + 1))
        else:
            found[-1] = Span(found[-1].field, found[-1].start, at + 1)
    return found
