"""Each stage's losses against the same sums taken one row and one pair at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.trainer.shop import Shop, draw, toy_shop
from tests.trainer.small_batches import inputs, objective_of
from trainer.batches.inputs import Inputs
from trainer.config import Ablation
from trainer.losses.batch_sides import BatchSide, HardNegatives, OwnRows
from trainer.losses.contrastive import (
    contrastive,
    cross_query_pairs,
    image_text_contrastive,
    mean_over_counted,
)
from trainer.losses.matching import draw_negatives, row_uniforms
from trainer.model.encoder import Memory
from trainer.training.objective import Objective, parts_of

PLACES = np.array([0, 3, 5, 6, 9, 14, 20, 23, 3])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("stages"))


def test_parts() -> None:
    everything = ("itc", "itm", "qic", "qtc", "qmc", "qmm")
    assert parts_of(1) == ("itc", "itm")
    assert parts_of(2) == parts_of(3) == everything
    assert parts_of(2, ["qma"]) == ("itc", "itm", "qmm")
    assert parts_of(3, ["qmf"]) == ("itc", "qic", "qtc", "qmc")
    assert parts_of(1, ["qmf", "qma"]) == ("itc",)
    assert parts_of(2, ["genfilt"]) == everything
    assert parts_of(3, cross_query=True) == ("itc", "itm", "qic", "qtc", "qmc", "qmx", "qmm")
    assert parts_of(2, matching=False) == parts_of(2, ["qmf"])
    assert parts_of(2, ["qma"], cross_query=True) == ("itc", "itm", "qmm")
    assert parts_of(1, cross_query=True) == parts_of(1)


class OneByOne:
    """The batch row by row, through the model's own methods."""

    def __init__(self, objective: Objective, made: Inputs) -> None:
        self.model, self.made = objective.model, made
        self.rows = range(len(made.products))
        self.tau = self.model.temperature
        self.q = torch.cat([self.model.encode_queries(*self.query(i)).embedding for i in self.rows])
        self.t = torch.cat([self.model.encode_titles(*self.title(i)).embedding for i in self.rows])
        self.i = torch.cat([self.model.encode_images(self.image(i)).embedding for i in self.rows])
        self.m = torch.cat([self.fused(i).embedding for i in self.rows])

    def query(self, i: int) -> tuple[Tensor, Tensor]:
        assert self.made.query_ids is not None
        assert self.made.query_mask is not None
        return self.made.query_ids[[i]], self.made.query_mask[[i]]

    def title(self, i: int) -> tuple[Tensor, Tensor]:
        u = self.made.product_of_row[[i]]
        return self.made.title_ids[u], self.made.title_mask[u]

    def image(self, i: int) -> Tensor:
        return self.made.images[self.made.product_of_row[[i]]]

    def fused(self, i: int):
        return self.model.fuse(*self.title(i), self.model.encode_images(self.image(i)).states)

    def itm(self, title: int, image: int, target: int) -> Tensor:
        states = self.model.encode_images(self.image(image)).states
        logits = self.model.match_titles(*self.title(title), states)
        return functional.cross_entropy(logits, torch.tensor([target]))

    def qmm(self, query: int, product: int, target: int) -> Tensor:
        fused = self.fused(product)
        memory = Memory(fused.states, fused.mask)
        logits = self.model.match_queries(*self.query(query), memory)
        return functional.cross_entropy(logits, torch.tensor([target]))


def hard(name: str, similar: Tensor, positive: Tensor, tau: Tensor) -> list[tuple[int, int]]:
    """(row, column) of each row's drawn negative."""
    uniform = row_uniforms(1, 5, name, len(similar))
    drawn, found = draw_negatives(similar, positive, tau, uniform)
    return [(i, int(j)) for i, (j, f) in enumerate(zip(drawn, found, strict=True)) if f]


def test_every_loss_equals_the_sum_taken_one_by_one(shop: Path) -> None:
    objective, source = objective_of(shop, 3)
    made = inputs(objective, source, PLACES)
    assert made.queries is not None
    assert made.positive is not None
    losses, logged = objective(made)
    one = OneByOne(objective, made)
    masks = objective.masks.queries(made.queries, made.products)
    of_title, of_image, of_m = (
        torch.from_numpy(mask.copy()) for mask in (masks.title, masks.image, masks.fused)
    )
    match = torch.from_numpy(objective.masks.image_title(made.products).copy())
    expected = {
        "itc": image_text_contrastive(one.i, one.t, match, one.tau),
        "qic": contrastive(one.q, one.i, of_image, one.tau),
        "qtc": contrastive(one.q, one.t, of_title, one.tau),
        "qmc": contrastive(one.q, one.m, of_m, one.tau),
        "qmx": mean_over_counted(cross_query_pairs(one.q, one.m, of_m, one.tau), of_m),
    }
    pairs = [one.itm(i, i, 1) for i in one.rows]
    pairs += [one.itm(t, i, 0) for t, i in hard("itm read", one.t @ one.i.T, match.T, one.tau)]
    pairs += [one.itm(t, i, 0) for i, t in hard("itm text", one.i @ one.t.T, match, one.tau)]
    expected["itm"] = torch.stack(pairs).mean()
    pairs = [one.qmm(i, i, int(made.positive[i])) for i in one.rows]
    pairs += [one.qmm(q, p, 0) for q, p in hard("qmm read", one.q @ one.m.T, of_m, one.tau)]
    pairs += [one.qmm(q, p, 0) for p, q in hard("qmm text", one.m @ one.q.T, of_m.T, one.tau)]
    expected["qmm"] = torch.stack(pairs).mean()
    assert losses.keys() == expected.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5, msg=name)
    assert not logged["faulty"].any()
    assert logged["positives"].tolist() == of_m.sum(1).tolist()


def test_a_label_against_is_a_column_and_a_negative_but_its_title_and_picture_match(
    shop: Path,
) -> None:
    objective, source = objective_of(shop, 3)
    made = inputs(objective, source, PLACES)
    assert made.queries is not None
    assert made.positive is not None
    against = np.flatnonzero(~made.positive.numpy())
    assert len(against)
    masks = objective.masks.queries(made.queries, made.products)
    assert not masks.fused[against, against].any()
    assert objective.masks.image_title(made.products).diagonal().all()


def test_no_drawn_pair_is_positive(shop: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for number in range(50):
        rows = number % 9 + 1
        embedding = functional.normalize(torch.randn(rows, 4, generator=generator), dim=1)
        side = BatchSide.of(
            torch.zeros(rows, 1), torch.ones(rows, 1), embedding, torch.arange(rows)
        )
        positive = torch.rand(rows, rows, generator=generator) < 0.6
        own = OwnRows(0, rows, 3, number)
        drawn = HardNegatives.draw("x", own, (side, side), positive, torch.tensor(0.07))
        assert not positive[drawn.text, drawn.read][drawn.found].any()
        free = (~positive).any(1).sum() + (~positive).any(0).sum()
        assert drawn.found.sum() == free


@pytest.mark.parametrize("without", [("qma",), ("qmf",), ("qma", "qmf")])
def test_ablations_leave_out_what_they_name(shop: Path, without: tuple[Ablation, ...]) -> None:
    objective, source = objective_of(shop, 2, without)
    losses, _ = objective(inputs(objective, source, np.arange(6)))
    assert tuple(losses) == parts_of(2, without, cross_query=True)


def test_without_genfilt_the_masks_know_verdicts_alone(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        q = shop.query("q", "red bar")
        for n in range(2):
            picture = draw(tmp_path / f"{n}.jpg", "red", "bar", seed=n)
            shop.product(f"p{n}", f"bar {n}", picture, texts=(f"bar {n}", "a red bar"))
        shop.click("q", "p0")
        shop.correct(q, 1)
    numbers = np.array([0, 1], np.int32)
    found = []
    for without in ((), ("genfilt",)):
        objective, source = objective_of(tmp_path / "shop.duckdb", 2, without)
        found.append(objective.masks.queries(source.rows.query, numbers).fused.tolist())
    assert found == [[[True, True]], [[True, False]]]


def test_stage_1_needs_no_query(shop: Path) -> None:
    objective, source = objective_of(shop, 1)
    losses, logged = objective(inputs(objective, source, np.arange(8)))
    assert tuple(losses) == ("itc", "itm")
    sum(losses.values()).backward()  # type: ignore[union-attr]
    for name, parameter in objective.model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    assert (logged["positives"] >= 1).all()


def test_a_row_that_is_not_finite_is_named(shop: Path) -> None:
    objective, source = objective_of(shop, 2)
    made = inputs(objective, source, np.arange(6))
    made.images[made.product_of_row[4]] = torch.nan
    _, logged = objective(made)
    assert logged["faulty"].tolist() == [i == 4 for i in range(6)]
