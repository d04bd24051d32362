"""The tagger as a reader of titles: labels of words, brands of the catalogue, values as written.

Every value is a run of the title's words. Each title has exactly one core word, unless all of its
words are a brand's or it has no word at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from hashlib import blake2b
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from genfilt.common.errors import UserError
from genfilt.generators.protocols import Attributes, Failure
from genfilt.generators.tagger.brand_statistics import (
    BrandTable,
    TaggedTitle,
    find_brand,
    learn_brands,
)
from genfilt.generators.tagger.german_nouns import MARKERS, noun_places
from genfilt.generators.tagger.title_words import TitleWords, title_words
from genfilt.generators.tagger.value_rules import values
from genfilt.generators.tagger.word_labels import (
    Scores,
    begin_label,
    decode,
    spans,
)
from genfilt.store.keys import text_key
from genfilt.vocabulary.terms import vocabulary

if TYPE_CHECKING:
    from genfilt.generators.tagger.token_model import TokenModel

RULES = "tagger 2"  # changes with the rules of this folder, so that titles are read anew
WEIGHTS = "tagger.safetensors"
MAX_FIT_TITLES = 50_000  # that brands are learnt from: a minute on two cores
TITLES_TOGETHER = 8192  # that are sorted by length before they are cut into batches
PIECES_PER_BATCH = 4096  # of titles of one length, which need no padding
BRAND, CORE = begin_label("brand"), begin_label("core_word")


class Tagger:
    """Reads titles with the trained network; fitted on a catalogue it has its brands.

    Args:
        table: the catalogue's brands, and the openings of titles that are none.
    """

    def __init__(self, table: BrandTable) -> None:
        self._table = table
        self.name = f"tagger-{blake2b(self.state(), digest_size=6).hexdigest()}"
        self.prompt_key = text_key(f"{RULES} {_weights_digest()} {vocabulary().digest}")

    @classmethod
    def fit(cls, titles: Sequence[str]) -> Tagger:
        """Learn brands from distinct titles, in any order."""
        chosen = sorted(set(titles), key=text_key)[:MAX_FIT_TITLES]  # in an order without meaning
        tagged: dict[int, TaggedTitle] = {}
        for rows, inputs, scores in _scored(chosen):
            tagged |= dict(zip(rows, _tagged(inputs, scores), strict=True))
        return cls(learn_brands([tagged[row] for row in sorted(tagged)]))

    @classmethod
    def from_state(cls, state: bytes) -> Tagger:
        """Rebuild a reader from `state()`; raises UserError where it is none."""
        try:
            found = json.loads(state)
            return cls(BrandTable(frozenset(found["brands"]), frozenset(found["rejected"])))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"The stored state of the tagger cannot be read ({error}); run extract --refit."
            ) from error

    def state(self) -> bytes:
        """Return what was learnt, as JSON: equal catalogues give equal bytes."""
        table = {"brands": sorted(self._table.brands), "rejected": sorted(self._table.rejected)}
        return json.dumps(table, ensure_ascii=False, sort_keys=True).encode()

    def read(self, titles: Mapping[str, str]) -> Iterator[tuple[str, Attributes | Failure]]:
        """Yield (key, attributes) for each title or query, each once."""
        keys = list(titles)
        for start in range(0, len(keys), TITLES_TOGETHER):
            near = keys[start : start + TITLES_TOGETHER]
            for rows, inputs, scores in _scored([titles[key] for key in near]):
                for row, found in zip(rows, self._attributes(inputs, scores), strict=True):
                    yield near[row], found

    def attributes(self, text: str) -> Attributes:
        """Read one title or query."""
        ((_, found),) = self.read({"": text})
        assert isinstance(found, Attributes)
        return found

    def _attributes(
        self, titles: Sequence[TitleWords], scores: Sequence[Scores]
    ) -> Iterator[Attributes]:
        brands = [
            self._brand(title, tagged)
            for title, tagged in zip(titles, _tagged(titles, scores), strict=True)
        ]
        given = [_given_brand(*each) for each in zip(scores, brands, strict=True)]
        labels = decode([_given_nouns(*each) for each in zip(given, titles, strict=True)])
        for title, brand, found in zip(titles, brands, labels, strict=True):
            if brand is not None and brand[1] - brand[0] == len(found):
                found = [BRAND, *[BRAND + 1] * (len(found) - 1)]
            fields = values(title, spans(found))
            yield Attributes(**fields, raw=json.dumps(fields, ensure_ascii=False))

    def _brand(self, title: TitleWords, tagged: TaggedTitle) -> tuple[int, int] | None:
        """Return the words of a title's brand; in German the catalogue alone knows any."""
        if not tagged.words:
            return None
        if noun_places(title.words) is None:
            return find_brand(tagged, self._table)
        brand = find_brand(replace(tagged, brand=None), self._table)
        inside = () if brand is None else tagged.words[slice(*brand)]
        return None if MARKERS.intersection(inside) else brand


def _scored(
    titles: Sequence[str],
) -> Iterator[tuple[list[int], list[TitleWords], list[Scores]]]:
    """Yield rows of titles of like length, their words and their labels' log probabilities."""
    import torch

    from genfilt.generators.tagger.token_model import score

    model, inputs = _model(), title_words(titles)
    parts = list(_batches([len(each.pieces) for each in inputs]))
    words = [[inputs[row] for row in part] for part in parts]
    # One thread a batch: several that share these small products of matrices wait for each other.
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from zip(parts, words, pool.map(partial(score, model), words), strict=True)
    finally:
        torch.set_num_threads(threads)  # what a thread sets holds for threads begun after it


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the rows of each batch, all of one length."""
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        by_length.setdefault(length, []).append(row)
    for length, rows in sorted(by_length.items()):
        size = max(1, PIECES_PER_BATCH // length)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _given_brand(scores: Scores, brand: tuple[int, int] | None) -> Scores:
    """Return scores that allow the brand's labels for the brand's words alone."""
    if brand is not None and brand[1] - brand[0] == len(scores):
        return scores  # no word is left for a core word
    allowed = scores.copy()
    allowed[:, BRAND : BRAND + 2] = -np.inf
    if brand is not None:
        start, end = brand
        allowed[start:end] = -np.inf
        allowed[start, BRAND] = 0
        allowed[start + 1 : end, BRAND + 1] = 0
    return allowed


def _given_nouns(scores: Scores, title: TitleWords) -> Scores:
    """Return scores that allow a core word for nouns alone, where the language shows them."""
    places = noun_places(title.words)
    if places is None or not np.isfinite(scores[places, CORE]).any():
        return scores
    allowed = scores.copy()
    allowed[~places, CORE : CORE + 2] = -np.inf
    return allowed


def _tagged(titles: Sequence[TitleWords], scores: Sequence[Scores]) -> list[TaggedTitle]:
    """Return what the network alone finds in titles."""
    return [_one_tagged(*each) for each in zip(titles, scores, decode(scores), strict=True)]


def _one_tagged(title: TitleWords, scores: Scores, labels: Sequence[int]) -> TaggedTitle:
    found = spans(labels)
    core = next((span for span in found if span.field == "core_word"), None)
    brands = [(span.start, span.end) for span in found if span.field == "brand"]
    chances = np.exp(scores[:, BRAND : BRAND + 2]).sum(axis=1)
    leads = bool(found) and found[0].field == "model_parameters" and not found[0].start
    return TaggedTitle(
        words=[word.lower for word in title.words],
        first=found[0].end if leads and found[0].end < len(title.words) else 0,
        core=(0, -1) if core is None else (core.start, core.end - 1),
        probability=[float(chance) for chance in chances],
        brand=max(brands, key=lambda span: chances[span[0] : span[1]].mean(), default=None),
    )


@lru_cache(maxsize=1)
def _model() -> TokenModel:
    from genfilt.generators.tagger.token_model import load_model

    return load_model()


@lru_cache(maxsize=1)
def _weights_digest() -> str:
    data = (files(__package__) / WEIGHTS).read_bytes()
    return blake2b(data, digest_size=16).hexdigest()
