from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from genfilt.common.errors import UserError
from genfilt.store.readonly import run_query
from genfilt.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "g.duckdb") as opened:
        opened.insert("meta", pa.table({"name": ["a"], "value": ["b"]}))
    with Store(tmp_path / "g.duckdb", read_only=True) as opened:
        yield opened


def test_a_query_of_any_depth_ends_in_an_answer_or_a_sentence(store: Store) -> None:
    for depth in (*range(250, 350, 3), 1000, 20_000):
        for query in (
            "SELECT " + "+".join(["1"] * depth),
            "SELECT " + "abs(" * depth + "1" + ")" * depth,
            "SELECT * FROM " + "(SELECT * FROM " * depth + "meta" + ")" * depth,
        ):
            with suppress(UserError):
                run_query(store, query)


@pytest.mark.parametrize(
    "query",
    [
        "/**/" * 60 + "explain SELECT 1",
        "/* a */" * 60 + ";" + "/**/" * 60 + "explain /* b */ SELECT 1",
        "/* ** / */ -- c\n explain analyze FROM meta",
    ],
)
def test_comments_before_explain_take_no_exponential_time(store: Store, query: str) -> None:
    started = time.monotonic()
    assert run_query(store, query).num_rows == 1
    assert time.monotonic() - started < 20


def test_columns_of_one_name_are_all_answered(store: Store) -> None:
    assert run_query(store, "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a").to_pylist() == [
        {"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}
    ]
    joined = run_query(store, "SELECT * FROM meta m, meta n WHERE m.name = 'a' AND n.name <> 'a'")
    assert len(set(joined.column_names)) == 4


@pytest.mark.parametrize(
    "value",
    ["'290000-01-01'::DATE", "'200000-01-01'::TIMESTAMP", "['infinity'::DATE]",
     "'0044-03-15 (BC)'::DATE"],
)  # fmt: skip
def test_a_date_beyond_the_calendar_is_one_sentence(store: Store, value: str) -> None:
    with pytest.raises(UserError, match="column day .* outside the years 1 to 9999"):
        run_query(store, f"SELECT {value} AS day")
    assert run_query(store, f"SELECT ({value})::VARCHAR AS day").num_rows == 1
