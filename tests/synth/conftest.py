"""The generated catalogue that the tests of synth share."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from genfilt.synth import SynthSummary, synthesize

PRODUCTS = 600


@dataclass(frozen=True)
class Catalogue:
    folder: Path
    summary: SynthSummary
    connection: duckdb.DuckDBPyConnection

    def rows(self, sql: str) -> list[tuple]:
        return self.connection.execute(sql).fetchall()

    def value(self, sql: str) -> float:
        ((value,),) = self.rows(sql)
        return value


def opened(folder: Path, summary: SynthSummary) -> Catalogue:
    connection = duckdb.connect()
    connection.execute(f"ATTACH '{folder / 'truth.duckdb'}' AS truth (READ_ONLY)").fetchall()
    for name in ("products", "queries", "clicks", "labels"):
        connection.execute(f"CREATE TABLE {name} AS FROM '{folder / name}.csv'").fetchall()
    connection.execute("CREATE VIEW facets AS FROM truth.facets").fetchall()
    connection.execute("CREATE VIEW needs AS FROM truth.needs").fetchall()
    connection.execute("CREATE TABLE relevant AS FROM truth.relevant").fetchall()
    return Catalogue(folder, summary, connection)


@pytest.fixture(scope="package")
def catalogue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synth") / "catalogue"
    made = opened(folder, synthesize(PRODUCTS, folder, seed=3))
    yield made
    made.connection.close()


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".duckdb"
    }


def truth_rows(folder: Path) -> list[list[tuple]]:
    with duckdb.connect(str(folder / "truth.duckdb"), read_only=True) as connection:
        return [
            connection.execute(f"FROM {table} ORDER BY ALL").fetchall()
            for table in ("facets", "needs", "relevant")
        ]
