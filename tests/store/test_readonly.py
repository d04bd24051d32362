from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from genfilt.common.duckdb_file import memory_limit
from genfilt.common.errors import UserError
from genfilt.store import readonly
from genfilt.store.readonly import run_query
from genfilt.store.store import Store

ALLOWED = {
    "FROM products": 2,
    "select title.lower() AS t FROM products ORDER BY t": 2,
    "SELECT count(*), avg(p) OVER () FROM product_no GROUP BY p": 2,
    "SELECT * FROM db.main.products p JOIN main.product_no USING (product_id)": 2,
    "WITH a AS (FROM range(3)), b AS (FROM a) SELECT * FROM a JOIN b USING (range)": 3,
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 4) FROM r": 4,
    "FROM generate_series(1, 3) UNION ALL SELECT unnest([1, 2])": 5,
    "PIVOT products ON split IN ('train', 'val') USING count(*) GROUP BY category": 1,
    "SELECT * FROM (VALUES (1), (2)) v(a) WHERE a IN (SELECT p FROM product_no)": 1,
    "SELECT split, grouping(split) FROM products GROUP BY ROLLUP (split)": 2,
    "SELECT COLUMNS('title.*') FROM products QUALIFY row_number() OVER () = 1": 1,
    "SELECT coalesce(image, '-'), title LIKE 'a%', [x + 1 for x in [1]], CASE WHEN 1 THEN 2 END,"
    " extract(year FROM now()), date_trunc('day', now()), {'a': 1}.a FROM products LIMIT 1": 1,
    "SELECT j.value FROM products, json_each('[1, 2]') j": 4,
    "SHOW products": 7,
    "DESCRIBE verdicts": 5,
    "SUMMARIZE queries": 3,
    "EXPLAIN SELECT * FROM positives": 1,
    "/* why */ explain -- how\n ANALYZE (FORMAT json) FROM positives": 1,
    "TABLE products; -- and no more": 2,
    "SELECT table_name FROM duckdb_tables() WHERE table_name = 'products'": 1,
}

STATEMENTS = (
    "ATTACH {file} AS w",
    "ATTACH {file} AS w (READ_ONLY)",
    "COPY products TO {file}",
    "COPY (SELECT 1) TO {file} (FORMAT parquet)",
    "COPY products FROM {file}",
    "EXPORT DATABASE {file}",
    "IMPORT DATABASE {file}",
    "CREATE TABLE t AS FROM read_csv({file})",
    "CREATE TEMP TABLE t AS FROM read_text({file})",
    "CREATE SECRET s (TYPE s3, KEY_ID {file})",
    "INSERT INTO products FROM read_parquet({file})",
    "LOAD {file}",
    "INSTALL {file}",
    "SET temp_directory = {file}",
    "SET log_query_path = {file}",
    "PRAGMA database_list; ATTACH {file}",
    "EXPLAIN ANALYZE COPY products TO {file}",
    "EXPLAIN ANALYZE CREATE TABLE t AS FROM read_csv({file})",
    "SELECT 1; COPY products TO {file}",
)
RELATIONS = (
    *("{file}", "read_csv({file})", "read_csv_auto({file})", "read_text({file})"),
    *("read_blob({file})", "read_parquet({file})", "parquet_metadata({file})"),
    *("read_json({file})", "sniff_csv({file})", "glob({file})", "read_duckdb({file})"),
    *("parquet_scan([{file}])", "query('FROM read_text(' || {file} || ')')"),
    "query_table([{file}])",
)
FORMS = (
    "SELECT * FROM {relation}",
    "FROM products, (SELECT * FROM {relation})",
    "WITH a AS MATERIALIZED (FROM {relation}) SELECT 1",
    "SELECT (SELECT count(*) FROM {relation}) FROM products",
    "EXPLAIN ANALYZE FROM {relation}",
    "SUMMARIZE FROM {relation}",
    "SELECT 1 WHERE EXISTS (FROM {relation})",
    "FROM products UNION ALL BY NAME FROM {relation}",
)
FILES = ("'g.duckdb'", "'g.duckdb.wal'", "'secret.csv'", "'/etc/passwd'", "'s.sqlite'", "'md:db'")
OTHERS = (
    "USE memory; DETACH db; ATTACH 'g.duckdb' AS w; DELETE FROM w.products",
    "DETACH db",
    "USE memory",
    "USE temp",
    "CHECKPOINT",
    "FORCE CHECKPOINT db",
    "VACUUM",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "DELETE FROM products",
    "UPDATE products SET title = ''",
    "INSERT INTO meta VALUES ('a', 'b')",
    "TRUNCATE products",
    "MERGE INTO meta USING meta m ON true WHEN MATCHED THEN DELETE",
    "DROP TABLE products",
    "DROP VIEW verdicts",
    "ALTER TABLE products ADD COLUMN a INTEGER",
    "COMMENT ON TABLE products IS 'a'",
    "CREATE VIEW v AS SELECT 1",
    "CREATE OR REPLACE TEMP VIEW verdicts AS SELECT 1",
    "CREATE MACRO upper(a) AS 1",
    "CREATE TEMP MACRO upper(a) AS 1",
    "CREATE SCHEMA s",
    "CREATE SEQUENCE s",
    "CREATE INDEX i ON products (title)",
    "CREATE TYPE t AS ENUM ('a')",
    "CREATE TRIGGER t AFTER INSERT ON meta FOR EACH STATEMENT DELETE FROM products",
    "WITH d AS (DELETE FROM products RETURNING *) FROM d",
    "WITH d AS (INSERT INTO meta VALUES ('a', 'b') RETURNING *) FROM d",
    "WITH d AS (UPDATE meta SET value = '' RETURNING *) SELECT * FROM products, d",
    "SELECT * FROM (WITH d AS (DELETE FROM products RETURNING *) FROM d)",
    "EXPLAIN ANALYZE INSERT INTO meta VALUES ('a', 'b')",
    "EXPLAIN ANALYZE WITH d AS (DELETE FROM products RETURNING *) FROM d",
    "EXPLAIN EXPLAIN ANALYZE DELETE FROM products",
    "EXPLAIN ANALYZE SELECT 1; DELETE FROM products",
    "INSTALL httpfs",
    "FORCE INSTALL httpfs FROM 'http://127.0.0.1:9'",
    "LOAD json",
    "UPDATE EXTENSIONS",
    "SET enable_external_access = true",
    "SET memory_limit = '1TB'",
    "SET search_path = 'db.main'",
    "SET GLOBAL autoinstall_known_extensions = true",
    "RESET lock_configuration",
    "SET VARIABLE a = 1",
    "PRAGMA enable_profiling",
    "PRAGMA profiling_output = 'profile.json'",
    "PRAGMA database_list",
    "PRAGMA database_size",
    "CALL pragma_version()",
    "CALL enable_logging(storage := 'file', storage_path := 'log')",
    "CALL force_checkpoint('db')",
    "FROM force_checkpoint('db')",
    "FROM checkpoint()",
    "FROM enable_logging('QueryLog')",
    "FROM enable_profiling()",
    "FROM truncate_duckdb_logs()",
    "FROM duckdb_secrets()",
    "FROM which_secret('s3://a', 's3')",
    "FROM duckdb_settings()",
    "FROM duckdb_extensions()",
    "FROM duckdb_databases()",
    "FROM pragma_storage_info('products')",
    "FROM pragma_database_size()",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "FROM seq_scan('products')",
    "SHOW DATABASES",
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT write_log('a')",
    "SELECT nextval('s')",
    "SELECT sleep_ms(60000)",
    "PREPARE p AS DELETE FROM products",
    "EXECUTE p",
    "DEALLOCATE p",
    "PIVOT products ON split USING count(*)",
    "FROM theirs",
    "FROM db.theirs",
    "FROM db.main.verdicts",
    "FROM main.positives",
    "FROM memory.main.products",
    "WITH theirs AS (FROM theirs) FROM theirs",
    "WITH a AS (FROM theirs), theirs AS (SELECT 1) FROM a",
    "SELECT (WITH theirs AS (SELECT 1) SELECT 1), * FROM theirs",
    "DESCRIBE theirs",
    "SUMMARIZE theirs",
    "FROM their_table_macro()",
    "FROM db.main.their_table_macro()",
    "SELECT their_macro(1)",
    "SELECT db.main.their_macro(1)",
    "SELECT main.lower('A')",
    "SELECT list_transform([1], lambda x: their_macro(x))",
    "SELECT count(*) FROM products GROUP BY their_macro(title)",
    "FROM sqlite_scan('s.sqlite', 't')",
    "FROM postgres_scan('host=127.0.0.1', 'a', 'b')",
    "FROM 'http://127.0.0.1:9/a.csv'",
    "FROM read_csv('s3://bucket/a.csv')",
    "SELECT 1; SELECT 2",
    ";",
    "",
    "not SQL",
    "SELECT",
    "EXPLAIN",
    "SELECT '\\",
    "(" * 3000,
)


def hostile() -> list[str]:
    files = itertools.cycle(FILES)
    found = [s.format(file=next(files)) for s in STATEMENTS for _ in range(3)]
    found += [
        form.format(relation=relation.format(file=next(files)))
        for form in FORMS
        for relation in RELATIONS
    ]
    return [*found, *OTHERS]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with a view and macros of its own, beside files worth stealing."""
    with Store(tmp_path / "g.duckdb") as store:
        rows = [
            {"product_id": f"p{n}", "title": f"a{n}", "category": "c", "split": "train",
             "title_key": f"t{n}"}
            for n in range(2)
        ]  # fmt: skip
        store.insert("products", pa.Table.from_pylist(rows))
        store.insert("product_no", pa.table({"product_id": ["p0", "p1"], "p": [0, 1]}))
    with duckdb.connect(str(tmp_path / "g.duckdb")) as other:
        other.execute("CREATE VIEW theirs AS SELECT 'stolen'")
        other.execute("CREATE MACRO their_macro(a) AS 'stolen'")
        other.execute("CREATE MACRO their_table_macro() AS TABLE SELECT 'stolen'")
        other.execute("CREATE MACRO lower(a) AS 'stolen'")
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    with sqlite3.connect(tmp_path / "s.sqlite") as sqlite:
        sqlite.execute("CREATE TABLE t (a)")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store(folder / "g.duckdb", read_only=True) as opened:
        yield opened


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refusal(store: Store, query: str) -> str:
    try:
        run_query(store, query)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("query", ALLOWED)
def test_queries_that_read_are_answered(store: Store, query: str) -> None:
    assert run_query(store, query).num_rows == ALLOWED[query]


def test_macros_of_the_file_take_the_place_of_no_function(store: Store) -> None:
    assert run_query(store, "SELECT lower('A') AS a").to_pylist() == [{"a": "a"}]


def test_hostile_queries_are_refused_in_one_sentence_and_change_nothing(folder: Path) -> None:
    queries = hostile()
    assert len(set(queries)) > 200
    before = content(folder)
    with Store("g.duckdb", read_only=True) as store:
        for query in queries:
            message = refusal(store, query)
            assert message, f"answered: {query}"
            assert "\n" not in message, query
            assert "stolen" not in message, query
        assert run_query(store, "SELECT title FROM products").num_rows == 2
    assert content(folder) == before


def test_tables_are_listed_once_each(store: Store) -> None:
    names = run_query(store, "SHOW TABLES;")["name"].to_pylist()
    assert len(names) == len(set(names))
    assert {"products", "verdicts"} <= set(names)


def test_an_answer_beyond_the_limit_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly, "MAX_ANSWER_BYTES", 1 << 20)
    with pytest.raises(UserError, match="must not exceed 1 MB"):
        run_query(store, "FROM range(1000000000000)")


def test_a_query_that_needs_too_much_memory_fails_and_does_not_fill_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genfilt.common.duckdb_file.memory_limit", lambda **_: 50_000_000)
    fault = "The query failed: Out of Memory"
    with Store("g.duckdb", read_only=True) as store, pytest.raises(UserError, match=fault):
        run_query(store, "SELECT hash(range) AS a FROM range(100000000) ORDER BY a")
    assert not list(folder.glob("*.tmp"))


def test_a_query_may_use_the_memory_that_is_there(folder: Path) -> None:
    setting = "SELECT current_setting('memory_limit')"
    with Store("g.duckdb", read_only=True) as store, duckdb.connect() as other:
        run_query(store, "SELECT 1")
        other.execute(f"SET memory_limit = '{memory_limit()}B'")
        assert store.rows(setting) == other.execute(setting).fetchall()
