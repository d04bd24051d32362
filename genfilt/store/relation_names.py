"""The order in which tables and views are listed and suggested: curated views first."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# What a search engineer asks for; the other relations are what these are made of.
CURATED = (
    *("query_product_corrections", "image_title_corrections", "positives", "verdicts"),
    *("current_attributes", "current_captions"),
)
CURATED_SIMILARITY, SIMILARITY = 0.6, 0.5  # of difflib, from which a name is suggested


def in_order(names: Iterable[str]) -> list[str]:
    """Return names sorted, the curated ones first and in their own order."""
    known = set(names)
    return [name for name in CURATED if name in known] + sorted(known - set(CURATED))


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant, a curated view where one is similar enough."""
    ordered = in_order(names)
    curated = [each for each in ordered if each in CURATED]
    word = name.lower()
    contained = [each for each in curated if len(word) > 3 and word.rstrip("s") in each]
    found = contained or get_close_matches(word, curated, 1, CURATED_SIMILARITY)
    return next(iter(found or get_close_matches(word, ordered, 1, SIMILARITY)), None)
