"""The user's files as Arrow tables: CSV, TSV, JSON, Parquet and Hugging Face datasets."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from genfilt.common.errors import UsageError, UserError
from genfilt.ingest.formats.delimited import read_delimited
from genfilt.ingest.formats.json_rows import read_json
from genfilt.ingest.formats.object_store import copied, is_object
from genfilt.ingest.formats.search_exports import describe_export

HUB_PREFIX = "hf://"
JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
PARQUET_ENDINGS = (".parquet", ".pq")
WORKBOOK_ENDINGS = (".xlsx", ".xls", ".ods")
MAX_LISTED_COLUMNS = 30  # a message names no more
MAX_SHOWN = 60  # characters of a column's name in a message: a file of one line has long ones
Aliases = Mapping[str, str | Sequence[str]]


def read_source(
    source: str,
    aliases: Aliases | None = None,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    known: Collection[str] = (),
) -> pa.Table:
    """Read a whole table.

    Args:
        source: a file ending in .csv, .tsv, .parquet, .jsonl, .ndjson or .json (a .gz of a text
            format too), a folder made by `datasets.save_to_disk`, or hf://name[:split].
        aliases: the source's own column names by ours, for example {"title": "product_name"}.
        delimiter: of a delimited text file; None to find it.
        encoding: of a text file; None to find it.
        known: the column names that are expected, by which the delimiter is found.

    Raises:
        UserError: it is missing, of an unknown kind or cannot be read.
    """
    aliases = aliases or {}
    expected = {*known, *(name for ours in aliases for name in _names(aliases[ours]))}
    try:
        table = _read(source, delimiter, encoding, expected)
    except (pa.ArrowException, EOFError, zlib.error, OSError) as error:
        reason = (str(error) or "it ends too early").splitlines()[0]
        raise UserError(f"{source} cannot be read: {reason}") from error
    return rename(table, aliases, source)


def _read(
    source: str, delimiter: str | None, encoding: str | None, known: Collection[str]
) -> pa.Table:
    if source.startswith(HUB_PREFIX):
        return _read_hub(source)
    if is_object(source):
        with copied(source) as path:
            return _read(str(path), delimiter, encoding, known)
    path = Path(source)
    if not path.exists():
        raise UserError(f"There is no file or folder {source}; check the path.")
    if path.is_dir():
        return _read_dataset_folder(path)
    if not path.is_file():  # a pipe gives its bytes once, and a table is read more than once
        raise UserError(f"{source} is a pipe or a device; write its content to a file first.")
    endings = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    ending = endings[-1] if endings else ""
    if ending in (".csv", ".tsv", ".tab", ".txt"):
        return read_delimited(path, delimiter, encoding, known)
    if ending in JSON_ENDINGS:
        return read_json(path, encoding, known)
    if ending in PARQUET_ENDINGS:
        return pq.read_table(path)
    if ending in WORKBOOK_ENDINGS:
        raise UsageError(f"{source} is a workbook, which genfilt does not read; save it as CSV.")
    raise UsageError(
        f"{source} is of no kind that genfilt reads; give .csv, .tsv, .parquet, .jsonl, .json "
        f"or a folder saved by Hugging Face datasets."
    )


def _read_dataset_folder(path: Path) -> pa.Table:
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except (FileNotFoundError, ValueError) as error:
        raise UserError(
            f"{path} is a folder but holds no dataset saved by datasets.save_to_disk; "
            f"name the file itself."
        ) from error
    return _dataset_table(loaded, str(path), None)


def _read_hub(source: str) -> pa.Table:
    import datasets

    name, _, split = source.removeprefix(HUB_PREFIX).partition(":")
    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the hub client raises a dozen kinds for "not to be had"
        raise UserError(
            f"The dataset {name} cannot be loaded: {str(error).splitlines()[0]}"
        ) from error
    return _dataset_table(loaded, source, split or None)


def _dataset_table(loaded: Any, source: str, split: str | None) -> pa.Table:
    import datasets

    if isinstance(loaded, datasets.DatasetDict):
        names = [split] if split else list(loaded)
        if missing := [name for name in names if name not in loaded]:
            raise UserError(f"{source} has no split {missing[0]}; it has {', '.join(loaded)}.")
        loaded = datasets.concatenate_datasets([loaded[name] for name in names])
    # Pictures stay the bytes or the path that the rows hold; nothing is decoded here.
    for name, feature in loaded.features.items():
        if isinstance(feature, datasets.Image):
            loaded = loaded.cast_column(name, datasets.Image(decode=False))
    table: pa.Table = loaded.with_format("arrow")[:]
    return table


def _names(theirs: str | Sequence[str]) -> Sequence[str]:
    return [theirs] if isinstance(theirs, str) else theirs


def rename(table: pa.Table, aliases: Aliases, source: str) -> pa.Table:
    """Return a table with our column names.

    A column may serve under several of our names, so it is copied and keeps its own as well.

    Raises:
        UserError: a column stands twice, or two columns are mapped to one of ours.
    """
    names = [str(name).strip() for name in table.column_names]
    table = table.rename_columns(names)
    if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
        raise UserError(f"{source} has the column {listed(repeated)} twice; rename one.")
    columns = {name: (table.schema.field(name), table[name]) for name in names}
    for ours in aliases:
        present = [name for name in _names(aliases[ours]) if name in names]
        if len(present) > 1:
            raise UserError(f"{source} has {' and '.join(present)} for {ours}; map one of them.")
        if present:
            columns[ours] = (table.schema.field(present[0]).with_name(ours), table[present[0]])
    if not columns:
        return table
    fields, values = zip(*columns.values(), strict=True)
    schema = pa.schema([field.with_name(name) for name, field in zip(columns, fields, strict=True)])
    return pa.table(list(values), schema=schema)


def listed(names: Sequence[str]) -> str:
    """Return column names for a message: the first ones, each cut to MAX_SHOWN characters."""
    shown = [
        name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}..."
        for name in names[:MAX_LISTED_COLUMNS]
    ]
    more = len(names) - len(shown)
    return (", ".join(shown) or "none") + (f" and {more:,} more" if more else "")


def uses_alias(table: pa.Table, theirs: str | Sequence[str]) -> bool:
    """Tell whether a table has a column of the source's that is mapped to one of ours."""
    return any(name in table.column_names for name in _names(theirs))


def require_columns(
    table: pa.Table, needed: Sequence[str], source: str, *, mapped: bool = True
) -> None:
    """Check that a table has columns.

    Args:
        table: what was read.
        needed: the columns.
        source: what messages call it.
        mapped: whether --map may name them.

    Raises:
        UserError: some are missing; all of them are named, with what was found.
    """
    missing = [column for column in needed if column not in table.column_names]
    if missing:
        if sentence := describe_export(table.schema):
            raise UserError(f"{source} {sentence}")
        options = " ".join(f"--map {column}=NAME" for column in missing)
        remedy = f"Rename there, or map with {options}." if mapped else "Check the layout."
        noun = "column" if len(missing) == 1 else "columns"
        raise UserError(
            f"{source} has no {noun} {', '.join(missing)}; it has {listed(table.column_names)}. "
            f"{remedy}"
        )
