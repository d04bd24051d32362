"""One small database, made by hand, that both packages are held to.

q0 "black jacket"    clicked p0 in train; p1 is p0's equal listing under another id
q1 "Black  Jacket"   another id of the same query
q2 "mug"             labels: p3 positive and p4 negative in train, p5 positive in val
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genfilt.store.store import Store, now
from trainer.batches.mask import Masks
from trainer.database.catalogue import load_catalogue, load_rows
from trainer.database.known_pairs import load_known_pairs
from trainer.database.reading import open_database

PRODUCTS = (
    # product_id, title key, image key, split, p, f
    ("jacket", "t0", "i0", "train", 0, 0),
    ("jacket again", "t0", "i0", "train", 0, 0),
    ("jacket, other photo", "t0", "i1", "train", 1, 1),
    ("other jacket", "t1", "i2", "train", 2, 2),
    ("mug", "t2", "i3", "train", 3, 3),
    ("cup", "t3", "i4", "train", 4, 4),
    ("val mug", "t4", "i5", "val", 5, 3),
    ("bowl", "t5", None, "train", 6, None),
)
QUERIES = (("q0", "black jacket", 0), ("q1", "Black  Jacket", 0), ("q2", "mug", 1))
FEATURES = (
    # f, f_title, f_image, title text, picture text
    (0, 0, 0, "black jacket", "a black jacket"),
    (1, 0, 1, "black jacket", "a dark jacket"),
    (2, 2, 0, "rain jacket", "a black jacket"),
    (3, 3, 3, "mug", "a mug"),
    (4, 4, 4, "cup", "a cup"),
)
CLICKS = (("q0", "jacket", "train"), ("q2", "jacket", "val"), ("q2", "cup", "train"))
LABELS = (("q2", "mug", 1, "train"), ("q2", "cup", 0, "train"), ("q2", "val mug", 1, "val"))
CANDIDATES = (
    # q, f, score, vetoed
    (0, 2, 0.93, False),
    (0, 1, 0.90, False),
    (0, 3, 0.89, False),  # below sigma
    (1, 4, 0.95, False),  # a label says no
    (0, 4, 0.97, True),
)
MATCHES = ((0, 2, 0.92), (3, 4, 0.5))  # f_image, f_title


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "contract.duckdb"
    with Store(path) as store:
        for name, title, image, split, p, f in PRODUCTS:
            row = [name, title, image and f"/{image}.jpg", "things", split, title, image]
            store.rows("INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            store.rows("INSERT INTO product_no VALUES (?, ?, ?)", [name, p, f])
        for query_id, query, q in QUERIES:
            store.rows("INSERT INTO queries VALUES (?, ?, ?)", [query_id, query, f"k{q}"])
            store.rows("INSERT INTO query_no VALUES (?, ?)", [query_id, q])
        for feature in FEATURES:
            store.rows("INSERT INTO features VALUES (?, ?, ?, ?, ?, ?)", [*feature, feature[3]])
        for query_id, name, split in CLICKS:
            store.rows("INSERT INTO clicks VALUES (?, ?, 1, ?)", [query_id, name, split])
        for query_id, name, label, split in LABELS:
            store.rows(
                "INSERT INTO labels VALUES (?, ?, ?, NULL, ?)", [query_id, name, label, split]
            )
        settings = ["paper", 0.9, 0.9, 0.5, None, None, "e", "l", "c", "t", now(), True, 1, 4]
        store.rows(f"INSERT INTO filters VALUES (1{', ?' * len(settings)})", settings)
        for q, f, score, vetoed in CANDIDATES:
            store.rows(
                "INSERT INTO qp_candidates VALUES (1, ?, ?, ?, ?, ?, ?, ?, NULL)",
                [q, f, score, score, score, score, vetoed],
            )
        for f_image, f_title, score in MATCHES:
            store.rows(
                "INSERT INTO it_candidates VALUES (1, ?, ?, ?, ?)", [f_image, f_title, score, score]
            )
    return path


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    with Store(database) as opened:
        yield opened


def verdicts(store: Store, split: str) -> list[tuple[object, ...]]:
    return store.rows(
        "SELECT q, p, positive, source FROM verdicts WHERE split = ? ORDER BY ALL", [split]
    )


def review(store: Store, query_id: str, product_id: str, verdict: int) -> None:
    store.rows(
        "INSERT INTO reviews VALUES (?, ?, ?, 'ann', NULL, ?)",
        [query_id, product_id, verdict, now()],
    )


def test_verdicts_are_review_over_label_over_click(store: Store) -> None:
    assert verdicts(store, "train") == [
        (0, 0, True, "click"),
        (1, 3, True, "label"),
        (1, 4, False, "label"),
    ]
    review(store, "q1", "jacket again", 0)
    review(store, "q2", "cup", 1)
    assert verdicts(store, "train") == [
        (0, 0, False, "review"),
        (1, 3, True, "label"),
        (1, 4, True, "review"),
    ]


def test_a_later_review_overrules_an_earlier_one(store: Store) -> None:
    review(store, "q2", "cup", 1)
    store.rows("INSERT INTO reviews VALUES ('q2', 'cup', 0, 'bob', NULL, '2099-01-01'::TIMESTAMP)")
    assert (1, 4, False, "review") in verdicts(store, "train")


def test_a_withdrawn_review_leaves_what_the_others_and_the_log_state(store: Store) -> None:
    review(store, "q2", "cup", 1)
    store.rows("UPDATE reviews SET verdict = NULL")
    assert (1, 4, False, "label") in verdicts(store, "train")
    store.rows("INSERT INTO reviews VALUES ('q2', 'cup', 1, 'bob', NULL, '2020-01-01'::TIMESTAMP)")
    assert (1, 4, True, "review") in verdicts(store, "train")


def test_a_review_overrides_no_verdict_outside_train(store: Store) -> None:
    before = verdicts(store, "val")
    review(store, "q2", "val mug", 0)  # a val label is 1, the product is of val
    review(store, "q2", "jacket", 0)  # a val click, the product is of train
    assert verdicts(store, "val") == before
    assert (1, 5, False, "review") not in verdicts(store, "train")
    assert (1, 0, False, "review") in verdicts(store, "train")


def test_a_correction_has_its_split_and_what_others_state_of_it(store: Store) -> None:
    store.rows("INSERT INTO qp_candidates VALUES (1, 1, 3, 0.9, 0.9, 0.9, 0.9, false, NULL)")
    store.rows("INSERT INTO qp_candidates VALUES (1, 1, 0, 0.9, 0.9, 0.9, 0.9, false, NULL)")
    store.rows("INSERT INTO labels VALUES ('q0', 'other jacket', 0, NULL, 'test')")
    found = store.rows(
        "SELECT query_id, product_id, split, held_out_verdict FROM query_product_corrections "
        "ORDER BY ALL"
    )
    assert found == [
        ("q0", "jacket, other photo", "train", None),
        ("q0", "other jacket", "train", 0),
        ("q1", "jacket, other photo", "train", None),
        ("q1", "other jacket", "train", 0),
        ("q2", "jacket", "train", 1),
        ("q2", "jacket again", "train", 1),
        ("q2", "val mug", "val", 1),
    ]


def test_the_image_title_sigma_alone_decides_image_title_corrections(store: Store) -> None:
    count = "SELECT count(*) FROM it_corrections"
    assert store.scalar(count) == 1
    store.rows("UPDATE filters SET sigma = 0.99")
    assert store.scalar(count) == 1
    store.rows("UPDATE filters SET image_title_sigma = 0.4")
    assert store.scalar(count) == 2


def test_corrections_are_expanded_to_every_listing_and_query(store: Store) -> None:
    found = store.rows(
        "SELECT query_id, product_id, score FROM query_product_corrections ORDER BY ALL"
    )
    assert found == [
        (query, product, score)
        for query in ("q0", "q1")
        for product, score in (("jacket, other photo", 0.90), ("other jacket", 0.93))
    ]
    assert store.rows(
        "SELECT image_product_id, title_product_id FROM image_title_corrections ORDER BY ALL"
    ) == [("jacket", "other jacket"), ("jacket again", "other jacket")]


def test_positives_are_what_is_known_and_what_is_corrected(store: Store) -> None:
    found = store.rows(
        "SELECT query_id, product_id, source FROM positives WHERE split = 'train' ORDER BY ALL"
    )
    known = [
        *((q, p, "click") for q in ("q0", "q1") for p in ("jacket", "jacket again")),
        ("q2", "mug", "label"),
    ]
    corrected = [
        (q, p, "genfilt") for q in ("q0", "q1") for p in ("jacket, other photo", "other jacket")
    ]
    assert found == sorted(known + corrected)


def masks_of(database: Path) -> Masks:
    with open_database(database) as connection:
        return Masks(load_known_pairs(connection), load_catalogue(connection).contents)


def test_the_trainers_masks_are_the_expanded_positives(database: Path) -> None:
    masks = masks_of(database)
    q, p = np.arange(2, dtype=np.int32), np.arange(7, dtype=np.int32)
    fused = masks.queries(q, p).fused
    with Store(database, read_only=True) as store:
        expanded = store.rows(
            "SELECT DISTINCT q, p FROM positives JOIN query_no USING (query_id) "
            "JOIN product_no USING (product_id) WHERE split = 'train'"
        )
    assert set(zip(*(axis.tolist() for axis in np.nonzero(fused)), strict=True)) == set(expanded)


def test_a_column_with_a_positives_title_or_picture_is_positive_there(database: Path) -> None:
    q, p = np.array([0], dtype=np.int32), np.arange(7, dtype=np.int32)
    found = masks_of(database).queries(q, p)
    # p0 (clicked), p1 and p2 (corrected) are positive; p0 and p1 share a title.
    assert np.flatnonzero(found.fused[0]).tolist() == [0, 1, 2]
    assert np.flatnonzero(found.title[0]).tolist() == [0, 1, 2]
    only_first = masks_of(database).image_title(np.array([0, 1, 2, 3], dtype=np.int32))
    # Own title; the equal title of p1; the picture's correction with p2's title.
    assert np.flatnonzero(only_first[0]).tolist() == [0, 1, 2]
    assert np.flatnonzero(only_first[3]).tolist() == [3]


def test_a_val_label_and_a_val_click_do_not_get_through(database: Path) -> None:
    """q2 has a val click on the jacket (p0) and a val label on the val mug (p5)."""
    with open_database(database) as connection:
        corrections = load_known_pairs(connection)
        catalogue = load_catalogue(connection)
        rows = [load_rows(connection, stage, catalogue)[0] for stage in (2, 3)]
    held = set(zip(*_entries(corrections.verdicts), strict=True))
    assert held == {(0, 0), (1, 3), (1, 4)}
    for stage_rows in rows:
        pairs = set(zip(stage_rows.query.tolist(), stage_rows.product.tolist(), strict=True))
        assert not pairs & {(1, 0), (1, 5)}
    masks = masks_of(database).queries(
        np.array([1], dtype=np.int32), np.array([0, 5], dtype=np.int32)
    )
    assert not masks.fused.any()
    with Store(database, read_only=True) as store:
        known = store.rows(
            "SELECT product_id FROM positives WHERE query_id = 'q2' AND split = 'train'"
        )
    assert known == [("mug",)]


def _entries(csr: object) -> tuple[list[int], list[int]]:
    starts, values = csr.starts, csr.values  # type: ignore[attr-defined]
    return np.repeat(np.arange(len(starts) - 1), np.diff(starts)).tolist(), values.tolist()


def test_trainer_imports_of_genfilt_common_and_engines_alone_and_genfilt_nothing_of_it() -> None:
    root = Path(__file__).parent.parent
    for package, other in (("genfilt", "trainer"), ("trainer", "genfilt")):
        for path in (root / package).rglob("*.py"):
            for module in _imported(path):
                known = module.startswith(("genfilt.common", "genfilt.engines"))
                shared = package == "trainer" and known
                assert module.split(".")[0] != other or shared, f"{path}: {module}"


def test_engines_know_neither_package() -> None:
    for path in (Path(__file__).parent.parent / "genfilt" / "engines").glob("*.py"):
        for module in _imported(path):
            known = module.startswith(("genfilt.common", "genfilt.engines"))
            assert module.split(".")[0] not in ("genfilt", "trainer") or known, f"{path}: {module}"


def _imported(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, lazy imports too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_the_trainers_views_repeat_genfilts() -> None:
    def views(folder: str) -> dict[str, str]:
        text = (Path(__file__).parents[1] / folder / "views.sql").read_text("utf-8")
        bare = re.sub(r"--[^\n]*\n", "", text)
        return dict(re.findall(r"CREATE (?:TEMP )?VIEW (\w+) AS\n(.*?);\n", bare, re.S))

    theirs, ours = views("genfilt/store"), views("trainer/database")
    assert ours.keys() == theirs.keys() - {"image_title_corrections", "positives"}
    assert all(ours[name] == theirs[name] for name in ours)
