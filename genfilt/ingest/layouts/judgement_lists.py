"""Judgement lists without a header: TREC qrels, and the lists of learning to rank (LTR).

A qrels line is "query iteration document relevance"; an LTR line is
"grade qid:query feature:value ... # document comment", where lines such as "# qid:1: red mug" give
the queries' texts. A grade from 1 on counts as relevant, unless --min-grade says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from genfilt.common.errors import UserError
from genfilt.ingest.formats.text_files import TextFile
from genfilt.ingest.sources import Sources

MIN_GRADE = 1.0
QRELS_FIELDS = (4, 3)  # with and without the iteration, which nothing uses
QUERY_LINE = re.compile(r"#\s*qid:(\S+?):\s*(.*\S)\s*")
JUDGEMENT = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)\s+qid:(\S+)\s+([^#]*)#\s*(\S+)(.*)")
GRADE = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


def read_qrels(path: Path, encoding: str | None = None) -> Sources:
    """Read TREC relevance judgements as labels.

    Raises:
        UserError: a line is none, with its number.
    """
    rows: list[tuple[str, str, str]] = []
    for number, line in _lines(path, encoding):
        fields = line.split()
        if len(fields) not in QRELS_FIELDS or not GRADE.fullmatch(fields[-1]):
            raise UserError(
                f"{path}: line {number} is not 'query 0 document relevance'; found {line[:80]!r}."
            )
        rows.append((fields[0], fields[-2], fields[-1]))
    return Sources(labels=_labels(rows), min_grade=MIN_GRADE)


def read_ltr(path: Path, encoding: str | None = None) -> Sources:
    """Read a judgement list of learning to rank as labels, and the queries that it names.

    Raises:
        UserError: a line is none, with its number.
    """
    rows: list[tuple[str, str, str]] = []
    queries: dict[str, str] = {}
    for number, line in _lines(path, encoding):
        if found := QUERY_LINE.fullmatch(line):
            queries[found[1]] = found[2]
        elif judged := JUDGEMENT.fullmatch(line):
            rows.append((judged[2], judged[4], judged[1]))
        elif not line.startswith("#"):
            raise UserError(
                f"{path}: line {number} is not 'grade qid:query # document'; found {line[:80]!r}."
            )
    table = pa.table({"query_id": list(queries), "query": list(queries.values())})
    return Sources(labels=_labels(rows), queries=table if queries else None, min_grade=MIN_GRADE)


def _lines(path: Path, encoding: str | None) -> Iterator[tuple[int, str]]:
    if not path.is_file():
        raise UserError(f"There is no file {path}; name the judgement list itself.")
    file = TextFile(path, encoding)
    try:
        with file.open() as text:
            for number, line in enumerate(text, start=1):
                if line.strip():
                    yield number, line.strip()
    except UnicodeError as error:
        raise file.bad_encoding(error) from error


def _labels(rows: list[tuple[str, str, str]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    names = ("query_id", "product_id", "label")
    return pa.table(
        {name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)}
    )
