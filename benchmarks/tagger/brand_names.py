"""Brand names for training titles: made up, ordinary words, units, people, famous makers."""

from __future__ import annotations

from random import Random

from word_lists import brand_words

_TITLES = ("Dr.", "Mr.", "St.", "Mrs.", "Le", "La", "El", "Von")


def brand_name(rng: Random) -> str:
    """Return a brand in the case in which its maker writes it."""
    kinds = (_made_up, _ordinary, _two_words, _unit_like, _person, _with_company, _famous, _joined)
    (kind,) = rng.choices(kinds, (30, 14, 12, 7, 9, 12, 10, 6))
    return kind(rng)


def pseudo_word(rng: Random) -> str:
    """Return a pronounceable word that no dictionary has."""
    vowels = brand_words("vowels")[:5] * 3 + brand_words("vowels")  # the single ones more often
    word = rng.choice(brand_words("starts")) + rng.choice(vowels)
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        word += rng.choice(brand_words("middles")) + rng.choice(vowels)
    word += rng.choice(brand_words("ends")) if rng.random() < 0.9 else ""
    return word if len(word) > 2 else word + rng.choice(brand_words("middles")) + "a"


def _made_up(rng: Random) -> str:
    word = pseudo_word(rng)
    style = rng.random()
    if style < 0.16:
        return word.upper()
    if style < 0.21 and len(word) > 5:
        return word[:4].title() + word[4:].title()
    return word.title() if style < 0.94 else word


def _capitalised(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.split())


def _ordinary(rng: Random) -> str:
    return _capitalised(rng.choice(brand_words("ordinary_words")))


def _two_words(rng: Random) -> str:
    first = rng.choice(brand_words("ordinary_words")).split()[0]
    second = rng.choice((rng.choice(brand_words("ordinary_words")).split()[-1], pseudo_word(rng)))
    return _capitalised(f"{first} {second}" if rng.random() < 0.7 else f"{first} & {second}")


def _unit_like(rng: Random) -> str:
    if rng.random() < 0.4:
        letters = "".join(
            rng.choice("ABCDEFGHIJKLMNOPRSTUVWXZ") for _ in range(rng.choice((2, 3, 3, 4)))
        )
        return letters + rng.choice(("", "", "", str(rng.randint(1, 9))))
    word = rng.choice(brand_words("unit_like"))
    return word.upper() if len(word) < 4 or rng.random() < 0.3 else _capitalised(word)


def _person(rng: Random) -> str:
    last = rng.choice(brand_words("people"))
    if rng.random() < 0.25:
        last = pseudo_word(rng)
    style = rng.random()
    if style < 0.5:
        return _capitalised(f"{rng.choice(brand_words('first_names'))} {last}")
    if style < 0.65:
        return _capitalised(last) + "'s"
    if style < 0.75:
        return f"{rng.choice(_TITLES)} {_capitalised(last)}"
    return _capitalised(f"{last} & {rng.choice(brand_words('people'))}")


def _with_company(rng: Random) -> str:
    first = rng.choice((_made_up, _made_up, _ordinary))(rng)
    word = rng.choice(brand_words("company_words"))
    return f"{first} {_capitalised(word) if len(word) > 2 else word.upper()}"


def _famous(rng: Random) -> str:
    return _capitalised(rng.choice(brand_words("famous")))


def _joined(rng: Random) -> str:
    first, second = (rng.choice(brand_words("ordinary_words")).split()[0] for _ in range(2))
    return rng.choice(
        (first.title() + second, first.title() + second.title(), (first + second).upper())
    )
