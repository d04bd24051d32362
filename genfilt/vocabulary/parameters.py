"""Model parameters in a title: numbers with a unit, dimensions, sizes and model numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from genfilt.vocabulary.terms import canonical_parameter, vocabulary

_MODEL_NUMBER = re.compile(r"\b(?=[A-Z0-9-]*[A-Z])(?=[A-Z0-9-]*\d{2})[A-Z0-9]{2,}(?:-[A-Z0-9]+)*\b")
_COUNT = re.compile(r"\b(?:set|pack|box|case|lot|bundle|pair)s? of (\d+)\b", re.IGNORECASE)
_FUNCTIONS = re.compile(r"\b(\d+)[\s-]?in[\s-]?(?:1|one)\b", re.IGNORECASE)  # no length in inches
_SIZE_NUMBER = re.compile(r"\bsize:? (\d{1,2}(?:\.5)?)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Parameter:
    """One parameter in its canonical form, found in text[start:end]."""

    start: int
    end: int
    value: str


def find_parameters(text: str) -> list[Parameter]:
    """Return the parameters of a cleaned text from left to right; none overlaps another."""
    found: list[Parameter] = []
    for start, end, value in sorted(_candidates(text), key=lambda each: (each[0], -each[1])):
        if not found or start >= found[-1].end:
            found.append(Parameter(start, end, value))
    return found


def _candidates(text: str) -> list[tuple[int, int, str]]:
    quantity, words, sizes = _patterns()
    found = [
        (each.start(), each.end(), canonical_parameter(each.group()))
        for pattern in (quantity, words, sizes)
        for each in pattern.finditer(text)
    ]
    found += [(e.start(), e.end(), f"{e.group(1)} pack") for e in _COUNT.finditer(text)]
    found += [(e.start(), e.end(), f"{e.group(1)} in 1") for e in _FUNCTIONS.finditer(text)]
    found += [(e.start(), e.end(), f"size {e.group(1)}") for e in _SIZE_NUMBER.finditer(text)]
    if not text.isupper():  # where all is in capitals, capitals mark no model number
        found += [(e.start(), e.end(), e.group()) for e in _MODEL_NUMBER.finditer(text)]
    return found


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    table = vocabulary()
    units = sorted(table.units, key=len, reverse=True)
    letters = "|".join(re.escape(unit) for unit in units if unit.isascii() and unit[0].isalpha())
    number = r"\d+(?:[.,/]\d+)*"
    in_a = r"(?!(?<=[\d\s-]in)\s+(?:a|an|the|each|every)\b)"  # "3 in a box" is no length
    quantity = re.compile(
        rf"(?<![\w.]){number}(?:(?:\s*[x×]\s*){number})*(?:[\s-]?(?:{letters})\b{in_a}|(?:''|[\"'])(?!\w))",
        re.IGNORECASE,
    )
    words = sorted(table.parameter_words, key=len, reverse=True)
    sizes = sorted(table.sizes, key=len, reverse=True)
    capitals = "|".join(re.escape(size) for size in sizes if size.isupper() and len(size) > 1)
    spoken = "|".join(re.escape(size) for size in sizes if size.islower())
    return (
        quantity,
        re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE),
        re.compile(rf"\b(?:{capitals}|{spoken}|(?<=[Ss]ize )[SML]|(?<=[,(/-] )[SML](?=$|[,)/]))\b"),
    )
