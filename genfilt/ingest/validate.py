"""Structural checks on what was read: they stop ingest before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from genfilt.common.errors import UserError
from genfilt.common.sheets import unshield
from genfilt.generators.protocols import Failure
from genfilt.ingest.readers import require_columns
from genfilt.store.store import Store, now

SPLITS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
VERDICTS = {"0": 0, "1": 1, "no": 0, "yes": 1, "false": 0, "true": 1}


def text_column(
    table: pa.Table, column: str, source: str, *, required: bool = False
) -> list[str | None]:
    """Return a column as text, None for NULL and for a column that is not there.

    Raises:
        UserError: `required`, and a row has no value.
    """
    if column not in table.column_names:
        return [None] * table.num_rows
    values = [None if value is None else str(value) for value in table[column].to_pylist()]
    if required and (None in values or "" in values):
        row = next(row for row, value in enumerate(values) if not value)
        raise UserError(f"{source} has no {column} in data row {row + 1}; fill it in or drop it.")
    return values


def one_content_per_id(
    ids: Sequence[str | None], contents: Sequence[Any], column: str, source: str
) -> dict[str, int]:
    """Return the first row of each id, in the source's order.

    Raises:
        UserError: one id stands for two contents.
    """
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        assert name is not None
        earlier = first.setdefault(name, row)
        if contents[earlier] != contents[row]:
            raise UserError(
                f"{source} gives {column} {name} two contents, {contents[earlier]!r} in data row "
                f"{earlier + 1} and {contents[row]!r} in row {row + 1}; keep one."
            )
    return first


def parse_splits(table: pa.Table, source: str) -> list[str | None]:
    """Return train, val or test for each row, None where the source says nothing."""
    splits: list[str | None] = []
    for row, word in enumerate(text_column(table, "split", source)):
        if word and word.lower() not in SPLITS:
            raise UserError(
                f"{source} has the split {word!r} in data row {row + 1}; use train, val or test."
            )
        splits.append(SPLITS[word.lower()] if word else None)
    return splits


def _pairs(table: pa.Table, source: str) -> dict[str, list[str | None]]:
    return {
        "query_id": text_column(table, "query_id", source, required=True),
        "product_id": text_column(table, "product_id", source, required=True),
    }


def parse_clicks(table: pa.Table, source: str, min_clicks: int) -> pa.Table:
    """Return the clicks of each pair, rows added up, those below `min_clicks` left out."""
    counts: list[int] = []
    for row, value in enumerate(text_column(table, "clicks", source)):
        try:
            counts.append(1 if value is None else int(float(value)))
        except ValueError:
            counts.append(0)
        if counts[-1] < 1:
            raise UserError(
                f"{source} has {value!r} clicks in data row {row + 1}; give a whole number above 0."
            )
    rows = pa.table(
        {**_pairs(table, source), "clicks": counts, "split": parse_splits(table, source)}
    )
    total = rows.group_by(["query_id", "product_id"], use_threads=False).aggregate(
        [("clicks", "sum"), ("split", "max"), ("split", "min")]
    )
    _one_value(total, "split", source)
    total = total.rename_columns(["query_id", "product_id", "clicks", "split", "other"])
    total = total.set_column(3, "split", total["split"].cast(pa.string())).drop_columns("other")
    return total.filter(pc.field("clicks") >= min_clicks)


def _one_value(grouped: pa.Table, column: str, source: str) -> None:
    high, low = grouped[f"{column}_max"].to_pylist(), grouped[f"{column}_min"].to_pylist()
    for row, (one, other) in enumerate(zip(high, low, strict=True)):
        if one != other:
            query, product = grouped["query_id"][row], grouped["product_id"][row]
            raise UserError(
                f"{source} gives query {query} and product {product} two values of {column}, "
                f"{other} and {one}; keep one."
            )


def parse_labels(table: pa.Table, source: str, label_map: Mapping[str, int]) -> pa.Table:
    """Return labels 0 or 1 with the source's own word as grade.

    Args:
        table: query_id, product_id, label and perhaps grade, split.
        source: what messages call it.
        label_map: 0 or 1 by the source's word; without one the words must be 0 and 1.
    """
    words = text_column(table, "label", source, required=True)
    known: Mapping[str, int] = label_map or {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
    labels = []
    for row, word in enumerate(words):
        assert word is not None
        if word not in known:
            raise UserError(
                f"{source} has the label {word!r} in data row {row + 1}, which is none of "
                f"{', '.join(known)}; say what it means with --label-map {word}=0 or {word}=1."
            )
        labels.append(known[word])
    grades = text_column(table, "grade", source)
    rows = {
        **_pairs(table, source),
        "label": pa.array(labels, pa.int8()),
        "grade": pa.array([g or w for g, w in zip(grades, words, strict=True)], pa.string()),
        "split": pa.array(parse_splits(table, source), pa.string()),
    }
    pairs = list(zip(rows["query_id"], rows["product_id"], strict=True))
    contents = list(zip(labels, rows["split"].to_pylist(), strict=True))
    names = [f"{query} with product {product}" for query, product in pairs]
    first = one_content_per_id(names, contents, "query", source)
    return pa.table(rows).take(pa.array(list(first.values()), pa.int64()))


def parse_reviews(table: pa.Table, source: str) -> pa.Table:
    """Return reviews; rows whose verdict is still empty are left out."""
    require_columns(table, ["verdict"], source)
    pairs = {
        name: [unshield(str(value)) for value in ids] for name, ids in _pairs(table, source).items()
    }
    words = text_column(table, "verdict", source)
    kept = [row for row, word in enumerate(words) if word and word.strip()]
    verdicts = []
    for row in kept:
        word = str(words[row]).strip().lower().removesuffix(".0")
        if word not in VERDICTS:
            raise UserError(
                f"{source} has the verdict {words[row]!r} in data row {row + 1}; "
                f"use 1 for relevant and 0 for not."
            )
        verdicts.append(VERDICTS[word])
    reviewers, notes = (text_column(table, name, source) for name in ("reviewer", "note"))
    times = _times(table, source)
    return pa.table(
        {
            "query_id": [pairs["query_id"][row] for row in kept],
            "product_id": [pairs["product_id"][row] for row in kept],
            "verdict": pa.array(verdicts, pa.int8()),
            "reviewer": pa.array([reviewers[row] or "" for row in kept], pa.string()),
            "note": pa.array([notes[row] for row in kept], pa.string()),
            "at": pa.array([times[row] for row in kept], pa.timestamp("us")),
        }
    )


def _times(table: pa.Table, source: str) -> list[datetime]:
    moment = now()
    times = []
    for row, value in enumerate(text_column(table, "at", source)):
        try:
            times.append(moment if not value else datetime.fromisoformat(value))
        except ValueError as error:
            raise UserError(
                f"{source} has the time {value!r} in data row {row + 1}; write 2026-01-31T12:00."
            ) from error
    return [time.replace(tzinfo=None) for time in times]


def keep_known(
    store: Store, rows: pa.Table, kind: str
) -> tuple[pa.Table, list[tuple[str, Failure]]]:
    """Return the rows whose query and product are known, with splits, and the unknown ids.

    A log names products that have left the catalogue: they are counted, one failure an id.
    """
    failures: list[tuple[str, Failure]] = []
    with store.registered("judged", rows):
        for column, table in (("query_id", "queries"), ("product_id", "products")):
            thing = column.removesuffix("_id")
            unknown = store.rows(
                f"SELECT {column}, count(*) FROM judged ANTI JOIN {table} USING ({column}) "
                f"GROUP BY ALL ORDER BY ALL"
            )
            failures += [
                (f"{thing} {name}", Failure(f"unknown {thing}", f"in {count} rows of {kind}"))
                for name, count in unknown
            ]
        if "split" in rows.column_names:
            columns = "judged.* REPLACE (coalesce(judged.split, products.split) AS split)"
        else:
            columns = "judged.*"
        known = store.arrow(
            f"SELECT {columns} FROM judged JOIN products USING (product_id) "
            f"SEMI JOIN queries USING (query_id)"
        )
    return known, failures
