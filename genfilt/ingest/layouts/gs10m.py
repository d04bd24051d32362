"""Marqo-GS-10M (Zhu et al., arXiv 2404.08535): products as a shopping search ranked them.

A row is a query's product at a position; score_linear falls from 100 with it. The rank is taken for
a log: a row counts as score_linear clicks, so --min-clicks 91 keeps the first ten of each query.
Parquet files hold the pictures; the archive's CSV files name them in image_local (give --images).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from genfilt.common.errors import UserError
from genfilt.ingest.readers import read_source, require_columns
from genfilt.ingest.sources import Sources
from genfilt.store.keys import text_key

if TYPE_CHECKING:
    from genfilt.ingest.layouts import KeepPicture

# Published split -> (split of its products, split of its pairs). Its queries and its products are
# cut in two each: "in_domain" has the halves to train on, "zero_shot" neither of them.
SPLITS = {
    "in_domain": ("train", "train"),
    "novel_query": ("train", "val"),
    "novel_document": ("test", "test"),
    "zero_shot": ("test", "test"),
}
ARCHIVE = {
    "query_0_product_id_0": "in_domain",
    "query_1_product_id_0": "novel_query",
    "query_0_product_id_1": "novel_document",
    "query_1_product_id_1": "zero_shot",
}
NEEDED = ("query", "product_id", "title")
COLUMNS = (*NEEDED, "query_id", "image", "image_local", "score_linear")
ROWS_AT_A_TIME = 1024  # pictures come in the rows


def read(source: Path, keep: KeepPicture) -> Sources:
    """Read a file or all Parquet and CSV files of a folder, pictures as they stream by.

    Raises:
        UserError: a file or one of its columns is missing.
    """
    products = _Columns("product_id", "title", "image", "split")
    clicks = _Columns("query_id", "product_id", "clicks", "split")
    queries: dict[str, str] = {}
    seen: set[str] = set()
    for path in _files(source):
        of_products, of_pairs = _splits(path)
        for row in _rows(path):
            product_id, query = str(row["product_id"]), str(row["query"] or "")
            if product_id not in seen:
                seen.add(product_id)
                image = keep(row.get("image")) or _text(row.get("image_local"))
                products.append(product_id, _text(row["title"]), image, of_products)
            query_id = str(row.get("query_id") or text_key(query))
            queries.setdefault(query_id, query)
            clicks.append(query_id, product_id, str(row.get("score_linear") or 1), of_pairs)
    return Sources(
        products=products.table(),
        queries=pa.table({"query_id": list(queries), "query": list(queries.values())}),
        clicks=clicks.table(),
    )


class _Columns:
    """Columns of text that grow by rows."""

    def __init__(self, *names: str) -> None:
        self.values: dict[str, list[str | None]] = {name: [] for name in names}

    def append(self, *row: str | None) -> None:
        for column, value in zip(self.values.values(), row, strict=True):
            column.append(value)

    def table(self) -> pa.Table:
        return pa.table({name: pa.array(v, pa.string()) for name, v in self.values.items()})


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    found = [path for path in source.rglob("*") if path.suffix in (".parquet", ".csv")]
    if not found:
        raise UserError(f"{source} holds no .parquet or .csv file; name the dataset's folder.")
    return sorted(found)


def _splits(path: Path) -> tuple[str | None, str | None]:
    published = next((n for prefix, n in ARCHIVE.items() if path.name.startswith(prefix)), None)
    published = published or next((name for name in SPLITS if path.name.startswith(name)), None)
    return SPLITS[published] if published else (None, None)


def _rows(path: Path) -> Iterator[dict[str, object]]:
    if path.suffix == ".csv":
        table = read_source(str(path))
        require_columns(table, NEEDED, str(path))
        columns = [name for name in COLUMNS if name in table.column_names]
        yield from table.select(columns).to_pylist()
        return
    try:
        file = pq.ParquetFile(path)
        require_columns(file.schema_arrow.empty_table(), NEEDED, str(path))
        columns = [name for name in COLUMNS if name in file.schema_arrow.names]
        for batch in file.iter_batches(ROWS_AT_A_TIME, columns=columns):
            yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
