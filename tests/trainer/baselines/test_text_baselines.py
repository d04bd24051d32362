"""BM25, sentence embeddings and the cross encoder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from tests.trainer.baselines.small_checkpoints import material_of
from tests.trainer.shop import Shop, draw
from trainer.baselines.baseline import (
    Material,
    with_negatives,
)
from trainer.baselines.cross_encoder import CrossEncoder
from trainer.baselines.text_baselines import Bm25, SentenceEmbeddings
from trainer.config import MINILM, ModelConfig
from trainer.evaluation.measures import measure
from trainer.evaluation.scorers import pairs_of, tabulated


def test_a_look_up_gives_what_was_computed() -> None:
    rng = np.random.default_rng(0)
    both = np.unique(rng.integers(0, 30, (2, 200)), axis=1).astype(np.int32)
    scores = rng.normal(size=both.shape[1])
    look = rng.permutation(both.shape[1])
    found = tabulated(both[0], both[1], scores)(both[0][look], both[1][look])
    np.testing.assert_array_equal(found, scores[look])


def test_pairs_are_those_of_labels_and_lists(material: Material) -> None:
    benchmark = material.benchmark
    expected = set(zip(benchmark.query.tolist(), benchmark.product.tolist(), strict=True))
    for q, row in zip(benchmark.candidate_query.tolist(), benchmark.candidates, strict=True):
        expected |= {(q, p) for p in row.tolist() if p >= 0}
    queries, products = pairs_of(benchmark)
    assert list(zip(queries.tolist(), products.tolist(), strict=True)) == sorted(expected)


def test_a_drawn_negative_is_no_known_positive(material: Material) -> None:
    rows = material.train
    drawn = with_negatives(rows, 3)
    known = {
        (q, p)
        for q, p, y in zip(
            rows.query.tolist(), rows.product.tolist(), rows.positive.tolist(), strict=True
        )
        if y
    }
    more = drawn.at(np.arange(len(rows), len(drawn)))
    assert len(more) > len(rows) / 4
    assert not more.positive.any()
    assert not known & set(zip(more.query.tolist(), more.product.tolist(), strict=True))
    assert set(more.product.tolist()) <= set(rows.product.tolist())


def test_rows_to_train_on_are_those_of_the_train_split(material: Material) -> None:
    ids = material.catalogue.product_ids.to_pylist()
    assert {ids[p][-1] for p in material.train.product.tolist()} == {"0", "1"}
    assert material.train.positive.sum() == 24  # a click and a label 1 for each query


def test_bm25_is_the_formula(material: Material) -> None:
    catalogue = material.catalogue
    titles = [title.split() for title in catalogue.titles.to_pylist()]
    mean = sum(map(len, titles)) / len(titles)
    queries, products = material.pairs
    expected = []
    for q, p in zip(queries.tolist(), products.tolist(), strict=True):
        total = 0.0
        for word in catalogue.queries[q].as_py().split():
            df = sum(word in title for title in titles)
            idf = math.log(1 + (len(titles) - df + 0.5) / (df + 0.5))
            tf = titles[p].count(word)
            norm = 1.5 * (1 - 0.75 + 0.75 * len(titles[p]) / mean)
            total += idf * tf / (tf + norm) if df else 0.0
        expected.append(total)
    # "2" is no word to the library, whose words have two letters at least.
    scores = Bm25().scores(material).scorers["Q->T"](queries, products)
    order = np.corrcoef(scores, expected)[0, 1]
    assert order > 0.999


def test_bm25_of_unknown_words_is_zero(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.query("q", "zebra")
        for name, split in (("a", "val"), ("b", "train")):
            picture = draw(tmp_path / f"{name}.jpg", "red", "ring")
            shop.product(name, f"ring {name}{name}", picture, split=split)
        shop.click("q", "b")
        shop.label("q", "a", 1, "val")
    material = material_of(tmp_path / "shop.duckdb")
    assert (Bm25().scores(material).scorers["Q->T"](*material.pairs) == 0).all()


def test_sentence_embeddings_are_the_librarys(material: Material) -> None:
    from sentence_transformers import SentenceTransformer

    from trainer.model.encoder import bert_folder

    model = SentenceTransformer(bert_folder(MINILM))
    queries, products = material.pairs
    q = model.encode(material.catalogue.texts(material.catalogue.queries, queries[:9]))
    t = model.encode(material.catalogue.texts(material.catalogue.titles, products[:9]))
    found = SentenceEmbeddings().scores(material).scorers["Q->T"](queries[:9], products[:9])
    np.testing.assert_allclose(found, (q * t).sum(1), atol=1e-5)


def test_the_cross_encoder_learns_what_titles_state(explicit: Material) -> None:
    model = ModelConfig()
    found = measure(CrossEncoder(model).scores(explicit).scorers["Q->T"], explicit.benchmark)
    assert (found.auc.value or 0) > 0.9
