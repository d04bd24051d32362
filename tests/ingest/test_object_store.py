"""Tables read from an S3 server on this host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from genfilt.common.errors import UserError
from genfilt.ingest.ingest import ingest
from genfilt.ingest.readers import read_source
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of a bucket, with what pyarrow needs to reach it; {} stands for the key."""
    server = pytest.importorskip("moto.server", reason="pip install genfilt[dev] brings moto")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        running.start()
        try:
            host, port = running.get_host_and_port()
            where = f"{host}:{port}"
            system = fs.S3FileSystem(
                endpoint_override=where,
                scheme="http",
                region="us-east-1",
                allow_bucket_creation=True,
            )
            system.create_dir("shop")
            table = pa.table({"product_id": ["p1", "p2"], "title": ["Red mug", "Blue hoodie"]})
            pq.write_table(table, "shop/day/products.parquet", filesystem=system)
            with system.open_output_stream("shop/queries.csv") as file:
                file.write(b"query_id,query\nq1,red mug\n")
            yield f"s3://shop/{{}}?region=us-east-1&scheme=http&endpoint_override={where}"
        finally:
            running.stop()


def test_tables_are_read_from_a_bucket(bucket: str, tmp_path: Path) -> None:
    with Store(tmp_path / "a.duckdb") as store:
        sources = Sources(
            products=bucket.format("day/products.parquet"), queries=bucket.format("queries.csv")
        )
        ingest(store, sources)
        assert store.rows("SELECT product_id, title FROM products ORDER BY 1") == [
            ("p1", "Red mug"),
            ("p2", "Blue hoodie"),
        ]
        assert store.rows("SELECT query FROM queries") == [("red mug",)]


def test_a_missing_object_is_named(bucket: str) -> None:
    with pytest.raises(UserError, match=r"s3://shop/none\.csv.* cannot be read"):
        read_source(bucket.format("none.csv"))
