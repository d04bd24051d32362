"""Generator of query needs and of their phrasings."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genfilt.synth.facets import Facets, Need, Traps
from genfilt.synth.generated_titles import fill, spaced
from genfilt.synth.word_lists import Voice, WordLists

HELD_OUT_QUERIES = 0.25
"""Share of the queries in held-out words, which concern val and test products alone."""
MAX_PHRASINGS = 6
"""Distinct queries of one need, seen and held-out wording apart."""
_PATIENCE = 400


@dataclass(frozen=True, slots=True)
class Query:
    """One phrasing of a need; `held_out` when it uses a held-out word or brand."""

    number: int
    text: str
    need_number: int
    need: Need
    held_out: bool

    @property
    def query_id(self) -> str:
        """Return the id in the catalogue's files."""
        return f"q{self.number:06d}"


def plural(word: str) -> str:
    """Return the plural of an English noun phrase, by the common rules."""
    if word.endswith("s") and not word.endswith("ss"):
        return word
    return word + ("es" if word.endswith(("ss", "x", "ch", "sh")) else "s")


class QueryWriter:
    """Draws queries about products that exist, so that every need is met by one at least.

    Args:
        seen: facets of the products that a seen query is drawn from (the train split's).
        held_out: facets of those that a held-out query is drawn from (val's and test's).
    """

    def __init__(
        self,
        vocabulary: WordLists,
        traps: Traps,
        seed: int,
        seen: Sequence[Facets],
        held_out: Sequence[Facets],
    ) -> None:
        self._vocabulary = vocabulary
        self._traps = traps
        self._rng = random.Random(f"{seed}/queries")
        self._pools = {False: seen, True: held_out}

    def queries(self, wanted: int) -> Iterator[Query]:
        """Yield up to `wanted` distinct queries, fewer where the catalogue has fewer needs."""
        needs: dict[tuple[Need, bool], int] = {}
        phrasings: Counter[tuple[Need, bool]] = Counter()
        texts: set[str] = set()
        in_held_out = fruitless = 0
        while len(texts) < wanted and fruitless < _PATIENCE:
            behind = bool(self._pools[True]) and in_held_out <= HELD_OUT_QUERIES * len(texts)
            held_out = behind and self._rng.random() < 0.5
            key = (self._need(self._rng.choice(self._pools[held_out])), held_out)
            fruitless += 1
            for text in self._phrasings(*key):
                if text in texts or phrasings[key] == MAX_PHRASINGS or len(texts) == wanted:
                    continue
                number = needs.setdefault(key, len(needs))
                yield Query(len(texts), text, number, *key)
                texts.add(text)
                phrasings[key] += 1
                in_held_out += held_out
                fruitless = 0

    def _phrasings(self, need: Need, held_out: bool) -> list[str]:
        """Return a few phrasings of a need in seen or held-out words, as asked."""
        tries = self._rng.choice((1, 1, 2, 2, 3, 4))
        said = [self._phrase(need, held_out) for _ in range(tries)]
        return [text for text, used_held_out in said if used_held_out == held_out]

    def _need(self, facets: Facets) -> Need:
        if self._rng.random() < self._traps.brand_only:
            return Need(brand=facets.brand)
        kinds = self._vocabulary.categories[facets.category].needs
        named = self._rng.choices(list(kinds), list(kinds.values()))[0].split()
        asked = {name: getattr(facets, name) for name in named}
        if "color" in asked and self._rng.random() < 0.6:
            asked["color"] = facets.color_family
        if asked.get("pattern") == "solid":
            asked["pattern"] = None
        return Need(**asked)

    def _phrase(self, need: Need, held_out: bool) -> tuple[str, bool]:
        """Return a phrasing of a need, and whether it has a held-out word (not order alone)."""
        order, voice = Voice(self._rng, held_out), Voice(self._rng, held_out)
        vocabulary = self._vocabulary
        if need.type is None:
            text = fill(order.say(vocabulary.brand_wrappers), {"query": self._brand(need, voice)})
            return text.lower(), voice.used_held_out
        text = fill(order.say(vocabulary.query_forms), self._slots(need, voice))
        if self._rng.random() < 0.15:
            text = fill(order.say(vocabulary.query_wrappers), {"query": text})
        return text.lower(), voice.used_held_out

    def _brand(self, need: Need, voice: Voice) -> str:
        brand = need.brand or ""
        for category in self._vocabulary.categories.values():
            voice.brand(brand, category.brands)
        return brand

    def _slots(self, need: Need, voice: Voice) -> dict[str, str]:
        vocabulary = self._vocabulary
        name = voice.say(vocabulary.types[need.type or ""].words)
        slots = {"type": plural(name) if self._rng.random() < 0.25 else name}
        if need.color is not None:
            color = vocabulary.colors[need.color]
            slots["color"] = voice.say(color.family_words or color.words)
            slots["in_color"] = f"in {slots['color']}"
        if need.gender is not None:
            slots["gender"] = voice.say(vocabulary.genders[need.gender].words)
            slots["for_gender"] = voice.say(vocabulary.genders[need.gender].after)
        if need.pattern is not None:
            slots["pattern"] = voice.say(vocabulary.patterns[need.pattern])
        if need.material is not None:
            slots["material"] = voice.say(vocabulary.materials[need.material])
        if need.brand is not None:
            slots["brand"] = self._brand(need, voice)
        if need.model is not None:
            slots["model"] = spaced(need.model, self._rng)
        return slots


def wanted_queries(products: int) -> int:
    """Return how many queries to draw for a catalogue of this many products."""
    return max(20, products // 2)
