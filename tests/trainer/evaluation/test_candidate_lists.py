"""Candidate lists: who is in, who is left out, and that they are drawn once for all models."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genfilt.common.errors import UsageError, UserError
from tests.trainer.shop import Shop
from trainer.database.reading import open_database
from trainer.evaluation import candidates
from trainer.evaluation.candidates import OTHERS, Benchmark, CandidateLists, load_benchmark
from trainer.evaluation.scorers import tabulated


def lists(query: list[int], product: list[int], **parts: object) -> CandidateLists:
    sides = {"inside": range(300), "everything": range(1000), "known": ([], []), **parts}
    known = sides.pop("known")
    arrays = {name: np.array(side, dtype=np.int32) for name, side in sides.items()}
    return CandidateLists(
        query=np.array(query, dtype=np.int32),
        product=np.array(product, dtype=np.int32),
        known=tuple(np.array(side, dtype=np.int32) for side in known),
        **arrays,
    )


def test_the_relevant_product_comes_first_and_others_are_distinct() -> None:
    drawn = lists([0, 0, 7], [5, 6, 5]).draw(seed=0)
    assert drawn.shape == (3, 1 + OTHERS)
    assert drawn[:, 0].tolist() == [5, 6, 5]
    for row in drawn:
        assert len(set(row.tolist())) == 1 + OTHERS
    assert drawn.max() < 300


def test_the_splits_own_products_come_before_all_others() -> None:
    drawn = lists([0], [5], inside=range(40)).draw(seed=0)[0]
    assert set(range(40)) <= set(drawn.tolist())
    assert sum(p >= 40 for p in drawn.tolist()) == 1 + OTHERS - 40


def test_a_small_catalogue_is_filled_with_none() -> None:
    drawn = lists([0], [5], inside=range(4), everything=range(9)).draw(seed=0)[0]
    assert sorted(drawn[:9].tolist()) == list(range(9))
    assert (drawn[9:] == -1).all()


def test_known_relevant_products_are_left_out_of_their_own_query_alone() -> None:
    known = ([0] * 150, list(range(150)))
    drawn = lists([0, 1], [5, 5], known=known).draw(seed=0)
    assert drawn[0, 1:].min() >= 150
    assert (drawn[1, 1:] < 150).any()


def test_every_other_product_is_equally_likely() -> None:
    seen = np.zeros(2000)
    for seed in range(300):
        row = lists([0], [5], inside=range(2000), everything=range(2000)).draw(seed)[0, 1:]
        seen[row] += 1
    assert seen[5] == 0
    others = np.delete(seen, 5)
    expected = 300 * OTHERS / 1999
    spread = np.sqrt(((others - expected) ** 2).mean())
    assert spread == pytest.approx(np.sqrt(expected), rel=0.1)
    assert abs(others[:1000].mean() - others[1000:].mean()) < 0.6


def test_lists_are_drawn_once_and_then_read(tmp_path: Path) -> None:
    made = lists([0, 1], [5, 6])
    first = made.stored(tmp_path, "val", seed=0)
    (path,) = tmp_path.iterdir()
    before = path.stat().st_mtime_ns
    assert np.array_equal(made.stored(tmp_path, "val", seed=0), first)
    assert path.stat().st_mtime_ns == before
    assert np.array_equal(first, made.draw(0))
    assert not np.array_equal(made.stored(tmp_path, "val", seed=1), first)
    lists([0, 1], [5, 7]).stored(tmp_path, "val", seed=0)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"val-.* cannot be written .*--db"):
        lists([0], [5]).stored(tmp_path / "file" / "below", "val", 0)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.duckdb"
    with Shop(path) as shop:
        for n in range(12):
            split = "val" if n < 6 else "train"
            texts = (f"title {n}", f"picture {n}")
            category = None if n == 5 else f"c{n % 2}"
            shop.product(f"p{n}", f"title {n}", split=split, texts=texts, category=category)  # type: ignore[arg-type]
        q = shop.query("q", "red thing")
        other = shop.query("r", "blue thing")
        shop.click("q", "p0", "val")
        shop.click("q", "p1", "val")
        shop.label("q", "p1", 0, "val")  # contradicts the click
        shop.click("q", "p7", "train")
        shop.label("q", "p2", 1, "val")
        shop.label("q", "p3", 0, "val")
        shop.label("r", "p4", 0, "val")
        shop.review("r", "p4", 1)
        shop.review("q", "p5", 1)
        shop.review("q", "p11", 0)
        shop.correct(q, shop.feature("title 8", "picture 8"))
        shop.correct(other, shop.feature("title 9", "picture 9"))
    return path


def benchmark(path: Path, split: str = "val") -> Benchmark:
    with open_database(path) as connection:
        return load_benchmark(connection, path.parent / "candidates", split)


def test_labels_of_the_split_which_no_review_overrides(shop: Path) -> None:
    found = benchmark(shop)
    labels = set(
        zip(found.query.tolist(), found.product.tolist(), found.positive.tolist(), strict=True)
    )
    assert labels == {(0, 1, False), (0, 2, True), (0, 3, False), (1, 4, False)}


def test_a_candidate_is_left_out_for_a_click_label_or_review_but_never_for_genfilt(
    shop: Path,
) -> None:
    found = benchmark(shop)
    assert found.source == "click"
    assert found.candidate_query.tolist() == [0]
    (row,) = found.candidates.tolist()
    assert row[0] == 0
    listed = {p for p in row if p >= 0}
    assert {2, 5, 7}.isdisjoint(listed)
    assert {8, 9} <= listed
    assert listed == {0, 1, 3, 4, 6, 8, 9, 10, 11}
    assert found.sizes.tolist() == [9]


def test_categories_are_those_of_the_splits_products(shop: Path) -> None:
    assert benchmark(shop).categories == {
        0: "c0", 1: "c1", 2: "c0", 3: "c1", 4: "c0", 5: "none",
    }  # fmt: skip


def test_without_clicks_label_1_stands_in(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with Shop(path) as shop:
        for n in range(3):
            shop.product(f"p{n}", f"title {n}", split="val")
        shop.query("q", "red thing")
        shop.label("q", "p0", 1, "val")
        shop.label("q", "p1", 0, "val")
    found = benchmark(path)
    assert found.source == "label"
    assert [sorted(row[:3]) for row in found.candidates.tolist()] == [[0, 1, 2]]
    with pytest.raises(UserError, match="no click and no label of split 'test'"):
        benchmark(path, "test")
    with pytest.raises(UsageError, match="--split is 'dev'"):
        benchmark(path, "dev")


def test_each_thing_that_is_named_is_encoded_once(shop: Path) -> None:
    found = benchmark(shop)
    assert found.queries.tolist() == [0, 1]
    assert found.products.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]


def test_lists_are_stored_and_read_in_parts_without_32_bit_offsets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offsets of 32 bits end at 21 million lists; those of one size need none."""
    monkeypatch.setattr(candidates, "LISTS_AT_ONCE", 3)
    many = lists(list(range(10)), list(range(10, 20)))
    read = many.stored(tmp_path, "val", 0)
    assert np.array_equal(read, many.draw(0))
    assert np.array_equal(many.stored(tmp_path, "val", 0), read)
    (path,) = tmp_path.glob("val-*.parquet")
    schema = pq.read_schema(path)
    assert pa.types.is_fixed_size_list(schema.field("products").type)
    assert pq.ParquetFile(path).metadata.num_row_groups == 4
    # Files of before have lists with offsets.
    pq.write_table(pa.table({"q": many.query, "products": list(read)}), path)
    assert np.array_equal(candidates.read_lists(path), read)


def test_the_largest_numbers_are_told_apart() -> None:
    """A query's number times a product's is past 32 bits, and here at the end of 62."""
    top = np.iinfo(np.int32).max
    queries = np.array([0, 0, 1, top - 1, top - 1, top], dtype=np.int32)
    products = np.array([0, top, 0, top - 1, top, top], dtype=np.int32)
    score = tabulated(queries, products, np.arange(6.0))
    assert score(queries[::-1], products[::-1]).tolist() == [5, 4, 3, 2, 1, 0]
    known = ([top, top], [top, top - 2])
    drawn = lists([top], [top], inside=[top - 1, top - 2], everything=[top - 3], known=known)
    assert sorted(drawn.draw(0)[0][:3].tolist()) == [top - 3, top - 1, top]
