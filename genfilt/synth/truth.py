"""Writer of the generated truth (facets, needs, relevant pairs) into a DuckDB file of its own."""

from collections.abc import Mapping
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from types import TracebackType

import duckdb
import pyarrow as pa

from genfilt.common.duckdb_file import STORAGE_VERSION
from genfilt.synth.facets import Facets, Need
from genfilt.synth.listings import Listing
from genfilt.synth.shopper_queries import Query

BATCH = 20_000

Row = Mapping[str, object]


class TruthWriter:
    """Tables `facets` and `needs` and the view `relevant`, written in batches of BATCH rows."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect()
        target = str(path).replace("'", "''")
        self._connection.execute(
            f"ATTACH '{target}' AS truth (STORAGE_VERSION '{STORAGE_VERSION}'); USE truth"
        )
        self._connection.execute((files(__package__) / "truth.sql").read_text(encoding="utf-8"))
        self._rows: dict[str, list[Row]] = {"facets": [], "needs": []}

    def __enter__(self) -> "TruthWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            for table in self._rows:
                self._flush(table)
        self._connection.close()

    def add_listing(self, listing: Listing) -> None:
        """Add the facets and the error flags of one product."""
        look, title = listing.look, listing.title
        row = {
            "product_id": listing.product_id,
            "style": listing.style,
            "split": listing.split,
            **_columns(listing.facets),
            "stated": title.stated,
            "picture_type": look.type,
            "picture_color": look.color,
            "picture_pattern": look.pattern,
            "picture_gender": look.gender,
            "near_duplicate": listing.near_duplicate,
            "stuffed": title.stuffed,
            "misleading": title.misleading,
            "falsified": title.falsified,
            "wrong_picture": listing.wrong_picture,
            "held_out": title.held_out,
        }
        self._add("facets", row)

    def add_query(self, query: Query) -> None:
        """Add the need of one query."""
        row = {
            "query_id": query.query_id,
            "need": query.need_number,
            **_columns(query.need),
            "brand_only": query.need.brand_only,
            "held_out": query.held_out,
        }
        self._add("needs", row)

    def _add(self, table: str, row: Row) -> None:
        self._rows[table].append(row)
        if len(self._rows[table]) == BATCH:
            self._flush(table)

    def _flush(self, table: str) -> None:
        rows, self._rows[table] = self._rows[table], []
        if rows:
            self._connection.register("batch", pa.Table.from_pylist(rows))
            self._connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM batch")
            self._connection.unregister("batch")


def _columns(facets: Facets | Need) -> dict[str, str | None]:
    return {field.name: getattr(facets, field.name) for field in fields(facets)}
