"""A catalogue's vectors from the workers of a Ray cluster: those of one process, in its order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from genfilt.common.errors import UserError
from genfilt.engines.protocol import Engine
from tests.trainer.shop import toy_shop
from trainer.config import preset
from trainer.model.query_life import QueryLife
from trainer.serving import vectors
from trainer.serving.relevance_model import RelevanceModel
from trainer.serving.spread_vectors import ModelOpener, spread_catalogue
from trainer.serving.vectors import encode_catalogue, write_encoded


@pytest.fixture
def model(tmp_path: Path) -> RelevanceModel:
    made = RelevanceModel(QueryLife.build(preset("tiny", 2).model), "cpu")
    made.save_pretrained(tmp_path / "model")
    return made


def test_vectors_of_workers_are_those_of_one_process(
    engine: Engine, model: RelevanceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "BATCH", 8)
    db = toy_shop(tmp_path)
    here = list(encode_catalogue(model, db))
    there = list(spread_catalogue(engine, tmp_path / "model", db))
    assert len(there) == len(here) > 2
    for ours, theirs in zip(here, there, strict=True):
        assert [p.p for p in theirs.products] == [p.p for p in ours.products]
        assert theirs.unread == ours.unread
        assert np.allclose(theirs.vectors, ours.vectors, atol=1e-5)
    write_encoded(iter(there), model.width, tmp_path / "vectors.parquet")
    ids = pq.read_table(tmp_path / "vectors.parquet")["product_id"].to_pylist()
    assert ids == [name for each in here for p in each.products for name in p.product_ids]


def test_a_worker_with_another_model_is_refused(model: RelevanceModel, tmp_path: Path) -> None:
    for opener in (
        ModelOpener(tmp_path / "model", "another digest"),
        ModelOpener(tmp_path / "missing", "another digest"),
    ):
        with pytest.raises(UserError, match="does not see the driver's model at"), opener():
            pass


def test_a_model_that_was_not_exported_is_one_sentence(engine: Engine, tmp_path: Path) -> None:
    stream = spread_catalogue(engine, tmp_path / "model", toy_shop(tmp_path))
    with pytest.raises(UserError, match=r"has no model; run trainer export --to"):
        next(stream)
