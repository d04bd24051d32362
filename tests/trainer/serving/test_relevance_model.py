"""The exported model: a folder of its own, the numbers of the model that was measured."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from transformers import BertConfig, BertModel, CLIPVisionConfig, CLIPVisionModel
from typer.testing import CliRunner

from genfilt.common.errors import UserError
from tests.trainer.hostile_pictures import png_header, save_turned
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.cli.app import app
from trainer.config import ModelConfig, preset
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import load_benchmark
from trainer.evaluation.encode import encode
from trainer.model.encoder import load_tokenizer
from trainer.model.query_life import QueryLife
from trainer.serving import vectors
from trainer.serving.relevance_model import RelevanceModel, load
from trainer.serving.vectors import Product, encode_catalogue, read_products, write_vectors
from trainer.training.checkpoint import save_stage

TITLES = ["ring model 0", "a bar", "", "cross"]


def shaken(config: ModelConfig) -> QueryLife:
    """A model whose titles read their pictures, as a trained one's do."""
    torch.manual_seed(0)
    model = QueryLife.build(config)
    for cross in model.encoder.cross:
        torch.nn.init.normal_(cross.output.weight, std=0.2)
    return model


@pytest.fixture(scope="module")
def model() -> RelevanceModel:
    return RelevanceModel(shaken(preset("tiny", 2).model))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def pictures(shop: Path) -> list[Path]:
    return sorted(shop.parent.glob("*.jpg"))[: len(TITLES)]


def test_what_is_saved_is_what_is_read(
    model: RelevanceModel, pictures: list[Path], tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "model")
    again = RelevanceModel.from_pretrained(tmp_path / "model")
    queries = ["red ring", "blue"]
    scores = again.score(queries, TITLES, pictures)
    assert np.array_equal(scores, model.score(queries, TITLES, pictures))
    assert scores.shape == (2, 4)
    vectors = again.encode_product(TITLES, pictures)
    assert np.allclose(scores, again.encode_query(queries) @ vectors.T, atol=1e-6)
    for made in (vectors, again.encode_query(queries)):
        assert made.dtype == np.float32
        assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)
    assert len(np.unique(vectors.round(4), axis=0)) == 4


def test_vectors_are_those_that_evaluate_measures(
    model: RelevanceModel, shop: Path, tmp_path: Path
) -> None:
    with open_database(shop) as connection:
        catalogue = load_catalogue(connection)
        benchmark = load_benchmark(connection, tmp_path, "val")
    measured = encode(model.model, catalogue, benchmark)
    p = measured.fused.numbers
    titles, images = (source.take(p).to_pylist() for source in (catalogue.titles, catalogue.images))
    assert np.allclose(model.encode_product(titles, images), measured.fused.values, atol=1e-6)
    queries = catalogue.texts(catalogue.queries, measured.query.numbers)
    assert np.allclose(model.encode_query(queries), measured.query.values, atol=1e-6)


def test_batches_do_not_change_the_vectors(model: RelevanceModel, pictures: list[Path]) -> None:
    whole = model.encode_product(TITLES, pictures)
    assert np.allclose(model.encode_product(TITLES, pictures, batch_size=1), whole, atol=1e-5)
    assert model.encode_product([], []).shape == model.encode_query([]).shape == (0, model.width)


def test_a_folder_needs_no_other(tmp_path: Path, pictures: list[Path]) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    sizes["intermediate_size"] = 32
    CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(
        tmp_path / "clip"
    )
    processor = {"size": {"height": 32, "width": 32}, "image_mean": [0.1, 0.2, 0.3]}
    (tmp_path / "clip" / "preprocessor_config.json").write_text(
        json.dumps({**processor, "image_std": [0.5, 0.6, 0.7]})
    )
    BertModel(BertConfig(**sizes)).save_pretrained(tmp_path / "bert")
    load_tokenizer(ModelConfig()).save_pretrained(tmp_path / "bert")
    config = ModelConfig(
        bert=str(tmp_path / "bert"), bert_layers=2, vision=str(tmp_path / "clip"), embed_dim=8
    )
    model = RelevanceModel(shaken(config))
    before = model.encode_product(TITLES, pictures)
    model.save_pretrained(tmp_path / "first")
    shutil.rmtree(tmp_path / "bert")
    shutil.rmtree(tmp_path / "clip")
    RelevanceModel.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    again = RelevanceModel.from_pretrained(tmp_path / "second")
    assert np.array_equal(again.encode_product(TITLES, pictures), before)


def test_load_takes_an_exported_folder_or_a_run(model: RelevanceModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    save_stage(tmp_path / "run" / "stage2", model.model, preset("tiny", 2))
    expected = model.encode_query(["ring"])
    for folder in ("model", "run"):
        assert np.array_equal(load(tmp_path / folder).encode_query(["ring"]), expected)
    with pytest.raises(UserError, match="no trained stage"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("config.json", "has no model that this trainer exported"),
        ("model.safetensors", "cannot be read"),
        ("tokenizer.json", "lacks the tokenizer's files"),
    ],
)
def test_a_folder_that_is_not_whole_is_one_sentence(
    model: RelevanceModel, tmp_path: Path, broken: str, sentence: str
) -> None:
    model.save_pretrained(tmp_path)
    (tmp_path / broken).unlink()
    with pytest.raises(UserError, match=sentence):
        RelevanceModel.from_pretrained(tmp_path)


def test_another_kind_or_format_of_model_is_one_sentence(
    model: RelevanceModel, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change in ({"format": 2}, {"model_type": "bert"}):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(UserError, match="it is a .* of format"):
            RelevanceModel.from_pretrained(tmp_path)


def test_pictures_come_as_paths_images_or_none(
    model: RelevanceModel, pictures: list[Path], tmp_path: Path
) -> None:
    with Image.open(pictures[0]) as opened:
        both = model.encode_product(["ring", "ring"], [pictures[0], opened])
    assert np.array_equal(both[0], both[1])
    white = model.encode_product(["ring", "ring"], [None, Image.new("RGB", (40, 40), "white")])
    assert np.allclose(white[0], white[1], atol=1e-6)
    assert not np.allclose(both[0], white[0], atol=1e-3)
    (tmp_path / "torn.jpg").write_bytes(pictures[0].read_bytes()[:300])
    for path in (tmp_path / "torn.jpg", str(tmp_path / "missing.jpg")):
        with pytest.raises(UserError, match=f"The picture {path} cannot be read"):
            model.encode_product(["ring"], [path])
    with pytest.raises(UserError, match="2 titles and 1 images"):
        model.encode_product(["ring", "bar"], [None])


@pytest.fixture
def listings(tmp_path: Path) -> Path:
    """Four contents in five listings; one picture is torn, one missing."""
    red = draw(tmp_path / "red.jpg", "red", "ring")
    blue = draw(tmp_path / "blue.jpg", "blue", "bar")
    blue.write_bytes(blue.read_bytes()[:300])
    with Shop(tmp_path / "listings.duckdb") as shop:
        shop.product("a", "red ring", red)
        shop.product("b", "blue bar", blue)
        shop.product("c", "red ring", red, split="test")
        shop.product("d", "cross")
        shop.product("e", "green ring", red)
    return tmp_path / "listings.duckdb"


def test_a_catalogues_vectors_as_parquet(
    model: RelevanceModel, listings: Path, tmp_path: Path
) -> None:
    unread = write_vectors(model, listings, tmp_path / "sub" / "vectors.parquet")
    assert unread == ["b"]
    table = pq.read_table(tmp_path / "sub" / "vectors.parquet")
    assert table.column_names == ["product_id", "vector"]
    found = dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
    assert list(found) == ["a", "c", "b", "d", "e"]
    red = tmp_path / "red.jpg"
    titles = ["red ring", "red ring", "blue bar", "cross", "green ring"]
    expected = model.encode_product(titles, [red, red, None, None, red])
    assert np.allclose(list(found.values()), expected, atol=1e-6)
    assert found["a"] == found["c"]
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["vectors.parquet"]


def test_products_are_drawn_as_they_are_computed(
    model: RelevanceModel, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "BATCH", 1)
    drawn: list[int] = []

    def counted(*given: object) -> Iterator[list[Product]]:
        for batch in read_products(*given):  # type: ignore[arg-type]
            drawn.append(len(batch))
            yield batch

    monkeypatch.setattr(vectors, "read_products", counted)
    stream = encode_catalogue(model, shop)
    first = next(stream)
    assert len(first.products) == 1
    assert len(drawn) < 8
    assert sum(len(batch.products) for batch in stream) == 35


def test_a_database_without_products_is_one_sentence(model: RelevanceModel, tmp_path: Path) -> None:
    with Shop(tmp_path / "empty.duckdb"):
        pass
    with pytest.raises(UserError, match="has no products; run genfilt ingest"):
        write_vectors(model, tmp_path / "empty.duckdb", tmp_path / "v.parquet")


def test_the_command_exports_and_says_what_it_could_not_read(
    model: RelevanceModel, listings: Path, tmp_path: Path
) -> None:
    save_stage(tmp_path / "run" / "stage1", model.model, preset("tiny", 1))
    there = ["--out", str(tmp_path / "run"), "--to", str(tmp_path / "model"), "--format", "json"]
    done = CliRunner().invoke(app, ["export", *there])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["model"] == str(tmp_path / "model")
    parquet = tmp_path / "v.parquet"
    more = ["--db", str(listings), "--products", str(parquet)]
    done = CliRunner().invoke(app, ["export", *there, *more])
    assert done.exit_code == 3
    assert json.loads(done.stdout)["unreadable pictures"] == 1
    assert "b" in done.stderr
    assert pq.read_metadata(parquet).num_rows == 5
    assert RelevanceModel.from_pretrained(tmp_path / "model").width == model.width


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_exported_files_have_the_permissions_of_the_umask(
    model: RelevanceModel, tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        model.save_pretrained(tmp_path / "model")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= modes.keys()
    assert set(modes.values()) == {0o666 & ~umask}


def test_an_export_keeps_other_files_of_the_folder(model: RelevanceModel, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    model.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.glob("*.part"))


def test_a_turned_photo_has_the_vector_of_the_upright_one(
    model: RelevanceModel, pictures: list[Path], tmp_path: Path
) -> None:
    turned = save_turned(pictures[0], tmp_path / "turned.jpg")
    found = model.encode_product(["ring"] * 3, [pictures[0], turned, Image.open(turned)])
    assert np.allclose(found[0], found[1], atol=2e-2)  # JPEG loses a little anew
    assert np.array_equal(found[1], found[2])
    with Image.open(turned) as lying:
        lying.getexif().clear()
        flat = model.encode_product(["ring"], [Image.fromarray(np.asarray(lying))])
    assert not np.allclose(flat[0], found[0], atol=2e-2)


def test_a_picture_of_a_billion_pixels_is_one_sentence(
    model: RelevanceModel, tmp_path: Path
) -> None:
    for name, side in (("huge", 100_000), ("large", 10_000)):
        path = tmp_path / f"{name}.png"
        path.write_bytes(png_header(side, side))
        with pytest.raises(UserError, match=f"{name}.png cannot be read .*pixels"):
            model.encode_product(["ring"], [path])
