"""Query-LIFE: shapes, units, the paths of gradients, the temperature, the parameter counts."""

import pickle

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import BertConfig, BertModel, Blip2VisionConfig, Blip2VisionModel

from trainer.config import ModelConfig, preset
from trainer.model.encoder import Memory
from trainer.model.parameters import parameter_counts, parameter_report
from trainer.model.query_life import QueryLife, raw_temperature
from trainer.model.vision import FrozenTower, ImageTransform

TITLES = ["hoodie", "a longer title of a pair of shorts"]


@pytest.fixture
def model() -> QueryLife:
    torch.manual_seed(0)
    model = QueryLife.build(ModelConfig()).eval()
    for cross in model.encoder.cross:
        torch.nn.init.normal_(cross.output.weight, std=0.2)
    return model


def texts(model: QueryLife) -> tuple[Tensor, Tensor]:
    batch = model.tokenize(TITLES)
    return batch["input_ids"], batch["attention_mask"]


def pixels(model: QueryLife) -> Tensor:
    size = model.image_transform.size
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_every_side_gives_unit_vectors_and_states(pooling: str) -> None:
    model = QueryLife.build(ModelConfig(pooling=pooling)).eval()  # type: ignore[arg-type]
    ids, mask = texts(model)
    image = model.encode_images(pixels(model))
    text, fused = model.encode_titles(ids, mask), model.fuse(ids, mask, image.states)
    length, width = ids.shape[1], model.encoder.width
    assert image.states.shape == (2, model.vision.patches + 1, width)
    for side in (text, fused):
        assert side.states.shape == (2, length, width)
        assert side.mask is mask
    for side in (text, image, fused):
        assert side.embedding.shape == (2, model.config.embed_dim)
        torch.testing.assert_close(side.embedding.norm(dim=1), torch.ones(2))
    assert torch.equal(model.encode_queries(ids, mask).embedding, text.embedding)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_text_does_not_depend_on_its_neighbours(pooling: str) -> None:
    model = QueryLife.build(ModelConfig(pooling=pooling)).eval()  # type: ignore[arg-type]
    alone = model.tokenize(TITLES[:1])
    together = model.encode_titles(*texts(model)).embedding[:1]
    single = model.encode_titles(alone["input_ids"], alone["attention_mask"]).embedding
    torch.testing.assert_close(together, single, atol=1e-5, rtol=1e-5)


def test_matching_gives_two_logits(model: QueryLife) -> None:
    ids, mask = texts(model)
    image = model.encode_images(pixels(model))
    fused = model.fuse(ids, mask, image.states)
    assert model.match_titles(ids, mask, image.states).shape == (2, 2)
    assert model.match_queries(ids, mask, Memory(fused.states, fused.mask)).shape == (2, 2)


def test_pairs_that_share_a_product_share_its_memory(model: QueryLife) -> None:
    ids, mask = texts(model)
    states = model.encode_images(pixels(model)).states
    for module in model.encoder.cross:
        torch.nn.init.normal_(module.output.weight, std=0.1)
    of = torch.tensor([1, 0])
    shared = model.match_titles(ids, mask, states, of)
    torch.testing.assert_close(shared, model.match_titles(ids, mask, states[of]))


def test_gradient_of_query_matching_reaches_m(model: QueryLife) -> None:
    ids, mask = texts(model)
    images = pixels(model).requires_grad_()
    fused = model.fuse(ids, mask, model.encode_images(images).states)
    fused.states.retain_grad()
    query = model.tokenize(["red hoodie", "blue shorts"])
    logits = model.match_queries(
        query["input_ids"], query["attention_mask"], Memory(fused.states, fused.mask)
    )
    logits[:, 1].sum().backward()
    assert fused.states.grad is not None
    assert images.grad is not None
    real = mask.bool()
    assert (fused.states.grad[real].abs().sum(-1) > 0).all()
    assert (fused.states.grad[~real] == 0).all()
    assert images.grad.abs().sum() > 0
    assert model.query_head.weight.grad is not None


def test_features_stand_in_for_pixels(model: QueryLife) -> None:
    images = pixels(model)
    features = model.vision_features(images)
    assert features.shape == (2, model.vision.patches, model.vision.width)
    kept = model.encode_images(features)
    torch.testing.assert_close(kept.embedding, model.encode_images(images).embedding)


def test_long_texts_are_cut_and_empty_ones_encoded(model: QueryLife) -> None:
    batch = model.tokenize(["hoodie " * 100, ""])
    assert batch["input_ids"].shape == (2, model.config.max_text_length)
    assert batch["attention_mask"].sum(1).tolist() == [model.config.max_text_length, 2]
    embedding = model.encode_queries(batch["input_ids"], batch["attention_mask"]).embedding
    assert embedding.isfinite().all()


def test_temperature_starts_at_the_papers_and_stays_within_bounds(model: QueryLife) -> None:
    assert model.temperature.item() == pytest.approx(0.07)
    for raw, bound in ((-60.0, 0.01), (60.0, 0.5)):
        with torch.no_grad():
            model.raw_temperature.fill_(raw)
        assert model.temperature.item() == pytest.approx(bound)
    assert raw_temperature(0.0707106781) == pytest.approx(0, abs=1e-6)


def test_temperature_learns(model: QueryLife) -> None:
    model.temperature.backward()
    assert model.raw_temperature.grad is not None
    assert model.raw_temperature.grad > 0


def test_transform_travels_to_worker_processes(model: QueryLife) -> None:
    picture = Image.new("RGB", (30, 50), "red")
    transform = pickle.loads(pickle.dumps(model.image_transform))
    assert torch.equal(transform(picture, 5), model.image_transform(picture, 5))


def test_paper_shape_on_the_meta_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.fx.experimental._config.meta_nonzero_assume_all_nonzero", True)
    with torch.device("meta"):
        model = QueryLife(
            preset("paper", 1).model,
            BertModel(BertConfig(), add_pooling_layer=False),
            FrozenTower(Blip2VisionModel(Blip2VisionConfig()), ImageTransform(224)),
            None,
        )
        ids = torch.empty(2, 40, dtype=torch.long)
        image = model.encode_images(torch.empty(2, 3, 224, 224))
        fused = model.fuse(ids, torch.ones(2, 40), image.states)
    counts = parameter_counts(model)
    assert image.states.shape == (2, 257, 768)
    assert fused.embedding.shape == (2, 256)
    assert counts["BERT"] == 108_891_648
    assert counts["cross-attention"] == 12 * 4 * (768 * 768 + 768)
    assert round(counts["vision tower, frozen"] / 1e6) == 986
    assert counts["trained"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 138e6 < counts["trained"] < 140e6
    assert "paper says 188M" in parameter_report(model)


def test_small_tower_counts_as_trained(model: QueryLife) -> None:
    counts = parameter_counts(model)
    assert counts["trained"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert counts["vision tower, trained"] > 0
    assert "188M" not in parameter_report(model)
