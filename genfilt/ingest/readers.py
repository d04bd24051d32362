"""Reading the user's files: CSV, TSV, Parquet, JSON Lines and Hugging Face datasets, as Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from genfilt.common.errors import UsageError, UserError

HUB_PREFIX = "hf://"


def read_source(source: str, aliases: Mapping[str, str] | None = None) -> pa.Table:
    """Read a whole table.

    Args:
        source: a file ending in .csv, .tsv, .parquet, .jsonl or .ndjson (a .gz of a text
            format too), a folder made by `datasets.save_to_disk`, or hf://name[:split].
        aliases: the source's own column names by ours, for example {"title": "product_name"}.

    Raises:
        UserError: it is missing, of an unknown kind or cannot be read.
    """
    table = _read(source)
    return _rename(table, aliases or {}, source)


def _read(source: str) -> pa.Table:
    if source.startswith(HUB_PREFIX):
        return _read_hub(source)
    path = Path(source)
    if not path.exists():
        raise UserError(f"There is no file or folder {source}; check the path.")
    if path.is_dir():
        return _read_dataset_folder(path)
    kinds = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = kinds[-1] if kinds else ""
    try:
        if kind == ".csv":
            return read_delimited(path, ",")
        if kind == ".tsv":  # titles in tab-separated logs hold bare quotes
            return read_delimited(path, "\t", quoted=False)
        if kind in (".jsonl", ".ndjson"):
            return _with_duckdb("SELECT * FROM read_json(?, format = 'newline_delimited')", path)
        if kind in (".parquet", ".pq"):
            return pq.read_table(path)
    except (duckdb.Error, pa.ArrowException) as error:
        raise UserError(f"{source} cannot be read: {str(error).splitlines()[0]}") from error
    raise UsageError(
        f"{source} is of no kind that genfilt reads; give .csv, .tsv, .parquet, .jsonl "
        f"or a folder saved by Hugging Face datasets."
    )


def read_delimited(path: Path, delimiter: str, *, quoted: bool = True) -> pa.Table:
    """Read a delimited text file with a header, every value as the text that it is.

    An id such as 007 must not become a number, and only "" inside quotes escapes a quote.

    Raises:
        UserError: the file is empty.
        duckdb.Error: it cannot be read.
    """
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; it needs at least a header line.")
    quoting = "quote = '\"', escape = '\"'" if quoted else "quote = '', escape = ''"
    return _with_duckdb(
        f"SELECT * FROM read_csv(?, delim = '{delimiter}', header = true, all_varchar = true, "
        f"{quoting}, strict_mode = false, max_line_size = 16777216)",
        path,
    )


def _with_duckdb(sql: str, path: Path) -> pa.Table:
    with duckdb.connect() as connection:
        return connection.sql(sql, params=[str(path)]).to_arrow_table()


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


def _rename(table: pa.Table, aliases: Mapping[str, str], source: str) -> pa.Table:
    names: list[str] = [str(name).strip() for name in table.column_names]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UserError(f"{source} has the column {min(repeated)} twice; rename one.")
    for ours, theirs in aliases.items():
        if theirs not in names:
            raise UserError(
                f"{source} has no column {theirs} to use as {ours}; it has {', '.join(names)}."
            )
        if ours in names and ours != theirs:
            names[names.index(ours)] = f"source_{ours}"
        names[names.index(theirs)] = ours
    return table.rename_columns(names)


def require_columns(table: pa.Table, needed: Sequence[str], source: str) -> None:
    """Raise UserError with the first of `needed` that the table lacks."""
    for column in needed:
        if column not in table.column_names:
            raise UserError(
                f"{source} has no column {column}; it has {', '.join(table.column_names)}. "
                f"Rename it there, or map it with --map {column}=NAME."
            )
