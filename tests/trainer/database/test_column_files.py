"""Columns of answers in files and in memory: equal values, 64-bit offsets, mapped."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from genfilt.common.errors import UserError
from tests.trainer.shop import toy_shop
from trainer.database import column_files
from trainer.database.catalogue import load_catalogue, load_rows, stored_catalogue, stored_rows
from trainer.database.column_files import ColumnFiles
from trainer.database.known_pairs import load_known_pairs, stored_known_pairs
from trainer.database.reading import open_database

ANSWER = """
SELECT n::INTEGER AS number, n % 3 = 0 AS third,
       CASE WHEN n % 7 <> 3 THEN repeat('ä' || n, n % 5) END AS text
FROM range(1000) t(n) ORDER BY n
"""


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_answers_columns_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    monkeypatch.setattr(column_files, "ROWS_AT_ONCE", 64)
    connection = duckdb.connect()
    with ColumnFiles(None if in_memory else tmp_path) as files:
        files.append_answer("a", connection, ANSWER)
        files.append_answer("none", connection, f"FROM ({ANSWER}) WHERE number < 0")
    read = files if in_memory else ColumnFiles(tmp_path)
    want = connection.execute(ANSWER).fetchall()
    texts = read.texts("a.text")
    assert read.numbers("a.number").tolist() == [number for number, _, _ in want]
    assert read.truths("a.third").tolist() == [third for _, third, _ in want]
    assert texts.to_pylist() == [text for _, _, text in want]
    assert texts.num_chunks == 1, "taking rows from several chunks copies them all"
    assert texts.type == pa.large_string(), "32-bit offsets end at 2 GiB of text"
    assert len(read.texts("none.text")) == len(read.numbers("none.number")) == 0


def test_a_stages_arrays_in_files_are_those_in_memory(tmp_path: Path) -> None:
    folder = tmp_path / "arrays"
    folder.mkdir()
    with open_database(toy_shop(tmp_path / "shop")) as connection:
        here, mapped = load_catalogue(connection), load_catalogue(connection, folder)
        rows, _ = load_rows(connection, 3, here)
        load_rows(connection, 3, mapped, folder)
        known = load_known_pairs(connection)
        load_known_pairs(connection, folder=folder)
    again, their_rows = stored_catalogue(folder), stored_rows(folder)
    their_known = stored_known_pairs(folder)
    for name in ("queries", "product_ids", "titles", "images"):
        assert getattr(again, name).equals(getattr(here, name))
    for name, values in vars(here.contents).items():
        assert np.array_equal(getattr(again.contents, name), values)
    for name, values in vars(rows).items():
        assert np.array_equal(getattr(their_rows, name), values)
    assert np.array_equal(their_known.verdicts.values, known.verdicts.values)
    assert np.array_equal(their_known.verdicts.starts, known.verdicts.starts)
    assert np.array_equal(their_known.query_product.values, known.query_product.values)
    assert isinstance(their_rows.product.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        their_rows.product[0] = 1


def test_a_folder_that_a_process_does_not_see_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(column_files, "SECONDS_UNTIL_SEEN", 0.0)
    with pytest.raises(UserError, match="storage that all processes mount at the same path"):
        stored_rows(tmp_path / "elsewhere")
