"""Pieces of shop titles beside the product and the brand: looks, sizes, packages, model codes."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from brand_names import pseudo_word
from word_lists import Department, departments, shared

CORE, OTHER = "core_word", "other_product"
BRAND, MATERIAL, COLOR, PARAMETER = "brand", "material", "color", "model_parameters"
PLAIN = ""
# kind of modifier, how often a title has it, how often it then stands before the core word
MODIFIERS = (
    ("adjective", 0.55, 0.8),
    ("adjective", 0.35, 0.75),
    ("adjective", 0.2, 0.6),
    ("variety", 0.4, 0.7),
    ("variety", 0.12, 0.5),
    ("color", 0.3, 0.4),
    ("material", 0.34, 0.7),
    ("material", 0.08, 0.0),
    ("audience", 0.25, 0.7),
    ("size", 0.4, 0.3),
    ("size", 0.08, 0.3),
    ("promotion", 0.15, 0.7),
    ("origin", 0.05, 0.9),
    ("occasion", 0.06, 0.6),
    ("feature", 0.16, 0.0),
    ("people", 0.04, 0.0),
    ("packing", 0.14, 0.0),
    ("form", 0.2, 0.0),
    ("code", 0.1, 0.15),
    ("pseudo", 0.04, 0.8),
    ("pseudo", 0.05, 0.0),
    ("container", 0.06, 0.0),
    ("part", 0.08, 0.0),
    ("adjunct", 0.1, 0.9),
    ("letters", 0.03, 0.8),
)
NOUN_FIRST = 0.3  # of the titles, those that name the product early and what it is like after it
DENSITIES = (0.4, 0.8, 1.0, 1.0, 1.3)  # of modifiers: shops write short and long titles
JOINTS = (" ", " ", " ", " ", " ", " ", ", ", ", ", " - ", " | ", " (", " / ")
LEADS = (
    *("adjective", "variety", "promotion", "promotion", "adjunct", "letters", "material"),
    *("origin", "occasion", "audience", "color"),
)
PACKINGS = (
    *("pack of {}", "set of {}", "case of {}", "box of {}", "{} pack", "{}-pack", "{} pk", "{}pk"),
    *("{} pcs", "{}pcs", "{} pieces", "{} piece", "{} count", "{} ct", "x{}"),
)
PACKED = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 30, 48, 50, 100, 144, 200)
CLOTHES_SIZES = ("XL", "XXL", "2XL", "size M", "L", "M", "S", "small size")
DIMENSIONS = ("inch", "cm", "mm", "ft", "m")
CODES = ("{a}{d}", "{a}-{d}", "{a} {d}", "{a}{d}{b}", "{d}{a}", "{a}{d}-{b}{e}", "{a}{d}/{e}")


@dataclass(frozen=True)
class Piece:
    """A run of words with one label, and what stands between it and the piece before."""

    text: str
    label: str = PLAIN
    joint: str = " "


def modifiers(rng: Random, dept: Department) -> tuple[list[Piece], list[Piece]]:
    """Return unlabelled and labelled words before and after the core word."""
    before: list[Piece] = []
    after: list[Piece] = []
    density = rng.choice(DENSITIES)
    noun_first = rng.random() < NOUN_FIRST
    for kind, chance, early in MODIFIERS:
        if rng.random() >= chance * density:
            continue
        piece = modifier(rng, dept, kind)
        if rng.random() < early * (0.2 if noun_first else 1):
            before.append(piece)
        else:
            joint = " " if noun_first and rng.random() < 0.8 else rng.choice(JOINTS)
            after.append(Piece(piece.text, piece.label, joint))
    rng.shuffle(before)
    rng.shuffle(after)
    return before, after


def modifier(rng: Random, dept: Department, *kinds: str) -> Piece:
    """Return a modifier of one of the kinds."""
    kind = rng.choice(kinds)
    if kind == "size":
        return Piece(_size(rng, dept), PARAMETER)
    if kind == "code":
        return Piece(model_code(rng), PARAMETER)
    if kind == "packing":
        plain = rng.random() < 0.45
        return Piece(rng.choice(shared("bare_packing"))) if plain else packing(rng)
    if kind == "material" and dept.materials:
        return Piece(_material(rng, dept), MATERIAL)
    if kind == "color":
        return Piece(rng.choice(shared("colors")), COLOR)
    if kind == "people":
        link = rng.choice(("for", "gift for", "gifts for"))
        return Piece(f"{link} {rng.choice(shared('gift_people'))}")
    if kind == "adjunct":  # a noun that says what the product goes with: "kitchen ... towel"
        other = rng.choice(list(departments().values()))
        return Piece(rng.choice(rng.choice((other.nouns, other.hosts or other.nouns))).split()[-1])
    if kind == "letters":
        return Piece("".join(rng.sample("ABCDEFGHILMNOPRSTUVW", rng.choice((2, 3, 3, 4)))))
    if kind == "pseudo":
        return Piece(pseudo_word(rng).title())
    if kind == "part":  # named without a link: "white lid"
        look = rng.choice((rng.choice(dept.adjectives), rng.choice(shared("colors"))))
        return Piece(f"{look} {rng.choice(shared('parts'))}")
    lists = {
        "container": shared("containers"),
        "variety": dept.varieties,
        "audience": dept.audiences,
        "feature": dept.features,
        "form": dept.forms,
        "promotion": shared("promotions"),
        "origin": shared("origins"),
        "occasion": shared("occasions"),
    }
    return Piece(rng.choice(lists.get(kind, ()) or dept.adjectives))


def leading_words(rng: Random, dept: Department) -> list[Piece]:
    """Return words that open a title as a brand would, and are none."""
    if rng.random() < 0.35:
        return [Piece(product_line(rng))]
    return [modifier(rng, dept, *LEADS) for _ in range(rng.choice((1, 1, 2)))]


def product_line(rng: Random) -> str:
    """Return the name of a line of products."""
    words = [rng.choice(shared("series")) if rng.random() < 0.7 else pseudo_word(rng)]
    if rng.random() < 0.25:
        number = str(rng.randint(2, 20))
        words.append(rng.choice((rng.choice(shared("series")), number, "ii", "iii", "x")))
    return " ".join(words)


def packing(rng: Random) -> Piece:
    """Return how many are sold together."""
    if rng.random() < 0.5:
        return Piece(rng.choice(shared("packing")), PARAMETER)
    return Piece(rng.choice(PACKINGS).format(rng.choice(PACKED)), PARAMETER)


def model_code(rng: Random) -> str:
    """Return a maker's model number."""
    letters = "ABCDEFGHKLMNPRSTVWXZ"
    first = "".join(rng.choice(letters) for _ in range(rng.choice((1, 1, 2, 2, 3))))
    digits = str(rng.randint(2, 9999))
    form = rng.choice(CODES)
    return form.format(a=first, d=digits, b=rng.choice(letters), e=rng.randint(1, 99))


def _material(rng: Random, dept: Department) -> str:
    first = rng.choice(dept.materials)
    return f"{rng.randint(1, 10) * 10}% {first}" if rng.random() < 0.1 else first


def _size(rng: Random, dept: Department) -> str:
    unit = rng.choice(dept.sizes)
    if unit == "size":
        return rng.choice((f"size {rng.randint(2, 48)}", rng.choice(CLOTHES_SIZES)))
    if unit in ("uk", "us", "eu"):
        return f"{unit} {rng.randint(3, 46)}"
    if unit == "x" or (unit in DIMENSIONS and rng.random() < 0.15):
        across = rng.choice((" x ", "x", "x", " X "))
        parts = [str(rng.randint(2, 240)) for _ in range(rng.choice((2, 2, 3)))]
        return across.join(parts) + rng.choice((" cm", "cm", " inch", '"', "mm", " in", ""))
    whole = rng.choice((rng.randint(1, 12), rng.randint(1, 100), rng.randint(1, 50) * 10))
    fraction = rng.choice((f"{rng.randint(0, 20)}.{rng.randint(1, 9)}", f"{rng.randint(1, 7)}/8"))
    number = str(whole) if rng.random() < 0.7 else fraction
    return f"{number}{rng.choice((' ', ' ', '', '', '-'))}{unit}"
