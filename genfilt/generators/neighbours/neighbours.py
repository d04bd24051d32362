"""The embedded captioner: colours read off the picture, a type word voted by similar pictures.

It is a heuristic for catalogue photos, not a vision-language model. Colours are named in CIELAB on
the part of the picture that is the product. The type word comes from titles: the visually nearest
pictures of *other* titles in the train split vote with their core words, under a metric learnt from
those words. It names a type only where such votes proved right on the catalogue's own titles, never
one that the train titles lack, and no gender.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path

import numpy as np

from genfilt.common.errors import UserError
from genfilt.common.photos import open_photo
from genfilt.engines.local import ordered_map, single_threaded
from genfilt.generators.lexicon.lexicon import JEWELRY, Lexicon
from genfilt.generators.neighbours.color_names import Shade, in_metal, named_colors, shades
from genfilt.generators.neighbours.picture_features import features
from genfilt.generators.neighbours.picture_groups import picture_groups
from genfilt.generators.neighbours.references_state import pack, unpack
from genfilt.generators.neighbours.segmentation import Figure, Floats, segment
from genfilt.generators.neighbours.type_votes import (
    MAX_REFERENCES,
    References,
    Vote,
    Voters,
    fit_references,
)
from genfilt.generators.protocols import Caption, Failure
from genfilt.store.keys import text_key
from genfilt.vocabulary.terms import core_term, vocabulary, worn
from genfilt.vocabulary.tokens import singular

RULES = "neighbours 3"  # changes with the rules, so that pictures are described anew
SIDE = 160  # pixels of the longer side that is looked at
MAX_SHARED_TITLES = 20  # of one picture: with more it is a logo, or stands for a missing one
METALS = {
    "white": "silver",
    "gray": "silver",
    "yellow": "gold",
    "orange": "gold",
    "brown": "gold",
    "pink": "rose gold",
}


class Neighbours:
    """Captions pictures by their colours and their neighbours' titles."""

    def __init__(self, references: References | None) -> None:
        self._voters = None if references is None else Voters(references)
        self._state = b"" if references is None else pack(references)
        self.name = f"neighbours-{blake2b(self._state, digest_size=6).hexdigest()}"
        self.prompt_key = text_key(f"{RULES} {vocabulary().digest}")

    @classmethod
    def fit(
        cls,
        pictures: Mapping[str, Path],
        titles: Mapping[str, Sequence[str]],
        lexicon: Lexicon,
        advance: Callable[[int], None] | None = None,
    ) -> Neighbours:
        """Learn from the train split; unreadable pictures and unread titles are left out.

        Args:
            pictures: image key -> file.
            titles: image key -> titles of the products that show the picture.
            lexicon: reads the titles; a core word outside the vocabulary has no vote.
            advance: called with the number of pictures that were done since the last call.
        """
        shown = {
            key: titles[key]
            for key in pictures
            if 0 < len(set(titles.get(key, ()))) <= MAX_SHARED_TITLES
        }
        groups = picture_groups(shown)
        words = _sample(_type_words(shown, lexicon))
        if advance is not None:
            advance(len(pictures) - len(words))
        look = partial(_look, len(words) <= MAX_REFERENCES // 2)
        seen: list[tuple[str, list[Floats]]] = []
        for key, views in ordered_map(look, {key: pictures[key] for key in words}):
            if advance is not None:
                advance(1)
            if not isinstance(views, Failure):
                seen += [(key, blocks) for blocks in views]
        kept = [words[key] for key, _ in seen]
        if len(set(kept)) < 2:
            return cls(None)
        numbers = np.array([groups[key] for key, _ in seen], dtype=np.int64)
        with single_threaded():
            return cls(fit_references([blocks for _, blocks in seen], kept, numbers, groups))

    @classmethod
    def from_state(cls, state: bytes) -> Neighbours:
        """Rebuild a captioner from `state()`.

        Raises UserError where the bytes are no such state, or of other features than ours.
        """
        references = unpack(state) if state else None
        if references is not None and len(references.basis.center) != _feature_count():
            raise UserError(
                "The stored state of the captioner has other features than this version; "
                "run extract --refit."
            )
        return cls(references)

    def state(self) -> bytes:
        """Return what was learnt; empty where the train split names fewer than two types."""
        return self._state

    def describe(self, pictures: Mapping[str, Path]) -> Iterator[tuple[str, Caption | Failure]]:
        """Yield (image key, caption) for each picture, in the order given."""
        yield from ordered_map(partial(_describe, self), pictures)

    def caption(self, image_key: str, figure: Figure) -> Caption:
        """Describe a segmented picture."""
        vote = None
        if self._voters is not None:
            blocks = list(features(figure).values())
            vote = self._voters.vote(image_key, np.concatenate(blocks))
        named = vote
        if self._voters is not None and vote is not None and not self._voters.is_certain(vote):
            named = None
        place = "object" if named is None else worn(named.word) or "object"
        found = shades(figure, place)
        return Caption(_sentence(found, named), _raw(found, vote, named is not None))


@lru_cache(maxsize=1)
def _feature_count() -> int:
    blank = segment(np.full((8, 8, 3), 255, np.uint8))
    return sum(len(block) for block in features(blank).values())


def _describe(captioner: Neighbours, image_key: str, path: Path) -> Caption | Failure:
    figure = load(path)
    return figure if isinstance(figure, Failure) else captioner.caption(image_key, figure)


def _look(mirrored: bool, image_key: str, path: Path) -> list[list[Floats]] | Failure:
    """Return the feature blocks of a picture, and of its mirror image where asked for."""
    figure = load(path)
    if isinstance(figure, Failure):
        return figure
    figures = [figure, figure.mirrored()] if mirrored else [figure]
    return [list(features(each).values()) for each in figures]


def load(path: Path) -> Figure | Failure:
    """Open, shrink and segment a picture; a file that is no picture or too large is a failure."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            rgb = np.asarray(open_photo(path, SIDE))
    except Exception as error:  # Pillow's readers raise nearly anything on a broken file
        return Failure("unreadable picture", f"{type(error).__name__}: {error}")
    return segment(rgb)


def _type_words(shown: Mapping[str, Sequence[str]], lexicon: Lexicon) -> dict[str, str]:
    """Return image key -> canonical core word of most of its titles; generic ones are left out."""
    read: dict[str, str | None] = {}
    for title in sorted({title for titles in shown.values() for title in titles}):
        word = lexicon.attributes(title).core_word
        term = None if word is None else core_term(word)
        read[title] = None if term is None or term.generic or term.weak else term.canonical
    found = {}
    for key in sorted(shown):
        words = Counter(word for title in shown[key] if (word := read[title]) is not None)
        if words:
            found[key] = max(sorted(words), key=lambda each: words[each])
    return found


def _sample(words: dict[str, str]) -> dict[str, str]:
    """Keep at most MAX_REFERENCES pictures; keys are hashes: the smallest are a random choice."""
    return dict(sorted(words.items())[:MAX_REFERENCES])


def _sentence(found: Sequence[Shade], vote: Vote | None) -> str:
    basics = named_colors(found)
    if vote is not None and vote.family in JEWELRY:
        basics = in_metal(basics, METALS)
    colors = " and ".join(basics)
    article = "an" if colors[0] in "aeiou" else "a"
    if vote is None:
        return f"{article} {colors} item"
    plural = singular(vote.word) != vote.word
    return f"{colors} {vote.word}" if plural else f"{article} {colors} {vote.word}"


def _raw(found: Sequence[Shade], vote: Vote | None, named: bool) -> str:
    raw: dict[str, object] = {
        "colors": [[shade.basic, shade.name, round(shade.share, 3)] for shade in found[:4]],
        "named": named,  # whether the caption names the kind
    }
    if vote is not None:
        raw |= {"type": vote.word, "family": vote.family, "share": round(vote.share, 3)}
    return json.dumps(raw)
