"""Clicks, labels and reviews: what a missing value, a scale and several raters mean.

A pair that nobody judged is no positive: rows without a click, a label or a verdict are left out
and counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genfilt.common.errors import UserError
from genfilt.common.sheets import unshield
from genfilt.ingest.columns import SourceRows
from genfilt.ingest.products import mapped_words, parse_splits
from genfilt.store.store import now

WORDS = {
    "0": 0, "1": 1, "0.0": 0, "1.0": 1, "no": 0, "yes": 1, "n": 0, "y": 1, "false": 0, "true": 1,
}  # fmt: skip
# Of 12 digits at most, so that the sum of nine million rows of a pair is below 2^63.
WHOLE_NUMBER = r"^\+?[0-9]{1,12}(\.0*)?$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$"
# A whole number that a program wrote with decimals, in many countries after a comma.
WHOLE_FLOAT = r"^(-?[0-9]+)[.,]0+$"
PAIR = ["query_id", "product_id"]
MAX_LISTED_WORDS = 10  # a message names no more

Counts = dict[str, int]


def parse_clicks(rows: SourceRows, min_clicks: int) -> tuple[pa.Table, Counts]:
    """Return the clicks of each pair, rows added up, and what was left out.

    Rows with 0 or no clicks are impressions. Where no column counts clicks, a row is one.

    Args:
        rows: query_id, product_id and perhaps clicks, split.
        min_clicks: pairs with fewer are left out.

    Raises:
        UserError: a count is no whole number, or a pair has two splits.
    """
    counts: Counts = {}
    if rows.has("clicks"):
        clicks = pc.fill_null(_whole_numbers(rows, "clicks"), 0)
        clicked = pc.greater(clicks, 0)
        given = rows.table.num_rows
        rows = rows.replaced("clicks", clicks).filter(clicked)
        counts["impressions without a click left out"] = given - rows.table.num_rows
    else:
        ones = pa.array(np.ones(rows.table.num_rows, np.int64))
        rows = rows.replaced("clicks", ones)
    table = _pairs(rows).append_column("clicks", rows.column("clicks"))
    total = table.group_by(PAIR, use_threads=False).aggregate(
        [("clicks", "sum"), ("split", "max"), ("split", "min")]
    )
    _one_split(total, rows.name)
    total = pa.table(
        {
            "query_id": total["query_id"],
            "product_id": total["product_id"],
            "clicks": total["clicks_sum"],
            "split": total["split_max"],
        }
    )
    kept = total.filter(pc.field("clicks") >= min_clicks)
    counts["pairs below --min-clicks left out"] = total.num_rows - kept.num_rows
    return kept, counts


def _pairs(rows: SourceRows) -> pa.Table:
    return pa.table({**{name: rows.required(name) for name in PAIR}, "split": parse_splits(rows)})


def _whole_numbers(rows: SourceRows, name: str) -> pa.ChunkedArray:
    """Return a column as whole numbers (N,), NULL where it is blank."""
    text = rows.column(name)
    wrong = pc.invert(pc.fill_null(pc.match_substring_regex(text, WHOLE_NUMBER), True))
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise UserError(
            f"{rows.name} has {text[row].as_py()!r} {name} in data row {rows.number(row)}; "
            f"give a whole number from 0, of 12 digits at most."
        )
    return text.cast(pa.float64()).cast(pa.int64())


def _one_split(grouped: pa.Table, source: str) -> None:
    differs = pc.fill_null(pc.not_equal(grouped["split_max"], grouped["split_min"]), False)
    row = pc.index(differs, True).as_py()
    if row >= 0:
        query, product = grouped["query_id"][row], grouped["product_id"][row]
        raise UserError(
            f"{source} gives query {query} with product {product} two splits, "
            f"{grouped['split_min'][row]} and {grouped['split_max'][row]}; keep one."
        )


def parse_labels(
    rows: SourceRows, label_map: Mapping[str, int], min_grade: float | None = None
) -> tuple[pa.Table, Counts]:
    """Return one label 0 or 1 for each pair with the source's own word as grade.

    Several raters of a pair are settled by majority, a tie is positive; with `min_grade` their
    mean grade is compared.

    Args:
        rows: query_id, product_id, label and perhaps grade, split.
        label_map: 0 or 1 by the source's word; without one the words are 0 and 1, no and yes.
        min_grade: labels are numbers, and from this one on positive.

    Raises:
        UserError: a label has no meaning, or a pair has two splits.
    """
    judged = pc.is_valid(rows.column("label"))
    counts = {"rows without a label left out": rows.column("label").null_count}
    rows = rows.filter(judged)
    words = rows.column("label")
    values = _numbers(rows) if min_grade is not None else _meanings(rows, label_map)
    table = _pairs(rows)
    table = table.append_column("value", values).append_column("word", words)
    table = table.append_column("grade", pc.coalesce(rows.column("grade"), words))
    total = table.group_by(PAIR, use_threads=False).aggregate(
        [("value", "mean"), ("value", "count"), ("grade", "first"), ("split", "max"),
         ("split", "min")]
    )  # fmt: skip
    _one_split(total, rows.name)
    threshold = 0.5 if min_grade is None else min_grade
    several = pc.greater(total["value_count"], 1)
    means = pc.round(total["value_mean"], 4).cast(pa.string())
    counts["pairs of several raters settled"] = int(pc.sum(several).as_py() or 0)
    labels = pa.table(
        {
            "query_id": total["query_id"],
            "product_id": total["product_id"],
            "label": pc.greater_equal(total["value_mean"], threshold).cast(pa.int8()),
            "grade": pc.if_else(several, pc.binary_join_element_wise("mean", means, " "),
                                total["grade_first"]),
            "split": total["split_max"],
        }
    )  # fmt: skip
    return labels, counts


def _meanings(rows: SourceRows, label_map: Mapping[str, int]) -> pa.ChunkedArray:
    """Return 0 or 1 for each label (N,)."""
    words = rows.column("label")
    forms = {**{_plain_number(word): word for word in label_map}, **{w: w for w in label_map}}
    known = {form: str(label_map[word]) for form, word in forms.items()}
    if not label_map:
        known = {word: str(label) for word, label in WORDS.items()}
        words = pc.utf8_lower(words)
    plain = pc.replace_substring_regex(words, WHOLE_FLOAT, r"\1")
    meaning = pc.coalesce(mapped_words(words, known), mapped_words(plain, known))
    if meaning.null_count:
        row = pc.index(pc.is_null(meaning), True).as_py()
        unknown = pc.unique(rows.column("label").filter(pc.is_null(meaning))).to_pylist()
        raise _no_meaning(rows, row, [str(word) for word in unknown], list(label_map or "01"))
    return meaning.cast(pa.float64())


def _plain_number(word: str) -> str:
    return re.sub(WHOLE_FLOAT, r"\1", word)


def _no_meaning(rows: SourceRows, row: int, unknown: list[str], known: list[str]) -> UserError:
    listed = ", ".join(unknown[:MAX_LISTED_WORDS])
    more = f" and {len(unknown) - MAX_LISTED_WORDS} more" if len(unknown) > 10 else ""
    word = unknown[0]
    remedy = _grade_remedy(rows) if all(_is_number(each) for each in unknown) else ""
    return UserError(
        f"{rows.name} has the label {word!r} in data row {rows.number(row)}, which is none of "
        f"{', '.join(known)} (without a meaning: {listed}{more}); say what it means with "
        f"--label-map {word}=0 or {word}=1{remedy}."
    )


def _grade_remedy(rows: SourceRows) -> str:
    """Return how to say from which grade on a pair is relevant, with the grades that there are."""
    words = [str(word) for word in pc.unique(rows.column("label")).to_pylist() if word is not None]
    grades = sorted({float(word) for word in words if _is_number(word)})
    if len(grades) < 2:
        return ""
    listed = ", ".join(f"{grade:g}" for grade in grades[:MAX_LISTED_WORDS])
    return (
        f", or from which of the grades {listed} on a pair is relevant: "
        f"--min-grade {grades[len(grades) // 2]:g}, say"
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _numbers(rows: SourceRows) -> pa.ChunkedArray:
    """Return each label (N,) as a number."""
    words = rows.column("label")
    wrong = pc.invert(pc.match_substring_regex(words, NUMBER))
    row = pc.index(wrong, True).as_py()
    if row >= 0:
        raise UserError(
            f"{rows.name} has the label {words[row].as_py()!r} in data row {rows.number(row)}; "
            f"--min-grade needs numbers, so map the words with --label-map instead."
        )
    return words.cast(pa.float64())


def parse_reviews(rows: SourceRows) -> pa.Table:
    """Return reviews; a verdict that is empty is NULL, which withdraws an earlier one.

    Raises:
        UserError: a verdict is neither 0 nor 1, no nor yes, or a time is not one.
    """
    words = pc.utf8_lower(rows.column("verdict"))
    words = pc.replace_substring_regex(words, WHOLE_FLOAT, r"\1")
    verdicts = mapped_words(words, {word: str(value) for word, value in WORDS.items()})
    unknown = pc.and_(pc.is_valid(words), pc.is_null(verdicts))
    if pc.any(unknown).as_py():
        row = pc.index(unknown, True).as_py()
        raise UserError(
            f"{rows.name} has the verdict {rows.column('verdict')[row].as_py()!r} in data row "
            f"{rows.number(row)}; use 1 for relevant and 0 for not."
        )
    table = pa.table(
        {
            **{name: _unshielded(rows.required(name)) for name in PAIR},
            "verdict": verdicts.cast(pa.int8()),
            "reviewer": pc.fill_null(_unshielded(rows.column("reviewer")), ""),
            "note": _unshielded(rows.column("note")),
            "at": pa.array(_times(rows), pa.timestamp("us")),
        }
    )
    return _last_of_each(table)


def _unshielded(texts: pa.ChunkedArray) -> pa.Array:
    """Return texts (N,) as they were before `shield`, which keeps spreadsheets from formulas."""
    return pa.array(
        [text if text is None else unshield(str(text)) for text in texts.to_pylist()], pa.string()
    )


def _last_of_each(reviews: pa.Table) -> pa.Table:
    """Return the last verdict of each pair and reviewer, one that is filled in before a blank."""
    keys = zip(*(reviews[name].to_pylist() for name in (*PAIR, "reviewer")), strict=True)
    filled = reviews["verdict"].is_valid().to_pylist()
    places: dict[tuple[str, ...], int] = {}
    for row, key in enumerate(keys):
        if filled[row] or key not in places or not filled[places[key]]:
            places[key] = row
    return reviews.take(pa.array(list(places.values()), pa.int64()))


def _times(rows: SourceRows) -> list[datetime]:
    moment = now()
    times = []
    for row, value in enumerate(rows.column("at").to_pylist()):
        try:
            times.append(moment if not value else _utc(datetime.fromisoformat(value)))
        except (ValueError, OverflowError) as error:
            raise UserError(
                f"{rows.name} has the time {value!r} in data row {rows.number(row)}; "
                f"write 2026-01-31T12:00."
            ) from error
    return times


def _utc(time: datetime) -> datetime:
    """Return a time without a zone; one without a zone is UTC already, as the tables have it."""
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
