"""Titles that state, omit, repeat or falsify a product's facets, at its category's rates."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from genfilt.synth.facets import Facets, Traps
from genfilt.synth.word_lists import Voice, WordLists, Words

_GAP = re.compile(r"\s+")
_LOOSE = re.compile(
    r"""\s+([,:])                                # a blank before a comma or a colon
      | [,:](?=\s*[,:])                         # two of them with nothing between
      | (?:(?<=\s)|^)(?:by|from|-)(?=\s*(?:-|$)) # a joint with nothing to join
      | [,:\-\s]+$                              # and whatever is left at the end""",
    re.VERBOSE,
)
_UNIT = re.compile(r"(?<=\d)(?=[A-Za-z])")


@dataclass
class GeneratedTitle:
    """A title, the facets that it states truthfully, and its error flags."""

    text: str
    stated: list[str]
    held_out: bool = False
    stuffed: bool = False
    misleading: bool = False
    falsified: bool = False


@dataclass
class Draft:
    """The words of a style's title by facet, before they are ordered."""

    words: dict[str, str] = field(default_factory=dict)
    held_out: bool = False


def spaced(model: str, rng: random.Random) -> str:
    """Return a model parameter with or without a blank: 128GB or 128 GB."""
    return _UNIT.sub(" ", model) if rng.random() < 0.3 else model


def fill(form: str, words: Mapping[str, str]) -> str:
    """Return a form with its slots filled; a slot without a word is removed."""
    text = re.sub(r"\{(\w+)\}", lambda slot: words.get(slot[1], ""), form)
    text = _GAP.sub(" ", text).strip()
    before = None
    while before != text:
        before, text = text, _GAP.sub(" ", _LOOSE.sub(r"\1", text)).strip(" -,:")
    return text


def draft(facets: Facets, voice: Voice, vocabulary: WordLists, rng: random.Random) -> Draft:
    """Choose the facets that a style's title states and their words; listings add the colour."""
    category = vocabulary.categories[facets.category]
    kind = vocabulary.types[facets.type]
    phrases: dict[str, Callable[[], str]] = {
        "type": lambda: voice.say(kind.words),
        "brand": lambda: voice.brand(facets.brand, category.brands),
        "line": lambda: voice.say(category.lines),
        "material": lambda: voice.say(vocabulary.materials[facets.material]),
        "pattern": lambda: voice.say(vocabulary.patterns[facets.pattern]),
        "gender": lambda: voice.say(vocabulary.genders[facets.gender or ""].words),
        "model": lambda: spaced(facets.model or "", rng),
    }
    absent = {name for name in ("gender", "model") if getattr(facets, name) is None}
    if facets.pattern == "solid" and rng.random() < 0.8:
        absent.add("pattern")
    words = {
        name: phrase()
        for name, phrase in phrases.items()
        if name not in absent and rng.random() < category.tells[name]
    }
    if not words.keys() & {"type", "line"}:
        words["line"] = phrases["line"]()
    return Draft(words, voice.used_held_out)


class TitleWriter:
    """Writes the titles of listings."""

    def __init__(self, vocabulary: WordLists, traps: Traps) -> None:
        self._vocabulary = vocabulary
        self._traps = traps

    def write(
        self, base: Draft, facets: Facets, voice: Voice, rng: random.Random
    ) -> GeneratedTitle:
        """Return the title of one listing of a style, with the errors that are drawn for it."""
        words = dict(base.words)
        category = self._vocabulary.categories[facets.category]
        if rng.random() < category.tells["color"]:
            words["color"] = voice.say(self._vocabulary.colors[facets.color].words)
        falsified = rng.random() < category.falsifies * self._traps.falsified
        wrong = self._falsify(words, facets, voice, rng) if falsified else None
        text = fill(voice.say(self._vocabulary.title_forms), words)
        if rng.random() < category.repeats:
            text += " " + voice.say(self._vocabulary.types[facets.type].words)
            text += f" {words['color']}" if "color" in words else ""
        if rng.random() < 0.15:
            text += f" {voice.say(self._vocabulary.extras)}"
        title = GeneratedTitle(text, sorted(words.keys() - {"line", wrong}), falsified=falsified)
        self._set_traps(title, facets, voice, rng)
        title.text = _cased(title.text, rng)
        title.held_out = voice.used_held_out or base.held_out
        return title

    def _falsify(
        self, words: dict[str, str], facets: Facets, voice: Voice, rng: random.Random
    ) -> str:
        """Replace the colour or the material by another one of the type; return which."""
        kind = self._vocabulary.types[facets.type]
        if rng.random() < 0.6 or len(kind.materials) == 1:
            family = self._vocabulary.colors[facets.color].family
            others = [c for c in kind.colors if self._vocabulary.colors[c].family != family]
            words["color"] = voice.say(self._vocabulary.colors[rng.choice(others)].words)
            return "color"
        material = rng.choice([m for m in kind.materials if m != facets.material])
        words["material"] = voice.say(self._vocabulary.materials[material])
        return "material"

    def _set_traps(
        self, title: GeneratedTitle, facets: Facets, voice: Voice, rng: random.Random
    ) -> None:
        kind = self._vocabulary.types[facets.type]
        if rng.random() < self._traps.stuffed * (3 if kind.fits else 1):
            title.stuffed = True
            title.text += " " + self._stuffing(facets, voice, rng)
        elif rng.random() < self._traps.misleading:
            title.misleading = True
            other = rng.choice([name for name in self._vocabulary.types if name != facets.type])
            form = voice.say(self._vocabulary.misleading_forms)
            wrong_type = voice.say(self._vocabulary.types[other].words)
            title.text += " " + fill(form, {"other": wrong_type})

    def _stuffing(self, facets: Facets, voice: Voice, rng: random.Random) -> str:
        """Return keyword stuffing: "for phone A, B" where the type fits, else types and colours."""
        kind = self._vocabulary.types[facets.type]
        category = self._vocabulary.categories[facets.category]
        if kind.fits:
            brands = Words(category.brands.seen)
            fitting = [f"{voice.say(brands)} {voice.say(category.lines)}" for _ in range(4)]
            return f"for {voice.say(self._vocabulary.types[kind.fits].words)} {', '.join(fitting)}"
        others = [n for n in self._vocabulary.types_of(facets.category) if n != facets.type]
        names = [
            voice.say(self._vocabulary.types[name].words)
            for name in rng.sample(others, min(3, len(others)))
        ]
        colors = [
            voice.say(self._vocabulary.colors[name].words) for name in rng.sample(kind.colors, 2)
        ]
        return " ".join(names + colors)


def _cased(text: str, rng: random.Random) -> str:
    """Return a title in title case, as most shops write, or in lower or upper case."""
    style = rng.random()
    if style < 0.08:
        return text.lower()
    if style < 0.11:
        return text.upper()
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))
