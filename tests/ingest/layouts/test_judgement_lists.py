from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from genfilt.common.errors import UsageError, UserError
from genfilt.ingest.ingest import ingest
from genfilt.ingest.layouts import CatalogueLayout, with_layout
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store

PRODUCTS = pa.table({"product_id": ["1", "2", "3"], "title": ["Mug", "Cup", "Pot"]})
QUERIES = pa.table({"query_id": ["1", "2"], "query": ["red mug", "pot"]})
QRELS = "1 0 1 2\n1\t0\t2\t0\r\n\n2 Q0 3 1\n2 0 1 -2\n"
LTR = "# qid:1: red mug\n# qid:2: pot\n#\n4\tqid:1 #\t1 Mug\n0 qid:1 1:0.5 2:1 # 2\n3 qid:2 # 3\n"


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as opened:
        yield opened


def labels(store: Store, path: Path, layout: str, **given: object) -> list[tuple[object, ...]]:
    sources = Sources(products=PRODUCTS, **given)  # type: ignore[arg-type]
    ingest(store, with_layout(store, str(path), CatalogueLayout(layout), sources))
    return store.rows("SELECT query_id, product_id, label, grade FROM labels ORDER BY ALL")


def test_trec_qrels(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "qrels.txt"
    path.write_text(QRELS)
    found = labels(store, path, "qrels", queries=QUERIES)
    assert found == [
        ("1", "1", 1, "2"),
        ("1", "2", 0, "0"),
        ("2", "1", 0, "-2"),
        ("2", "3", 1, "1"),
    ]
    strict = labels(store, path, "qrels", min_grade=2.0)
    assert [label for *_, label, _ in strict] == [1, 0, 0, 0]


def test_ltr_lists_with_their_queries(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "judgements.txt"
    path.write_text(LTR)
    assert labels(store, path, "ltr") == [
        ("1", "1", 1, "4"),
        ("1", "2", 0, "0"),
        ("2", "3", 1, "3"),
    ]
    assert store.rows("SELECT query_id, query FROM queries ORDER BY 1") == [
        ("1", "red mug"),
        ("2", "pot"),
    ]


@pytest.mark.parametrize("layout", ["qrels", "ltr"])
def test_other_lines_are_named(store: Store, tmp_path: Path, layout: str) -> None:
    path = tmp_path / "x.txt"
    path.write_text(f"{QRELS if layout == 'qrels' else LTR}query,document\n")
    with pytest.raises(UserError, match=r"line (6|7) is not .*'query,document'"):
        labels(store, path, layout, queries=QUERIES)
    with pytest.raises(UserError, match="There is no file"):
        labels(store, tmp_path / "gone.txt", layout)


def test_labels_beside_qrels_are_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "qrels.txt"
    path.write_text(QRELS)
    with pytest.raises(UsageError, match="leave out --labels"):
        labels(store, path, "qrels", labels=PRODUCTS)
