"""The calibrated rule's inputs as the database has them: texts, attributes and the train log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from genfilt.common.arrays import Floats, Rows
from genfilt.features.corpus import Corpus
from genfilt.features.texts import TEMPLATE
from genfilt.filter.agreement.attribute_values import Product, values_of_product
from genfilt.filter.calibrated.coverage import RELEVANT, UNJUDGED, Pairs
from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.protocols import Attributes
from genfilt.store.named_statements import named_statements
from genfilt.store.store import Store


@dataclass(frozen=True)
class ProductTexts:
    """The titles as written and the attribute values of the F products, in the corpus's order."""

    titles: list[str]
    values: list[Product]


def statement(name: str) -> str:
    """Return the SQL statement of calibration_data.sql that has this name."""
    return named_statements("genfilt.filter.calibrated", "calibration_data.sql")[name]


def stage_products(store: Store) -> None:
    """Fill the temporary table product_texts with the texts of all products to be scored."""
    store.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE product_texts AS {statement('products')}"
    )


def read_products(store: Store, f: Rows) -> ProductTexts:
    """Read the staged texts of the products with these numbers, (K,) ascending."""
    wanted = pa.table({"f": f})
    with store.registered("wanted_products", wanted):
        rows = store.rows(
            "SELECT title, caption, core_word, material, brand, color, model_parameters "
            "FROM (FROM product_texts WHERE f BETWEEN ? AND ?) SEMI JOIN wanted_products USING (f) "
            "ORDER BY f",
            [int(f.min(initial=0)), int(f.max(initial=-1))],
        )
    values = [
        values_of_product(title, _attributes(fields), caption) for title, caption, *fields in rows
    ]
    return ProductTexts([title for title, *_ in rows], values)


def sampled_products(store: Store, count: int) -> Rows:
    """Return the f of at most so many staged products, ascending, drawn by their texts alone."""
    rows = store.rows(
        "SELECT f FROM (SELECT f, hash(title, caption) AS draw FROM product_texts "
        "ORDER BY draw, f LIMIT ?) ORDER BY f",
        [count],
    )
    return np.array([f for (f,) in rows], dtype=np.int64)


def read_train_log(store: Store) -> pa.Table:
    """Read q, f, clicks and label (NULL, or the share of raters in favour) of the train pairs."""
    return store.arrow(statement("train_log"))


def read_product_log(store: Store, f: int) -> list[tuple[int, int, float | None]]:
    """Return q, clicks and label of the train pairs of one product."""
    return store.rows(f"SELECT q, clicks, label FROM ({statement('train_log')}) WHERE f = ?", [f])


def is_train_product(store: Store, f: int) -> bool:
    """Return whether a product with these texts is a train product."""
    sql = f"SELECT count(*) FROM ({statement('train_features')}) WHERE f = ?"
    return bool(store.scalar(sql, [f]))


def judgement(shares: Floats) -> npt.NDArray[np.int8]:
    """Return the labels of pairs by the share of raters in favour, NaN where none judged."""
    return np.where(np.isnan(shares), UNJUDGED, (shares >= 0.5) * RELEVANT).astype(np.int8)


def log_pairs(table: pa.Table, corpus: Corpus) -> Pairs:
    """Return the train log by rows of the corpus; pairs without a text are left out."""
    q, f = (table[name].to_numpy().astype(np.int64) for name in ("q", "f"))
    here = np.isin(q, corpus.queries.numbers) & np.isin(f, corpus.features.f)
    shares = table["label"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    label = judgement(shares)
    return Pairs(
        corpus.queries.rows_of(q[here]),
        np.searchsorted(corpus.features.f, f[here]),
        np.ones(int(here.sum())),
        table["clicks"].to_numpy().astype(np.int64)[here],
        label[here],
    )


def read_train_rows(store: Store, corpus: Corpus) -> Rows:
    """Return the rows of the train products, ascending."""
    train = store.arrow(statement("train_features"))["f"].to_numpy().astype(np.int64)
    return np.flatnonzero(np.isin(corpus.features.f, train))


def read_categories(store: Store, corpus: Corpus) -> list[str]:
    """Return the category of each product of the corpus, "" for none: it groups the audit alone."""
    category = dict(store.rows(statement("categories")))
    return [str(category.get(f, "")) for f in corpus.features.f.tolist()]


def read_query_attributes(store: Store, corpus: Corpus) -> list[Attributes | None]:
    """Return the attributes of each query: those extracted, else those that the lexicon finds."""
    with store.registered("wanted_queries", pa.table({"q": corpus.queries.numbers})):
        found = store.rows(statement("query_attributes"))
    stored = {q: _attributes(fields) for q, *fields in found}
    lexicon = _lexicon(store)
    texts = zip(corpus.queries.numbers.tolist(), corpus.queries.texts, strict=True)
    return [stored.get(q) or lexicon.attributes(text) for q, text in texts]


def fitted_for(store: Store, embedder: str, train_log: pa.Table) -> dict[str, str]:
    """Return the embedder, generators, template and data hash for which a fit holds."""
    with store.registered("train_log", train_log):
        data = [str(value or 0) for (value,) in store.rows(statement("data_hash"))]
    return {
        "embedder": embedder,
        "llm": str(store.meta("llm")),
        "captioner": str(store.meta("captioner")),
        "template": TEMPLATE,
        "data": "-".join(data),
    }


def _lexicon(store: Store) -> Lexicon:
    """Return the lexicon that read the titles, else one that has the vocabulary alone."""
    state = store.scalar(statement("reader_state"))
    return Lexicon({}, ()) if state is None else Lexicon.from_state(bytes(state))


def _attributes(fields: Sequence[str | None]) -> Attributes | None:
    core_word, material, brand, color, parameters = fields
    if not any(fields):
        return None
    return Attributes(core_word, material, brand, color, parameters, raw="")
