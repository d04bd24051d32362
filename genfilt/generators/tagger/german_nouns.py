"""Words of German titles that may be the core word: nouns, which German writes with a capital.

A title counts as German when one of its words is of a short list of prepositions, colours,
materials and audiences that English titles hardly have, and its words differ in case.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genfilt.vocabulary.tokens import Token

PREPOSITIONS = frozenset(["mit", "ohne", "für", "aus", "zum", "zur", "inkl", "fürs"])
_BESIDE_NOUNS = "und klein groß schwarz weiß blau grün gelb grau bunt damen herren mädchen jungen"
_MATERIALS = "baumwolle leinen wolle seide leder holz edelstahl kunststoff keramik porzellan filz"
MARKERS = PREPOSITIONS | frozenset(f"{_BESIDE_NOUNS} {_MATERIALS} samt stück größe".split())


def noun_places(words: Sequence[Token]) -> npt.NDArray[np.bool_] | None:
    """Return which words (W,) of a German title may be its core word; None for any other title.

    These are its nouns before the first preposition or number that are no material and no
    audience, all of its nouns where none stands before one.
    """
    written = [word.text.lower() for word in words]
    small = any(word.text[0].islower() and len(word.text) > 2 for word in words)
    if not small or MARKERS.isdisjoint(written):
        return None
    places = np.array([word.text[0].isupper() for word in words], dtype=bool)
    places &= [word not in MARKERS for word in written]
    ends = (at for at, word in enumerate(written) if word in PREPOSITIONS or word[0].isdigit())
    link = next(ends, len(words))
    if places[:link].any():
        places[link:] = False
    return places if places.any() else None
