"""Attributes and captions of the user's own, by product, which extract leaves as they are."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from genfilt.common.console import say
from genfilt.common.errors import UserError
from genfilt.ingest.columns import ROW, SourceRows
from genfilt.ingest.products import one_content_per_id
from genfilt.ingest.sources import COLUMNS
from genfilt.store.failures import Failure
from genfilt.store.store import Store, now

GIVEN = "given"  # the generator and the prompt key of these rows
KEYS = {"attributes": "title_key", "captions": "image_key"}
# Products share titles and pictures; of two contents for one, that of the first row is kept.
KNOWN = """
SELECT DISTINCT ON ({key}) {key}, {fields}, raw FROM (
    SELECT {key}, {fields}, "{row}" AS place, CAST(to_json(g) AS VARCHAR) AS raw
    FROM given g JOIN products USING (product_id) WHERE {key} IS NOT NULL
) ORDER BY {key}, place
"""
DIFFERENT = """
SELECT count(*) FROM (
    SELECT {key} FROM given JOIN products USING (product_id) WHERE {key} IS NOT NULL
    GROUP BY {key} HAVING count(DISTINCT struct_pack({fields})) > 1
)
"""


def prepare_given(rows: SourceRows, kind: str) -> pa.Table:
    """Return the rows that say something: product_id, the kind's fields and the source's row.

    Raises:
        UserError: there is no column of a field, a row has no id, or an id has two contents.
    """
    fields = COLUMNS[kind][1:]
    if not any(rows.has(name) for name in fields):
        raise UserError(
            f"{rows.name} has no column of {', '.join(fields)}; name one of them with --map."
        )
    rows.required("product_id")
    for name in fields:
        text = pc.utf8_trim_whitespace(pc.replace_substring_regex(rows.column(name), r"\s+", " "))
        rows = rows.replaced(name, pc.if_else(pc.equal(text, ""), None, text))
    rows = one_content_per_id(rows, "product_id", fields)
    said = pc.is_valid(rows.column(fields[0]))
    for name in fields[1:]:
        said = pc.or_(said, pc.is_valid(rows.column(name)))
    if silent := rows.table.num_rows - (pc.sum(said).as_py() or 0):
        say(f"{rows.name}: {silent:,} rows without a value are left out")
    return rows.table.select(["product_id", *fields, ROW]).filter(said)


def write_given(store: Store, rows: pa.Table, kind: str) -> tuple[int, list[tuple[str, Failure]]]:
    """Write rows of `prepare_given` as attributes or captions.

    Returns:
        How many titles or pictures have them, and the products that are unknown or have no
        picture.
    """
    key, fields = KEYS[kind], ", ".join(COLUMNS[kind][1:])
    with store.registered("given", rows):
        found = store.arrow(KNOWN.format(key=key, fields=fields, row=ROW))
        different = store.scalar(DIFFERENT.format(key=key, fields=fields))
        failures = [
            (f"product {name}", Failure(reason, f"in {kind}"))
            for name, reason in store.rows(
                "SELECT product_id, if(title_key IS NULL, 'unknown product', 'no picture') "
                f"FROM given LEFT JOIN products USING (product_id) WHERE {key} IS NULL "
                "ORDER BY product_id"
            )
        ]
    if different:
        thing = "titles" if kind == "attributes" else "pictures"
        say(f"{kind}: {different:,} {thing} have several contents; the first of each is kept")
    for name, value in (("prompt_key", GIVEN), ("generator", GIVEN), ("created_at", now())):
        found = found.append_column(name, pa.array([value] * found.num_rows))
    store.insert(kind, found, replace=True)
    return found.num_rows, failures
