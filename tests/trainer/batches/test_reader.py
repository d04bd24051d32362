"""Rows of the stages, their order in batches, and the pictures behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from genfilt.common.errors import UserError
from tests.trainer.shop import Shop, draw
from trainer.batches.inputs import inputs_of
from trainer.batches.reader import BatchPlan, BatchReader, loader
from trainer.database.catalogue import Catalogue, Rows, load_catalogue, load_rows
from trainer.database.reading import open_database


def shape(image: Image.Image, seed: int | None = None) -> Tensor:
    """A transform whose result tells the picture's colour and the seed."""
    red, green, blue = image.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    return torch.tensor([red, green, blue, seed or 0]).float()


def pictured(path: Path) -> Path:
    """Three train products and a val one, with pictures; p2 has a broken one, p4 none."""
    with Shop(path / "shop.duckdb") as shop:
        for n, color in enumerate(("red", "green", "blue", "yellow")):
            picture = draw(path / f"{n}.jpg", color, "bar")
            if n == 2:
                picture.write_bytes(picture.read_bytes()[:600])
            shop.product(f"p{n}", f"title {n}", picture, split="val" if n == 3 else "train")
        shop.product("p4", "title 4")
        for n in range(2):
            shop.query(f"q{n}", f"query {n}")
    return path / "shop.duckdb"


def read(path: Path, stage: int) -> tuple[Rows, list[tuple[str, str]], Catalogue]:
    with open_database(path) as connection:
        catalogue = load_catalogue(connection)
        return *load_rows(connection, stage, catalogue), catalogue


def pairs(rows: Rows) -> list[tuple[int, int, bool]]:
    return list(zip(rows.query.tolist(), rows.product.tolist(), rows.positive, strict=True))


def test_stage_1_has_train_products_and_lists_those_without_a_picture(tmp_path: Path) -> None:
    rows, skipped, _ = read(pictured(tmp_path), 1)
    assert pairs(rows) == [(-1, 0, True), (-1, 1, True), (-1, 2, True)]
    assert skipped == [("p4", "no picture file")]


def test_stage_2_has_train_clicks_that_nothing_contradicts(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with Shop(path) as shop:
        shop.query("q", "black jacket")
        shop.query("again", "black jacket")
        picture = draw(tmp_path / "a.jpg", "red", "bar")
        for n in range(5):
            shop.product(f"p{n}", f"title {n}", picture)
            shop.click("q", f"p{n}", split="val" if n == 4 else "train")
        shop.click("again", "p0")
        shop.label("q", "p1", 0)
        shop.review("q", "p2", 0)
        shop.label("q", "p3", 0, split="val")
    rows, _, _ = read(path, 2)
    assert pairs(rows) == [(0, 0, True), (0, 3, True)]


def test_stage_3_has_train_labels_as_reviews_correct_them(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with Shop(path) as shop:
        shop.query("q", "black jacket")
        picture = draw(tmp_path / "a.jpg", "red", "bar")
        for n in range(5):
            shop.product(f"p{n}", f"title {n}", picture)
        shop.label("q", "p0", 1)
        shop.label("q", "p1", 0)
        shop.label("q", "p2", 1)
        shop.review("q", "p2", 0)
        shop.label("q", "p3", 1, split="val")
        shop.click("q", "p4")
    rows, _, _ = read(path, 3)
    assert pairs(rows) == [(0, 0, True), (0, 1, False), (0, 2, False)]


@pytest.mark.parametrize(
    ("stage", "remedy"), [(1, "--products"), (2, "--clicks"), (3, "--labels.*stop after --stage 2")]
)
def test_a_stage_without_rows_says_what_to_ingest(tmp_path: Path, stage: int, remedy: str) -> None:
    with Shop(tmp_path / "shop.duckdb"):
        pass
    with pytest.raises(UserError, match=remedy):
        read(tmp_path / "shop.duckdb", stage)


def test_a_catalogue_without_pictures_says_so(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.product("p0", "title")
    with pytest.raises(UserError, match=r"None of the 1 rows .* --images"):
        read(tmp_path / "shop.duckdb", 1)


def test_the_catalogue_stands_by_number_also_where_numbers_have_gaps(tmp_path: Path) -> None:
    path = pictured(tmp_path)
    with Shop(tmp_path / "gaps.duckdb") as shop:
        shop.product("a", "same")
        shop.product("b", "same")
        shop.product("c", "other", texts=("t", "i"))
        shop.query("q", "query")
        shop.db.execute("UPDATE product_no SET p = 5 WHERE product_id = 'c'")
        shop.db.execute("UPDATE query_no SET q = 2")
    _, _, catalogue = read(path, 1)
    assert catalogue.titles.to_pylist() == [f"title {n}" for n in range(5)]
    assert catalogue.images.to_pylist()[-1] is None
    with open_database(tmp_path / "gaps.duckdb") as connection:
        gaps = load_catalogue(connection)
    assert gaps.product_ids.to_pylist() == ["a", None, None, None, None, "c"]
    assert gaps.queries.to_pylist() == [None, None, "query"]
    assert gaps.contents.feature.tolist() == [-1, -1, -1, -1, -1, 0]
    assert len(set(gaps.contents.image.tolist())) == 6


@pytest.mark.parametrize(("rows", "batch"), [(1, 8), (8, 8), (9, 8), (50, 7)])
def test_an_epoch_sees_each_row_once_in_batches_of_equal_size(rows: int, batch: int) -> None:
    plan = BatchPlan(rows, batch, epochs=2, seed=3)
    order = list(plan.order())
    assert [number for number, _ in order] == list(range(plan.batches))
    sizes = [len(places) for _, places in order]
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    epochs = np.split(np.concatenate([places for _, places in order]), 2)
    for epoch in epochs:
        assert sorted(epoch) == list(range(rows))
    assert rows < 9 or not np.array_equal(*epochs)


def test_a_resumed_order_is_the_rest_of_the_whole() -> None:
    plan = BatchPlan(30, 8, epochs=3, seed=0)
    whole = list(plan.order())
    for first in (0, 1, 4, 11):
        for (number, places), (expected, theirs) in zip(
            plan.order(first), whole[first:], strict=True
        ):
            assert number == expected
            np.testing.assert_array_equal(places, theirs)


def test_processes_share_the_batches_of_one() -> None:
    one = BatchPlan(31, 8, 2, 5).order()
    many = [BatchPlan(31, 8, 2, 5, rank, 3).order() for rank in range(3)]
    for (_, whole), *parts in zip(one, *many, strict=True):
        np.testing.assert_array_equal(whole, np.concatenate([places for _, places in parts]))


def test_an_unreadable_picture_is_left_out_and_named_by_the_workers(tmp_path: Path) -> None:
    rows, _, catalogue = read(pictured(tmp_path), 1)
    rows = rows.at(np.array([0, 1, 2, 0, 2]))
    reader = BatchReader(rows, catalogue.images, shape, seed=None)
    (batch,) = loader(reader, BatchPlan(5, 8, 1, 0), 0, workers=1)
    assert batch.products.tolist() == [0, 1]
    assert sorted(batch.rows.product) == [0, 0, 1]
    np.testing.assert_array_equal(batch.products[batch.product_of_row], batch.rows.product)
    assert batch.images.shape == (2, 4)
    assert [p for p, _ in batch.unread] == [2]
    assert batch.unread[0][1]


def test_a_batch_of_unreadable_pictures_is_empty(tmp_path: Path) -> None:
    rows, _, catalogue = read(pictured(tmp_path), 1)
    batch = BatchReader(rows, catalogue.images, shape, seed=None)[0, np.array([2])]
    assert len(batch.rows) == len(batch.products) == len(batch.images) == 0


def test_augmentation_is_seeded_by_run_batch_and_product(tmp_path: Path) -> None:
    rows, _, catalogue = read(pictured(tmp_path), 1)
    places = np.array([0, 1])

    def seeds(seed: int | None, number: int) -> list[float]:
        reader = BatchReader(rows, catalogue.images, shape, seed)
        return reader[number, places].images[:, 3].tolist()

    assert seeds(None, 0) == [0, 0]
    assert seeds(7, 0) == seeds(7, 0)
    assert len({*seeds(7, 0), *seeds(7, 1), *seeds(8, 0)}) == 6


def test_inputs_hold_texts_in_the_order_of_rows_and_products(tmp_path: Path) -> None:
    path = pictured(tmp_path)
    _, _, catalogue = read(path, 1)
    rows = Rows(
        np.array([1, 0, 1], np.int32), np.array([1, 0, 1], np.int32), np.array([True, False, True])
    )
    batch = BatchReader(rows, catalogue.images, shape, None)[4, np.arange(3)]

    def tokenize(texts: list[str]) -> dict[str, Tensor]:
        ids = torch.tensor([[int(text.split()[1])] for text in texts])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    made = inputs_of(batch, catalogue, tokenize, torch.device("cpu"))
    assert made.number == 4
    assert made.title_ids[made.product_of_row].flatten().tolist() == [1, 0, 1]
    assert made.query_ids is not None
    assert made.query_ids.flatten().tolist() == [1, 0, 1]
    assert made.positive is not None
    assert made.positive.tolist() == [True, False, True]
    alone = Rows(np.full(3, -1, np.int32), rows.product, rows.positive)
    batch = BatchReader(alone, catalogue.images, shape, None)[0, np.arange(3)]
    assert inputs_of(batch, catalogue, tokenize, torch.device("cpu")).queries is None


def test_grouped_batches_hold_a_querys_rows_together_in_a_new_order_each_epoch() -> None:
    queries = np.random.default_rng(0).integers(0, 12, 96).astype(np.int32)
    plan = BatchPlan(96, 16, epochs=2, seed=3, groups=queries)
    batches = [places for _, places in plan.order()]
    assert [len(places) for places in batches] == [16] * 12
    epochs = np.concatenate(batches[:6]), np.concatenate(batches[6:])
    for order in epochs:
        assert sorted(order) == list(range(96))
        assert (np.diff(queries[order]) != 0).sum() == 11  # each query's rows are one run
    assert list(epochs[0]) != list(epochs[1])
    assert [n for n, _ in plan.order(first=7)] == list(range(7, 12))
    for (_, again), before in zip(plan.order(first=7), batches[7:], strict=True):
        assert list(again) == list(before)
