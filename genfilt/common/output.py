"""Answers on standard output as a table, JSON or CSV, and files of rows by their ending."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from genfilt.common.atomic import replaced
from genfilt.common.errors import UsageError, UserError
from genfilt.common.tables import fields, table

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, object]

ENDINGS = (".parquet", ".csv", ".jsonl")


class OutputFormat(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"
    csv = "csv"


class OutputClosedError(Exception):
    """The reader of standard output closed it, as `head` does when it has enough."""


def show(rows: Sequence[Row], form: OutputFormat = OutputFormat.table) -> None:
    """Print rows that share their columns.

    A table is as wide as its cells, or as the terminal that it is printed on.
    """
    if form is OutputFormat.json:
        _write(_json(list(rows)))
    elif form is OutputFormat.csv:
        _write(_csv(rows))
    else:
        _write(table(rows, _terminal_width()))


def show_one(answer: Row, form: OutputFormat = OutputFormat.json) -> None:
    """Print one answer: as a JSON object, a CSV file of one row, or a list of its fields."""
    if form is OutputFormat.json:
        _write(_json(answer))
    elif form is OutputFormat.csv:
        _write(_csv([answer]))
    else:
        _write(fields(answer, _terminal_width()))


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return an interval as text, empty where it is not defined."""
    return "" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


def check_ending(path: Path, endings: Sequence[str] = ENDINGS, option: str = "--out") -> None:
    """Refuse a file whose ending names none of the formats that can be written.

    Raises:
        UsageError: the ending is another.
    """
    if path.suffix.lower() not in endings:
        *others, last = endings
        allowed = f"{', '.join(others)} or {last}" if others else last
        raise UsageError(f"{option} must end in {allowed}, which names the format, got {path}.")


def write_rows(rows: pa.Table | pa.RecordBatchReader, path: Path, option: str = "--out") -> int:
    """Write Arrow rows in the format that the path's ending names, whole or not at all.

    A stream of batches is written as it comes, one batch in memory at a time.

    Returns:
        how many rows were written.

    Raises:
        UsageError: the ending is none of ENDINGS.
        UserError: the file cannot be written.
    """
    import pyarrow as pa

    check_ending(path, option=option)
    batches = rows.to_reader() if isinstance(rows, pa.Table) else rows
    with replaced(path, option) as part:
        if path.suffix.lower() == ".parquet":
            return _write_parquet(batches, part, path)
        with part.open("w", encoding="utf-8", newline="") as file:
            if path.suffix.lower() == ".csv":
                return _write_csv(batches, file)
            return _write_json_lines(batches, file)


def _write_parquet(batches: pa.RecordBatchReader, part: Path, path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = 0
    try:
        with pq.ParquetWriter(part, batches.schema) as writer:
            for batch in batches:
                writer.write_table(pa.Table.from_batches([batch]))  # a row group of its own
                written += batch.num_rows
    except pa.ArrowNotImplementedError as error:
        raise UserError(
            f"{path} cannot hold a column of this type ({str(error).splitlines()[0]}); "
            "cast it to VARCHAR."
        ) from error
    return written


def _write_csv(batches: pa.RecordBatchReader, file: TextIO) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(batches.schema.names)
    written = 0
    for batch in batches:
        writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        written += batch.num_rows
    return written


def _write_json_lines(batches: pa.RecordBatchReader, file: TextIO) -> int:
    written = 0
    for batch in batches:
        for row in batch.to_pylist():
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        written += batch.num_rows
    return written


def _terminal_width() -> int | None:
    """Return the columns of the terminal that an answer goes to, None where it goes elsewhere."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def _write(text: str) -> None:
    if sys.stdout is None:
        return
    # Titles hold any character, and a terminal that cannot show one must not end the command.
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise OutputClosedError from error
    except OSError as error:
        raise UserError(
            f"The answer cannot be written to standard output ({error.strerror or error})."
        ) from error


def _json(answer: object) -> str:
    return json.dumps(answer, ensure_ascii=False, indent=2, default=str) + "\n"


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
