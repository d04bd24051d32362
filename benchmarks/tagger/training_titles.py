"""Training titles of the tagger: text with a label for each word, generated with a fixed seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from modifiers import BRAND, CORE, PLAIN, Piece
from title_grammar import write_title
from word_lists import departments, held_out_phrases, holds_any, shared

from genfilt.vocabulary.tokens import clean, tokenize

ACRONYMS = frozenset(shared("acronyms"))  # upper case in every style but lower
SMALL_WORDS = frozenset(("for", "with", "and", "in", "of", "by", "from", "to", "on", "the", "or"))


@dataclass(frozen=True)
class LabelledTitle:
    """A title, and for each of its words the field's name and whether the word begins a value."""

    text: str
    fields: tuple[str, ...]  # "" for an unlabelled word
    begins: tuple[bool, ...]
    core_word: str
    brand: str | None


def generate(
    count: int, seed: int, without: frozenset[str] = frozenset()
) -> Iterator[LabelledTitle]:
    """Yield `count` titles of all departments except `without`; none holds a held-out phrase."""
    rng = Random(seed)
    among = [each for name, each in departments().items() if name not in without]
    made = 0
    while made < count:
        pieces = write_title(rng, among)
        title = labelled(pieces, rng)
        if title is not None and not holds_any(title.text, held_out_phrases()):
            made += 1
            yield title


def labelled(pieces: list[Piece], rng: Random) -> LabelledTitle | None:
    """Return pieces as one title in one style of case; None where the text has no core word."""
    text = ""
    spans: list[tuple[int, int, str]] = []
    style = CaseStyle(rng)
    for piece in pieces:
        written = style(piece)
        text += piece.joint if text else ""
        spans.append((len(text), len(text) + len(written), piece.label))
        text += written + (")" if piece.joint == " (" and len(spans) > 1 else "")
    if clean(text) != text:
        return None
    fields, begins, before = [], [], -1
    for token in tokenize(text):
        at = next(
            (n for n, (start, end, _) in enumerate(spans) if start <= token.start < end), None
        )
        fields.append(PLAIN if at is None else spans[at][2])
        begins.append(at != before)
        before = -1 if at is None else at
    words = {label: text[start:end] for start, end, label in spans if label in (CORE, BRAND)}
    if CORE not in fields or len(fields) > 40:
        return None
    return LabelledTitle(text, tuple(fields), tuple(begins), words[CORE], words.get(BRAND))


class CaseStyle:
    """How one shop writes: lower, title, upper or sentence case."""

    def __init__(self, rng: Random) -> None:
        draw = rng.random()
        self._kind = (
            "lower"
            if draw < 0.13
            else "upper"
            if draw < 0.21
            else "sentence"
            if draw < 0.38
            else "title"
        )
        self._small = rng.random() < 0.6
        self._first = True

    def __call__(self, piece: Piece) -> str:
        """Return the next piece's text in this case; makers' names keep theirs in titles."""
        text, first, self._first = piece.text, self._first, False
        if self._kind == "lower":
            return text.lower()
        if self._kind == "upper":
            return text.upper()
        if piece.label == BRAND or (piece.label == PLAIN and any(c.isupper() for c in text)):
            return text
        words = [word.upper() if word in ACRONYMS else word for word in text.split(" ")]
        if self._kind == "sentence":
            text = " ".join(words)
            return text[:1].upper() + text[1:] if first else text
        return " ".join(
            word if self._small and word in SMALL_WORDS else word[:1].upper() + word[1:]
            for word in words
        )
