"""Reader of titles by word lists, head nouns, and brands and product words of the catalogue.

It is a set of heuristics for English titles, not a language model: it has the words of its data
files, takes the last product word before "for" or "with" as core word, and learns brands and
unknown product words only from words that recur in the catalogue. It reads queries as well.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b

from genfilt.common.errors import UserError
from genfilt.generators.lexicon.brands import TokenizedTitle, is_ordinary, learn_brands
from genfilt.generators.lexicon.core_word import find_core_word, head_tokens
from genfilt.generators.protocols import Attributes, Failure
from genfilt.store.keys import text_key
from genfilt.vocabulary.parameters import Parameter, find_parameters
from genfilt.vocabulary.terms import Term, core_word_family, vocabulary
from genfilt.vocabulary.tokens import Match, Phrases, Token, clean, tokenize

RULES = "lexicon 1"  # changes with the rules below, so that titles are read anew
MAX_FIT_TITLES = 200_000  # titles of a fit; bounds its memory and time
MIN_HEAD_TITLES = 3  # titles that an unknown word must end to be learnt as a core word
MIN_HEAD_OPENINGS = 3  # different first words that these titles have
JEWELRY = frozenset({"earrings", "necklace", "bracelet", "ring", "brooch", "jewelry"})


class Lexicon:
    """Reads titles by vocabulary; fitted on a catalogue it has its brands and product words.

    Args:
        brands: folded brand -> brand as written.
        heads: product words that the vocabulary lacks.
    """

    def __init__(self, brands: Mapping[str, str], heads: Iterable[str]) -> None:
        self._brands: Phrases[str] = Phrases()
        for brand, written in sorted(brands.items()):
            self._brands.add(brand, written)
        self._heads = frozenset(heads)
        self._state = {"brands": dict(sorted(brands.items())), "heads": sorted(self._heads)}
        self.name = f"lexicon-{blake2b(self.state(), digest_size=6).hexdigest()}"
        self.prompt_key = text_key(f"{RULES} {vocabulary().digest}")

    @classmethod
    def fit(cls, titles: Sequence[str]) -> Lexicon:
        """Learn brands and unknown core words from distinct titles, in any order."""
        blank = cls({}, ())
        chosen = sorted(set(titles), key=text_key)[:MAX_FIT_TITLES]  # in an order without meaning
        words = {title: blank.attributes(title).core_word for title in chosen}

        def parsed() -> Iterator[TokenizedTitle]:
            for title, word in words.items():
                text = clean(title)
                family = None if word is None else core_word_family(word)
                yield TokenizedTitle(text, tokenize(text), family)

        brands = learn_brands(parsed)
        return cls(brands, _learn_heads((t for t, word in words.items() if word is None), brands))

    @classmethod
    def from_state(cls, state: bytes) -> Lexicon:
        """Rebuild a reader from `state()`."""
        try:
            found = json.loads(state)
            brands, heads = found["brands"], found["heads"]
            if not all(isinstance(text, str) for text in (*brands, *brands.values(), *heads)):
                raise TypeError("a name is no text")
            return cls(brands, heads)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"The stored state of the lexicon cannot be read ({error}); run extract --refit."
            ) from error

    def state(self) -> bytes:
        """Return what was learnt, as JSON: equal catalogues give equal bytes."""
        return json.dumps(self._state, ensure_ascii=False, sort_keys=True).encode()

    def read(self, titles: Mapping[str, str]) -> Iterator[tuple[str, Attributes | Failure]]:
        """Yield (key, attributes) for each title or query, in the order given."""
        for key, title in titles.items():
            yield key, self.attributes(title)

    def attributes(self, text: str) -> Attributes:
        """Read one title or query."""
        text = clean(text)
        tokens = tokenize(text)
        parameters = find_parameters(text)
        taken = _covered(tokens, parameters)
        brand = self._brand(tokens, taken)
        if brand is not None:
            taken |= set(range(brand.start, brand.end))
        core = find_core_word(tokens, taken, self._heads)
        taken |= core.covers
        materials = list(vocabulary().materials.find(tokens, taken - core.modifiers))
        taken |= {index for match in materials for index in range(match.start, match.end)}
        if core.word is not None and core_word_family(core.word) in JEWELRY:
            materials += _precious(tokens, taken)
        colors = list(vocabulary().colors.find(tokens, taken))
        fields = {
            "core_word": core.word,
            "material": _joined(match.entry.phrase for match in materials),
            "brand": None if brand is None else brand.entry,
            "color": _joined(match.entry.phrase for match in colors),
            "model_parameters": _joined(each.value for each in parameters),
        }
        return Attributes(**fields, raw=json.dumps(fields, ensure_ascii=False))

    def _brand(self, tokens: Sequence[Token], taken: set[int]) -> Match[str] | None:
        return next(self._brands.find(tokens, taken), None) or _maker(tokens, taken)


def _learn_heads(titles: Iterable[str], brands: Mapping[str, str]) -> list[str]:
    """Return dictionary words that end the head of titles without a known core word."""
    from simplemma import is_known

    names = {word for brand in brands for word in brand.split()}
    ends: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for title in titles:
        head = head_tokens(tokenize(clean(title)))
        if len(head) > 1 and not is_ordinary(head[-1].lower) and head[-1].lower not in names:
            ends[head[-1].lower][head[0].lower] += 1
    return [
        word
        for word, openings in ends.items()
        if openings.total() >= MIN_HEAD_TITLES
        and len(openings) >= MIN_HEAD_OPENINGS
        and is_known(word, lang="en")
        and vocabulary().lists["promotion_words"].get((word,)) is None
    ]


def _maker(tokens: Sequence[Token], taken: set[int]) -> Match[str] | None:
    """Find the capitalised name after "by"."""
    for at, token in enumerate(tokens[1:-1], start=1):
        if token.lower != "by":
            continue
        end = at + 1
        while end < len(tokens) and end - at <= 2 and _is_name(tokens[end]) and end not in taken:
            end += 1
        if end > at + 1:
            return Match(at + 1, end, " ".join(each.text for each in tokens[at + 1 : end]))
    return None


def _is_name(token: Token) -> bool:
    return token.text[0].isupper() and not token.breaks and not is_ordinary(token.lower)


def _covered(tokens: Sequence[Token], parameters: Sequence[Parameter]) -> set[int]:
    return {
        index
        for index, token in enumerate(tokens)
        if any(token.start < each.end and each.start < token.end for each in parameters)
    }


def _precious(tokens: Sequence[Token], taken: set[int]) -> list[Match[Term]]:
    """Gold and silver are materials of jewellery and colours of everything else."""
    return [
        Match(index, index + 1, Term(token.lower, token.lower, None))
        for index, token in enumerate(tokens)
        if token.lower in ("gold", "silver")
        and index not in taken
        and (index == 0 or tokens[index - 1].lower != "rose")
    ]


def _joined(values: Iterable[str]) -> str | None:
    return ", ".join(dict.fromkeys(values)) or None
