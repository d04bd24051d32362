"""Generator of listings, style by style, in bounded memory."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice

from genfilt.synth.facets import Facets, Traps
from genfilt.synth.generated_titles import Draft, GeneratedTitle, TitleWriter, draft
from genfilt.synth.word_lists import Voice, WordLists

HELD_OUT_STYLE_SHARE = 0.5
"""Share of the val and test styles whose titles use held-out words."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture shows; the seeds decide the style's cut and the listing's pose and shade."""

    type: str
    color: str
    pattern: str
    gender: str | None
    cut_seed: str
    pose_seed: str


@dataclass(frozen=True, slots=True)
class Listing:
    """One product of the catalogue with its truth."""

    number: int
    style: int
    split: str
    facets: Facets
    title: GeneratedTitle
    look: Look
    near_duplicate: bool
    wrong_picture: bool

    @property
    def product_id(self) -> str:
        """Return the id in the catalogue's files."""
        return product_id(self.number)


def product_id(number: int) -> str:
    """Return the id of the product with this number."""
    return f"p{number:07d}"


class ListingWriter:
    """Draws listings: equal arguments give equal listings."""

    def __init__(self, vocabulary: WordLists, traps: Traps, seed: int) -> None:
        self._vocabulary = vocabulary
        self._traps = traps
        self._seed = seed
        self._titles = TitleWriter(vocabulary, traps)
        self._types = list(vocabulary.types)
        self._weights = [_share(vocabulary, name) for name in vocabulary.types]

    def listings(self, products: int) -> Iterator[Listing]:
        """The first `products` listings of the endless catalogue of this seed."""
        drawn = (listing for style in count() for listing in self._style(style))
        for number, listing in enumerate(islice(drawn, products)):
            yield replace(listing, number=number)

    def _style(self, style: int) -> Iterator[Listing]:
        """The listings of one style: its colours, and relistings of them in other words."""
        rng = random.Random(f"{self._seed}/style/{style}")
        split = rng.choices(("train", "val", "test"), (8, 1, 1))[0]
        held_out = split != "train" and rng.random() < HELD_OUT_STYLE_SHARE
        facets = self._facets(held_out, rng)
        colors = self._vocabulary.types[facets.type].colors
        voice = Voice(rng, held_out)
        base = draft(facets, voice, self._vocabulary, rng)
        for color in rng.sample(colors, min(rng.choice((1, 1, 2, 3, 4)), len(colors))):
            family = self._vocabulary.colors[color].family
            shown = replace(facets, color=color, color_family=family)
            first = self._listing(style, split, shown, base, Voice(rng, held_out), rng)
            yield first
            if rng.random() < self._traps.near_duplicate:
                yield self._relisted(first, base, held_out, rng)

    def _facets(self, held_out: bool, rng: random.Random) -> Facets:
        name = rng.choices(self._types, self._weights)[0]
        kind = self._vocabulary.types[name]
        brands = self._vocabulary.categories[kind.category].brands
        return Facets(
            type=name,
            category=kind.category,
            color="",
            color_family="",
            material=rng.choice(kind.materials),
            brand=rng.choice(brands.held_out if held_out else brands.seen),
            pattern=rng.choice(kind.patterns),
            gender=rng.choice(kind.genders) if kind.genders else None,
            model=rng.choice(kind.models) if kind.models else None,
        )

    def _listing(
        self,
        style: int,
        split: str,
        facets: Facets,
        base: Draft,
        voice: Voice,
        rng: random.Random,
    ) -> Listing:
        title = self._titles.write(base, facets, voice, rng)
        wrong = rng.random() < self._traps.wrong_picture
        return Listing(
            0, style, split, facets, title, self._look(style, facets, wrong, rng), False, wrong
        )

    def _look(self, style: int, facets: Facets, wrong: bool, rng: random.Random) -> Look:
        pose = f"{self._seed}/pose/{style}/{rng.random()}"
        if wrong:
            facets = self._other(facets, rng)
        return Look(
            facets.type,
            facets.color,
            facets.pattern,
            facets.gender,
            f"{self._seed}/cut/{style}",
            pose,
        )

    def _other(self, facets: Facets, rng: random.Random) -> Facets:
        """The facets of another type's product, whose picture stands with this by mistake."""
        other = self._facets(False, rng)
        while other.type == facets.type:
            other = self._facets(False, rng)
        color = rng.choice(self._vocabulary.types[other.type].colors)
        return replace(other, color=color)

    def _relisted(self, first: Listing, base: Draft, held_out: bool, rng: random.Random) -> Listing:
        """The same product once more, by another seller: its title as it was or in other words."""
        if rng.random() < 0.4:
            look = self._look(first.style, first.facets, first.wrong_picture, rng)
            return replace(first, look=look, near_duplicate=True)
        voice = Voice(rng, held_out)
        again = draft(first.facets, voice, self._vocabulary, rng)
        again.words.update({key: base.words[key] for key in ("line",) if key in base.words})
        again.held_out |= base.held_out
        relisted = self._listing(first.style, first.split, first.facets, again, voice, rng)
        return replace(relisted, near_duplicate=True)


def _share(vocabulary: WordLists, name: str) -> float:
    """A type's share of the catalogue: within its category each is rarer than the one before."""
    category = vocabulary.types[name].category
    shares = {
        other: 1 / math.sqrt(place + 1) for place, other in enumerate(vocabulary.types_of(category))
    }
    return vocabulary.categories[category].weight * shares[name] / sum(shares.values())
