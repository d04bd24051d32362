"""The texts of one query and one product, by id, by text, or new, with their vectors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from genfilt.common.arrays import Vectors
from genfilt.common.errors import UsageError, UserError
from genfilt.features.corpus import Corpus
from genfilt.features.embed import Embedder, KeptVectors
from genfilt.features.texts import NO_IMAGE, Features, Texts
from genfilt.filter.calibrated.database_input import read_query_attributes
from genfilt.generators.protocols import FIELDS, Attributes
from genfilt.store.keys import normalize_query, query_key, text_key
from genfilt.store.named_statements import named_statements
from genfilt.store.store import Store

LIKE_AN_ID = re.compile(r"[^\W\d]*[\W_]*\d[\w\-.:/#]*")  # "p123", "sku-77", "0042"
MAX_SLIPS = 2  # letters wrong in an id that was meant
# The order of the words of a title's feature text.
IN_ORDER = ("brand", "color", "material", "core_word", "model_parameters")


@dataclass(frozen=True)
class PairQuery:
    """A query; q and query_id are None for a text that the database has not."""

    text: str
    query_id: str | None = None
    q: int | None = None


@dataclass(frozen=True)
class PairProduct:
    """A product as the rules read it.

    Attributes:
        title: as written.
        feature: the text that is embedded for the title.
        caption: the text that is embedded for the picture, "" for none.
        attributes: read from the title.
        product_id, p, split: None for a title that the database has not.
        f: None for a title that the current filter has not seen.
    """

    title: str
    feature: str
    caption: str
    attributes: Attributes | None
    product_id: str | None = None
    p: int | None = None
    f: int | None = None
    split: str | None = None


def statement(name: str) -> str:
    """Return the SQL statement of explain.sql that has this name."""
    return named_statements("genfilt.inspect", "explain.sql")[name]


def find_query(store: Store, query: str) -> PairQuery:
    """Return a query by its id, else by its text, else as a new one.

    Raises:
        UsageError: the text has no characters but white space, or looks like a mistyped id.
    """
    rows = store.rows(statement("query"), {"id": query, "key": query_key(query)})
    if rows:
        query_id, text, q = rows[0]
        found = PairQuery(normalize_query(text), query_id, q)
    else:
        _refuse_slip(store, "similar_queries", "query", query)
        found = PairQuery(normalize_query(query))
    if not found.text:
        raise UsageError(f"The query {query!r} is empty; give the id or the text of another one.")
    return found


def find_product(store: Store, product: str) -> PairProduct:
    """Return a product by its id, else by its title, else by a new title.

    A title that no generator has read yet is read by the lexicon.

    Raises:
        UsageError: the title has no characters but white space, or looks like a mistyped id.
    """
    rows = store.rows(statement("product"), {"id": product, "key": text_key(product)})
    if not rows:
        if not product.strip():
            raise UsageError("The title is empty; give the id or the title of a product.")
        _refuse_slip(store, "similar_products", "product", product)
        attributes = _read(store, product)
        return PairProduct(product, feature_text(product, attributes), "", attributes)
    product_id, title, split, p, f, feature, caption, *fields = rows[0]
    core_word, material, brand, color, parameters = fields
    attributes = None
    if any(fields):
        attributes = Attributes(core_word, material, brand, color, parameters, raw="")
    if f is None:
        attributes = attributes or _read(store, title)
        feature = feature_text(title, attributes)
    return PairProduct(title, feature, caption, attributes, product_id, p, f, split)


def _refuse_slip(store: Store, name: str, kind: str, text: str) -> None:
    """Refuse a text without blanks that looks like an id and nearly is one."""
    if not LIKE_AN_ID.fullmatch(text.strip()):
        return
    similar = {"id": text.strip(), "slips": min(MAX_SLIPS, len(text.strip()) // 2)}
    ids = [str(found) for (found,) in store.rows(statement(name), similar)]
    if ids:
        raise UsageError(
            f"There is no {kind} {text.strip()!r}; did you mean {' or '.join(ids)}? A new text "
            "must have another form than an id."
        )


def feature_text(title: str, attributes: Attributes | None) -> str:
    """Return the text that is embedded for a title, as features/texts.py makes it in SQL."""
    if attributes is None or attributes.core_word is None:
        return title
    found = {name: getattr(attributes, name) for name in FIELDS}
    words = " ".join(found[name] for name in IN_ORDER if found[name]).split(" ")
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(word.rstrip(",").lower(), word)
    return " ".join(first.values())


def pair_corpus(query: Vectors, title: Vectors, image: Vectors) -> Corpus:
    """Return a corpus of one query and one product, numbered 0.

    Args:
        query: (1, D).
        title: (1, D).
        image: (1, D), or (0, D) without a caption.
    """
    one, numbers = np.zeros(1, dtype=np.int64), np.arange(len(image))
    features = Features(one, one, one if len(image) else one + NO_IMAGE)
    images = Texts(numbers, [""] * len(image))
    return Corpus(Texts(one, [""]), Texts(one, [""]), images, features, query, title, image, 0, 0)


def text_vectors(store: Store, embedder: Embedder, name: str, texts: Sequence[str]) -> Vectors:
    """Return the unit vectors of a few texts, (len(texts), D); nothing is written.

    Args:
        store: the tables, whose kept vectors are taken where there are any.
        embedder: computes the others.
        name: of the current filter's embedder, which `embedder` has to be.

    Raises:
        UserError: a vector is missing and `embedder` is another one, or has no model.
    """
    keys = [text_key(text) for text in texts]
    found = {
        key: np.array(vector, dtype=np.float32)
        for key, vector in store.rows(statement("vectors"), {"embedder": name, "keys": keys})
    }
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
    if missing and embedder.name != name:
        raise UserError(
            f"--embedder must be the current filter's, {name}, got {embedder.name}; give that one."
        )
    if missing and isinstance(embedder, KeptVectors):
        raise UserError(
            f"A text is new, and the folder of {name} is not kept in the database; give it to "
            "genfilt explain --embedder."
        )
    if missing:
        found |= dict(zip(missing, embedder.encode(list(missing.values())), strict=True))
    return np.stack([found[key] for key in keys]) if keys else np.zeros((0, 0), dtype=np.float32)


def _read(store: Store, title: str) -> Attributes | None:
    """Read a title with the lexicon, which the calibrated rule reads queries with too."""
    empty = np.zeros((1, 0), dtype=np.float32)
    corpus = pair_corpus(empty, empty, empty[:0])
    unknown = Texts(np.array([-1], dtype=np.int64), [title])
    return read_query_attributes(store, replace(corpus, queries=unknown))[0]
