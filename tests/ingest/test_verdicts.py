from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from genfilt.common.errors import UserError
from genfilt.ingest.columns import SourceRows, clean
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.ingest.verdicts import parse_clicks, parse_labels, parse_reviews
from genfilt.store.store import Store


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as opened:
        products = pa.table({"product_id": ["1", "2", "3"], "title": ["Mug", "Cup", "Pot"]})
        queries = pa.table({"query_id": ["q"], "query": ["mug"]})
        ingest(opened, Sources(products=products, queries=queries))
        yield opened


def pairs(kind: str, column: str, *values: object, products: str = "") -> SourceRows:
    ids = list(products) or [str(number + 1) for number in range(len(values))]
    table = pa.table({"query_id": ["q"] * len(values), "product_id": ids, column: list(values)})
    return clean(table, kind, "x.csv")


def kept(table: pa.Table, column: str) -> dict[str, object]:
    return dict(zip(table["product_id"].to_pylist(), table[column].to_pylist(), strict=True))


def test_rows_without_a_click_are_impressions() -> None:
    rows = pairs("clicks", "clicks", "2", "0", "", "\\N", "NaN", "3.0", "0.0")
    table, counts = parse_clicks(rows, 1)
    assert kept(table, "clicks") == {"1": 2, "6": 3}
    assert counts["impressions without a click left out"] == 5


def test_an_impression_takes_no_click_away() -> None:
    table, _ = parse_clicks(pairs("clicks", "clicks", "0", "2", "", "1", products="1112"), 2)
    assert kept(table, "clicks") == {"1": 2}


def test_without_a_count_a_row_is_a_click() -> None:
    table, counts = parse_clicks(pairs("clicks", "other", "", "x", products="11"), 1)
    assert kept(table, "clicks") == {"1": 2}
    assert not any(counts.values())


@pytest.mark.parametrize("value", ["-1", "x", "1e400", "0.5", "1,000", "9" * 30])
def test_what_is_no_count_is_named(value: str) -> None:
    with pytest.raises(UserError, match="clicks in data row 2"):
        parse_clicks(pairs("clicks", "clicks", "1", value), 1)


def test_floats_of_a_table_are_counts() -> None:
    table, _ = parse_clicks(pairs("clicks", "clicks", 2.0, float("nan"), None), 1)
    assert kept(table, "clicks") == {"1": 2}


def test_clicks_that_would_overflow_are_refused() -> None:
    most = "9" * 12
    table, _ = parse_clicks(pairs("clicks", "clicks", *[most] * 1000, products="1" * 1000), 1)
    assert kept(table, "clicks") == {"1": 1000 * int(most)}
    with pytest.raises(UserError, match="12 digits at most"):
        parse_clicks(pairs("clicks", "clicks", most + "9"), 1)


def test_rows_without_a_label_are_left_out() -> None:
    rows = pairs("labels", "label", "1", "0.0", "", "NaN", "\\N", "Yes", "n", "TRUE")
    table, counts = parse_labels(rows, {})
    assert kept(table, "label") == {"1": 1, "2": 0, "6": 1, "7": 0, "8": 1}
    assert counts["rows without a label left out"] == 3


def test_raters_are_settled_by_majority() -> None:
    rows = pairs("labels", "label", *"1010100", products="1112233")
    table, counts = parse_labels(rows, {})
    assert kept(table, "label") == {"1": 1, "2": 1, "3": 0}
    assert kept(table, "grade")["1"] == "mean 0.6667"
    assert counts["pairs of several raters settled"] == 3


def test_grades_are_compared_by_their_mean() -> None:
    rows = pairs("labels", "label", "3", "1", "2", "1", "1.5", "-1", products="112234")
    table, _ = parse_labels(rows, {}, min_grade=2)
    assert kept(table, "label") == {"1": 1, "2": 0, "3": 0, "4": 0}
    table, _ = parse_labels(rows, {}, min_grade=1.5)
    assert kept(table, "label") == {"1": 1, "2": 1, "3": 1, "4": 0}
    with pytest.raises(UserError, match="--min-grade needs numbers"):
        parse_labels(pairs("labels", "label", "3", "E"), {}, min_grade=2)


def test_a_scale_without_a_meaning_names_both_options() -> None:
    with pytest.raises(UserError, match="--label-map 3=0 .*of the grades 1, 2, 3 .*--min-grade 2"):
        parse_labels(pairs("labels", "label", "1", "3", "2"), {})
    with pytest.raises(UserError, match=r"which is none of E, S \(without a meaning: X\)"):
        parse_labels(pairs("labels", "label", "E", "X"), {"E": 1, "S": 0})


def test_mapped_numbers_match_their_floats() -> None:
    table, _ = parse_labels(pairs("labels", "label", 3.0, 2.0, 0.0), {"3": 1, "2": 1, "0": 0})
    assert kept(table, "label") == {"1": 1, "2": 1, "3": 0}
    table, _ = parse_labels(pairs("labels", "label", "-1.00", "2,0"), {"-1": 0, "2": 1})
    assert kept(table, "label") == {"1": 0, "2": 1}
    table, _ = parse_labels(pairs("labels", "label", "3.0", "2"), {"3.0": 1, "2.0": 0})
    assert kept(table, "label") == {"1": 1, "2": 0}


def test_reviews_take_short_words_and_numbers_with_decimals() -> None:
    table = parse_reviews(pairs("reviews", "verdict", "y", "N", "1.0", "0,00", "1.00"))
    assert kept(table, "verdict") == {"1": 1, "2": 0, "3": 1, "4": 0, "5": 1}


def test_times_with_a_zone_are_compared_in_utc(store: Store) -> None:
    """The last review of a pair wins, so a zone must not be dropped."""
    rows = {"query_id": ["q", "q"], "product_id": ["1", "1"], "reviewer": ["ann", "bob"]}
    times = ["2026-01-31T12:00:00+05:00", "2026-01-31T08:00:00Z"]
    ingest(store, Sources(reviews=pa.table({**rows, "verdict": ["1", "0"], "at": times})))
    assert store.rows('SELECT reviewer, "at"::VARCHAR FROM reviews ORDER BY 1') == [
        ("ann", "2026-01-31 07:00:00"),
        ("bob", "2026-01-31 08:00:00"),
    ]
    last = {**rows, "verdict": ["1", "0"], "at": ["0001-01-01T00:00+05:00", times[0]]}
    with pytest.raises(UserError, match="has the time '0001-01-01T00:00"):
        ingest(store, Sources(reviews=pa.table(last)))


def test_an_empty_verdict_withdraws_an_earlier_one(store: Store) -> None:
    def review(*verdicts: str | None) -> list[tuple[object, ...]]:
        rows = {
            "query_id": ["q"] * len(verdicts),
            "product_id": [str(n + 1) for n in range(len(verdicts))],
            "verdict": pa.array(verdicts, pa.string()),
            "reviewer": ["ann"] * len(verdicts),
        }
        ingest(store, Sources(reviews=pa.table(rows)))
        return store.rows("SELECT product_id, verdict FROM reviews ORDER BY 1")

    assert review("1", "", "0") == [("1", 1), ("3", 0)]
    assert review("", "", "0") == [("1", None), ("3", 0)]
    assert review("0") == [("1", 0), ("3", 0)]


@pytest.mark.parametrize(
    ("separator", "encoding"),
    [(";", "cp1252"), (";", "utf-8-sig"), (",", "cp1252"), ("\t", "utf-16")],
)
def test_sheets_that_spreadsheets_saved_are_read(
    store: Store, tmp_path: Path, separator: str, encoding: str
) -> None:
    path = tmp_path / "sheet.csv"
    lines = [
        ("query_id", "query", "product_id", "title", "verdict", "note"),
        ("q", "mug", "1", '"Caf\u00e9; large, 5"" mug\tx"', "y", ""),
        ("q", "mug", "2", "Cup", "N", "gr\u00fcn"),
        ("q", "mug", "3", "Pot", "", ""),
    ]
    path.write_bytes("\r\n".join(separator.join(line) for line in lines).encode(encoding))
    assert ingest(store, Sources(reviews=str(path))) == {"reviews": 2, "failed": 0}
    assert store.rows("SELECT product_id, verdict, note FROM reviews ORDER BY 1") == [
        ("1", 1, None),
        ("2", 0, "gr\u00fcn"),
    ]


def test_summaries_count_rows_that_were_kept(store: Store) -> None:
    table = pa.table({"query_id": ["q", "q", "r"], "product_id": ["1", "9", "1"]})
    assert ingest(store, Sources(clicks=table)) == {"clicks": 1, "failed": 2}


def test_a_log_of_other_ids_is_remarked_on(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.table({"query_id": ["q", "q", "q"], "product_id": ["1", "x", "y"]})
    ingest(store, Sources(clicks=table))
    assert "WARNING: 2 of 3 pairs of clicks" in capsys.readouterr().err


def test_unknown_products_clear_when_they_arrive(store: Store) -> None:
    ingest(store, Sources(clicks=pa.table({"query_id": ["q", "r"], "product_id": ["9", "1"]})))
    assert store.scalar("SELECT count(*) FROM failures") == 2
    ingest(store, Sources(products=pa.table({"product_id": ["9"], "title": ["Jug"]})))
    ingest(store, Sources(queries=pa.table({"query_id": ["r"], "query": ["jug"]})))
    assert store.scalar("SELECT count(*) FROM failures") == 0
