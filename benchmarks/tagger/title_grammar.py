"""A grammar of shop titles: pieces of text with labels, in the orders in which shops write them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from brand_names import brand_name, pseudo_word
from modifiers import (
    BRAND,
    CORE,
    OTHER,
    PARAMETER,
    Piece,
    leading_words,
    model_code,
    modifier,
    modifiers,
    packing,
    product_line,
)
from word_lists import Department, brand_words, departments

HOST_LINKS = (*("for",) * 3, "for your", "to fit", "compatible with", "designed for", "fits")
FIT_LINKS = (*("for",) * 3, "compatible with", "fits", "replacement for", "to fit", "works with")
OTHER_LINKS = (*("for",) * 2, "with", "and", "&", "in", "plus", "w/", "+", "on")
BRAND_LINKS = (*("by",) * 5, "from", "-", "-", "|", "", "", "")
SETS = ("set", "kit", "bundle", "gift set", "starter kit", "combo", "pack", "collection")


def write_title(rng: Random, among: Sequence[Department]) -> list[Piece]:
    """Return the pieces of one title of one of the departments; exactly one is the core word."""
    dept = rng.choice(among)
    if rng.random() < 0.07:
        return _short_title(rng, dept)
    core, after_core = _product(rng, dept)
    before, after = modifiers(rng, dept)
    lead, late = _brand(rng)
    if not lead and rng.random() < 0.4:
        lead = leading_words(rng, dept)
    if rng.random() < 0.08:
        lead = [packing(rng), *lead]
    tail = [*after_core, *after, *late]
    if rng.random() < 0.07:
        tail += _stuffing(rng, dept)
    return [*lead, *before, *core, *tail]


def _short_title(rng: Random, dept: Department) -> list[Piece]:
    lead = [modifier(rng, dept, "adjective", "variety", "color", "material")]
    core, after = _product(rng, dept)
    return [*(lead if rng.random() < 0.7 else []), *core, *(after if rng.random() < 0.5 else [])]


def noun(rng: Random, dept: Department) -> str:
    """Return a product of a department, sometimes in the other number."""
    word = rng.choice(dept.nouns)
    if rng.random() < 0.12:
        return _other_number(word)
    return word


def _other_number(word: str) -> str:
    if word.endswith(("ss", "us")):
        return word
    if word.endswith("s"):
        return word[:-1]
    return word + ("es" if word.endswith(("sh", "ch", "x")) else "s")


def _product(rng: Random, dept: Department) -> tuple[list[Piece], list[Piece]]:
    """Return the core word's pieces and the pieces that must follow it."""
    draw = rng.random()
    if draw < 0.30 and dept.hosts:
        return _accessory(rng, dept)
    if draw < 0.34:
        return _set(rng, dept)
    if draw < 0.40:
        other = rng.choice((dept, rng.choice(list(departments().values()))))
        join = rng.choice(OTHER_LINKS)
        host = noun(rng, other)
        extra = [modifier(rng, other, "adjective")] if rng.random() < 0.3 else []
        return [Piece(noun(rng, dept), CORE)], [Piece(join), *extra, Piece(host, OTHER)]
    core = noun(rng, dept)
    if draw < 0.46:  # a product that no list names, known by its place alone
        core = f"{pseudo_word(rng)}{rng.choice(('', '', 's'))}"
    elif draw < 0.54:
        core = f"{modifier(rng, dept, 'adjunct').text} {core}"
    return [Piece(core, CORE)], []


def _accessory(rng: Random, dept: Department) -> tuple[list[Piece], list[Piece]]:
    host, accessory = rng.choice(dept.hosts), rng.choice(dept.accessories)
    if rng.random() < 0.25:
        host = rng.choice(dept.nouns)
    draw = rng.random()
    if draw < 0.42:
        return [Piece(f"{host} {accessory}", CORE)], _fits(rng) if rng.random() < 0.25 else []
    if draw < 0.52:  # words between the host and what is sold for it
        middle = modifier(rng, dept, "adjective", "material", "adjective")
        return [Piece(host, OTHER), middle, Piece(accessory, CORE)], []
    if draw < 0.62:
        return [Piece(rng.choice(brand_words("devices"))), Piece(accessory, CORE)], []
    if draw < 0.72:
        return [Piece(accessory, CORE)], _fits(rng)
    hosts = [Piece(rng.choice(HOST_LINKS)), *_host(rng, dept, host)]
    if rng.random() < 0.3:
        hosts += [
            Piece(rng.choice(("and", "/", "&", "or", ","))),
            Piece(rng.choice(dept.hosts), OTHER),
        ]
    return [Piece(accessory, CORE)], hosts


def _host(rng: Random, dept: Department, host: str) -> list[Piece]:
    """Return a thing that is named but not sold, at times with its maker and model."""
    found = [Piece(host, OTHER)]
    if rng.random() < 0.25:
        found.insert(0, Piece(brand_name(rng)))
    if rng.random() < 0.2:
        found.insert(0, modifier(rng, dept, "adjective", "size"))
    return found


def _fits(rng: Random) -> list[Piece]:
    maker = rng.random() < 0.3
    first = f"{brand_name(rng)} {model_code(rng)}" if maker else rng.choice(brand_words("devices"))
    found = [Piece(rng.choice(FIT_LINKS)), Piece(first)]
    for _ in range(rng.choice((0, 0, 0, 1, 2, 3))):
        more = model_code(rng) if maker else rng.choice(brand_words("devices"))
        found.append(Piece(more, joint=rng.choice((" ", ", ", " / ", ", "))))
    return found


def _set(rng: Random, dept: Department) -> tuple[list[Piece], list[Piece]]:
    word = rng.choice(dept.nouns)
    kind = rng.choice(SETS)
    if rng.random() < 0.6:
        return [Piece(f"{word} {kind}", CORE)], []
    others = [
        Piece("with"),
        Piece(rng.choice(dept.nouns), OTHER),
        Piece("and"),
        Piece(rng.choice(dept.nouns), OTHER),
    ]
    return [Piece(f"{word} {kind}", CORE)], others


def _brand(rng: Random) -> tuple[list[Piece], list[Piece]]:
    """Return a brand with its line and model before the title, or the brand after it, or none."""
    draw = rng.random()
    if draw < 0.5:
        lead = [Piece(brand_name(rng), BRAND)]
        if rng.random() < 0.33:
            lead.append(Piece(product_line(rng), joint=rng.choice((" ",) * 11 + (" - ",))))
        if rng.random() < 0.2:
            lead.append(Piece(model_code(rng), PARAMETER))
        elif rng.random() < 0.08:
            lead.append(Piece(str(rng.randint(2, 999))))
        return lead, []
    if draw < 0.61:
        link = rng.choice(BRAND_LINKS)
        linked = [Piece(link)] if link else []
        return [], [*linked, Piece(brand_name(rng), BRAND)]
    return [], []


def _stuffing(rng: Random, dept: Department) -> list[Piece]:
    """Return further products and words that a shop adds to be found."""
    found: list[Piece] = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        if rng.random() < 0.6:
            found.append(modifier(rng, dept, "adjective", "variety", "occasion", "audience"))
        found.append(Piece(noun(rng, dept), OTHER, rng.choice((" ", " ", ", "))))
    if rng.random() < 0.3:
        found.append(modifier(rng, dept, "color"))
    return found
