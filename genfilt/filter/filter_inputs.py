"""What a filter's result depends on, as one hash: equal inputs need no second run."""

from __future__ import annotations

from importlib.metadata import version

from genfilt.features.texts import TEMPLATE
from genfilt.filter.rules import FilterSettings
from genfilt.store.keys import text_key
from genfilt.store.store import Store

FILTERED = "inputs of filter"  # in meta: the number of the filter and the key of its inputs

# Of rows that a key makes distinct, so that no two of them cancel each other.
CONTENT = """
SELECT count(*), bit_xor(hash(query_id, q)) FROM query_no
UNION ALL
SELECT count(*), bit_xor(hash(product_id, p, f, split, category))
FROM products JOIN product_no USING (product_id)
UNION ALL
SELECT count(*), bit_xor(hash(f, f_title, f_image)) FROM features
UNION ALL
SELECT count(*), bit_xor(hash(title_key, generator, core_word, material, brand, color,
                              model_parameters)) FROM current_attributes
UNION ALL
SELECT count(*), bit_xor(hash(query_id, product_id, clicks, split)) FROM clicks
UNION ALL
SELECT count(*), bit_xor(hash(query_id, product_id, label, split)) FROM labels
UNION ALL
SELECT count(*), bit_xor(hash(query_id, product_id, reviewer, verdict, "at")) FROM reviews
"""


def inputs_key(
    store: Store, settings: FilterSettings, embedder: str, generators: tuple[str, str]
) -> str:
    """Return the key of all that a filter reads: data, settings, models and this version."""
    parts = (settings, embedder, generators, TEMPLATE, version("genfilt"), store.rows(CONTENT))
    return text_key(repr(parts))


def is_filtered(store: Store, key: str) -> bool:
    """Tell whether the current filter was made of these inputs."""
    current = store.scalar("SELECT filter_id FROM filters WHERE current")
    return current is not None and store.meta(FILTERED) == f"{current} {key}"


def remember_inputs(store: Store, filter_id: int, key: str) -> None:
    """Write down what the current filter was made of, in the transaction that made it."""
    store.set_meta(FILTERED, f"{filter_id} {key}")
