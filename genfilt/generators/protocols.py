"""The protocols of generators: readers of titles and captioners of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from genfilt.store.failures import Failure

__all__ = ["FIELDS", "AttributeReader", "Attributes", "Caption", "Captioner", "Failure"]

FIELDS = ("core_word", "material", "brand", "color", "model_parameters")


@dataclass(frozen=True)
class Attributes:
    """The attributes in a title; None where it has none.

    Several materials, colours or parameters stand in one text, separated by a comma and a blank.
    """

    core_word: str | None
    material: str | None
    brand: str | None
    color: str | None
    model_parameters: str | None
    raw: str  # the generator's whole reply


@dataclass(frozen=True)
class Caption:
    """A few words about a picture."""

    caption: str
    raw: str  # the generator's whole reply


class AttributeReader(Protocol):
    """Reads titles into attributes."""

    name: str  # in the tables, with model and fitted state
    prompt_key: str  # key of the prompt and the rules

    def read(self, titles: Mapping[str, str]) -> Iterator[tuple[str, Attributes | Failure]]:
        """Yield (title key, result) for each title, by key and in any order, each one once."""
        ...


class Captioner(Protocol):
    """Describes pictures."""

    name: str
    prompt_key: str

    def describe(self, pictures: Mapping[str, Path]) -> Iterator[tuple[str, Caption | Failure]]:
        """Yield (image key, result) for each picture, by key and in any order, each one once."""
        ...
