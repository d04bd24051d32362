"""The paper's figures in reports: differences as its text states them."""

from __future__ import annotations

import pytest

from trainer.ablation.models import FULL, MODELS
from trainer.ablation.paper_figures import paper_difference, paper_figure


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        ("without-qma", (0.124, 0.066, 0.107)),
        ("without-qmf", (0.009, 0.008, 0.014)),
        ("without-genfilt", (0.049, 0.036, 0.042)),
    ],
)
def test_what_each_part_brings_follows_from_table_2(
    without: str, expected: tuple[float, ...]
) -> None:
    found = tuple(
        paper_difference((FULL, measure), (without, measure), "auc")
        for measure in ("Q->T", "Q->I", "Q->M")
    )
    assert found == expected


def test_a_figure_that_the_paper_lacks_is_none() -> None:
    assert paper_figure("bert", "Q->I", "auc") is None
    assert paper_figure("bm25", "Q->T", "auc") is None
    assert paper_difference((FULL, "Q->M"), ("clip", "Q->M"), "recall@10") is None
    named = {model.key for model in MODELS if paper_figure(model.key, "Q->T", "recall@20")}
    assert named == {one.key for one in MODELS} - {"bm25", "sentence-embeddings"}
