"""Baselines: against the library's own answer or a naive loop, and that those that train learn."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genfilt.common.errors import UserError
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.baselines.baseline import (
    SCRATCH,
    Baseline,
    Material,
    train_rows,
    with_negatives,
)
from trainer.baselines.blip2 import Blip2
from trainer.baselines.clip import Clip
from trainer.baselines.cross_encoder import CrossEncoder
from trainer.baselines.text_baselines import Bm25, SentenceEmbeddings
from trainer.config import MINILM, ModelConfig
from trainer.database.catalogue import Rows, load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import load_benchmark
from trainer.evaluation.measures import measure
from trainer.evaluation.scorers import pairs_of, tabulated
from trainer.model.encoder import load_tokenizer

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}


def material_of(db: Path, seed: int = 0) -> Material:
    with open_database(db) as connection:
        catalogue = load_catalogue(connection)
        benchmark = load_benchmark(connection, db.parent / "candidates", "val")
        return Material(catalogue, benchmark, train_rows(connection, catalogue), seed)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material_of(toy_shop(tmp_path_factory.mktemp("baselines")))


@pytest.fixture(scope="module")
def explicit(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A shop whose titles and pictures each say all: what any baseline must be able to learn."""
    folder = tmp_path_factory.mktemp("explicit")
    colors = ("red", "green", "blue")
    with Shop(folder / "shop.duckdb") as shop:
        for color in colors:
            shop.query(color, color)
            for copy in range(12):
                split = "val" if copy > 7 else "train"
                picture = draw(folder / f"{color}{copy}.jpg", color, "ring", seed=copy)
                shop.product(f"{color}{copy}", f"{color} thing {copy}", picture, split=split)
        for color in colors:
            for other in colors:
                for copy in range(12):
                    split = "val" if copy > 7 else "train"
                    shop.label(color, f"{other}{copy}", int(color == other), split)
    return material_of(folder / "shop.duckdb")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    tokenizer = load_tokenizer(ModelConfig())
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    torch.manual_seed(0)
    text = {
        **SMALL,
        "num_hidden_layers": 2,
        "vocab_size": len(tokenizer),
        "bos_token_id": 101,
        "eos_token_id": 102,
        "pad_token_id": 0,
    }
    vision = {**SMALL, "num_hidden_layers": 2, "image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def blip2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Blip2Config, Blip2ForImageTextRetrieval, BlipImageProcessorPil

    folder = tmp_path_factory.mktemp("blip2")
    tokenizer = load_tokenizer(ModelConfig())
    tokenizer.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    torch.manual_seed(0)
    config = Blip2Config(
        vision_config={
            **SMALL,
            "num_hidden_layers": 2,
            "image_size": 32,
            "patch_size": 8,
            "initializer_range": 0.2,
        },
        qformer_config={
            **SMALL,
            "num_hidden_layers": 2,
            "encoder_hidden_size": 32,
            "vocab_size": len(tokenizer),
            "use_qformer_text_input": True,
            "initializer_range": 0.2,
        },
        num_query_tokens=4,
        image_text_hidden_size=16,
    )
    model = Blip2ForImageTextRetrieval(config)
    torch.nn.init.normal_(model.query_tokens)
    model.save_pretrained(folder)
    return folder


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
    scores = Bm25().scorers(material)["Q->T"](queries, products)
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
    assert (Bm25().scorers(material)["Q->T"](*material.pairs) == 0).all()


def test_sentence_embeddings_are_the_librarys(material: Material) -> None:
    from sentence_transformers import SentenceTransformer

    from trainer.model.encoder import bert_folder

    model = SentenceTransformer(bert_folder(MINILM))
    queries, products = material.pairs
    q = model.encode(material.catalogue.texts(material.catalogue.queries, queries[:9]))
    t = model.encode(material.catalogue.texts(material.catalogue.titles, products[:9]))
    found = SentenceEmbeddings().scorers(material)["Q->T"](queries[:9], products[:9])
    np.testing.assert_allclose(found, (q * t).sum(1), atol=1e-5)


def test_the_cross_encoder_learns_what_titles_state(explicit: Material) -> None:
    model = ModelConfig()
    found = measure(CrossEncoder(model, epochs=120).scorers(explicit)["Q->T"], explicit.benchmark)
    assert (found.auc.value or 0) > 0.9


def test_clip_by_folder_scores_as_the_library(material: Material, clip_folder: Path) -> None:
    from transformers import CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(clip_folder)
    processor = CLIPImageProcessorPil.from_pretrained(clip_folder)
    scorers = Clip(str(clip_folder)).scorers(material)
    assert set(scorers) == {"Q->T", "Q->I", "Q->T+Q->I"}
    q, p = (numbers[:6] for numbers in material.pairs)
    catalogue = material.catalogue
    tokens = load_tokenizer(ModelConfig())(
        catalogue.texts(catalogue.queries, q), padding=True, return_tensors="pt"
    )
    pictures = [Image.open(catalogue.images[int(n)].as_py()).convert("RGB") for n in p]
    pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        made = model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            pixel_values=pixels,
        )
    expected = (made.logits_per_text / model.logit_scale.exp()).diagonal()
    np.testing.assert_allclose(scorers["Q->I"](q, p), expected.detach().numpy(), atol=1e-5)


def test_blip2_by_folder_scores_as_the_library(material: Material, blip2_folder: Path) -> None:
    from transformers import Blip2ForImageTextRetrieval, BlipImageProcessorPil

    model = Blip2ForImageTextRetrieval.from_pretrained(blip2_folder)
    processor = BlipImageProcessorPil.from_pretrained(blip2_folder)
    scorers = Blip2(str(blip2_folder)).scorers(material)
    q, p = (numbers[:6] for numbers in material.pairs)
    catalogue = material.catalogue
    queries = catalogue.texts(catalogue.queries, q)
    titles = catalogue.texts(catalogue.titles, p)
    pictures = [Image.open(catalogue.images[int(n)].as_py()).convert("RGB") for n in p]
    pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
    both = [f"{query} {title}" for query, title in zip(queries, titles, strict=True)]
    for name, texts in {"Q->I": queries, "Q->M": both}.items():
        tokens = load_tokenizer(ModelConfig())(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            made = model(
                pixel_values=pixels,
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
            )
        expected = made.logits_per_image.diagonal().numpy()
        np.testing.assert_allclose(scorers[name](q, p), expected, atol=1e-5)
    assert np.ptp(scorers["Q->M"](q, p)) > 1e-3


def test_fine_tuning_teaches_blip2_the_labels(explicit: Material) -> None:
    scorers = Blip2(tuned=True, first_epochs=1, epochs=25).scorers(explicit)
    assert set(scorers) == {"Q->T", "Q->I", "Q->T+Q->I", "Q->M"}
    aucs = [measure(scorer, explicit.benchmark).auc.value or 0 for scorer in scorers.values()]
    assert min(aucs) > 0.9


def test_a_named_vision_tower_is_not_tuned(blip2_folder: Path) -> None:
    from trainer.baselines.blip2 import _named

    towers = _named(str(blip2_folder))
    assert not any(w.requires_grad for w in towers.model.vision_model.parameters())
    assert any(w.requires_grad for w in towers.model.qformer.parameters())


def test_who_began_from_scratch_says_so() -> None:
    scratch: list[Baseline] = [Clip(), Blip2(), Blip2(tuned=True), CrossEncoder(ModelConfig())]
    named: list[Baseline] = [
        Bm25(),
        SentenceEmbeddings(),
        Clip("x"),
        Blip2("x"),
        CrossEncoder(ModelConfig(bert=MINILM)),
    ]
    assert all(SCRATCH in baseline.name for baseline in scratch)
    assert not any(SCRATCH in baseline.name for baseline in named)
    assert len({baseline.name for baseline in scratch + named}) == 9


@pytest.mark.parametrize("baseline", [Clip, Blip2, SentenceEmbeddings])
def test_a_model_that_is_not_there_is_one_sentence(
    baseline: type[Clip | Blip2 | SentenceEmbeddings], material: Material, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="can be read from"):
        baseline(str(tmp_path / "none")).scorers(material)


def test_without_train_rows_it_says_what_is_missing(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.query("q", "ring")
        shop.product("a", "ring", draw(tmp_path / "a.jpg", "red", "ring"), split="val")
        shop.label("q", "a", 1, "val")
    with pytest.raises(UserError, match="no label of the train split"):
        material_of(tmp_path / "shop.duckdb")


def test_titles_of_one_text_are_read_once(material: Material) -> None:
    catalogue = material.catalogue
    read: list[tuple[str, str]] = []

    def score(queries: list[str], titles: list[str]):  # type: ignore[no-untyped-def]
        read.extend(zip(queries, titles, strict=True))
        yield np.array([float(len(q) * 100 + len(t)) for q, t in read])

    from trainer.baselines.baseline import by_text

    scorer = by_text(score, material)
    assert len(read) == len(set(read)) < len(material.pairs[0])
    queries, products = material.pairs
    texts = zip(
        catalogue.texts(catalogue.queries, queries),
        catalogue.texts(catalogue.titles, products),
        strict=True,
    )
    np.testing.assert_array_equal(
        scorer(queries, products), [len(q) * 100 + len(t) for q, t in texts]
    )


def test_an_empty_benchmark_gives_empty_scores(material: Material) -> None:
    none = np.empty(0, np.int32)
    nothing = Rows(none, none, np.empty(0, bool))
    empty = replace(
        material,
        benchmark=replace(
            material.benchmark,
            query=none,
            product=none,
            positive=np.empty(0, bool),
            candidate_query=none,
            candidates=np.empty((0, 101), np.int32),
        ),
        train=nothing,
    )
    assert len(Bm25().scorers(empty)["Q->T"](none, none)) == 0
