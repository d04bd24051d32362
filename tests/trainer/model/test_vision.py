"""Vision towers: any transformers model by folder, frozen and whole; the small one learns."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    Blip2Config,
    Blip2ForImageTextRetrieval,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    Blip2VisionModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
    ViTForImageClassification,
)

from genfilt.common.errors import UsageError, UserError
from trainer.config import ModelConfig
from trainer.model.vision import FrozenTower, ImageTransform, SmallTower, build_tower, load_frozen

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def store(model: PreTrainedModel, folder: Path, **options: object) -> Path:
    model.save_pretrained(folder, **options)
    size = {"height": 32, "width": 32}
    CLIPImageProcessor(size=size, crop_size=size, image_mean=[0.1, 0.2, 0.3]).save_pretrained(
        folder
    )
    return folder


def blip2(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**SIZES, initializer_range=0.02).to_dict(),
        qformer_config=Blip2QFormerConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            encoder_hidden_size=16,
            vocab_size=50,
        ).to_dict(),
    )
    return store(Blip2ForImageTextRetrieval(config), folder)


def clip(folder: Path) -> Path:
    torch.manual_seed(0)
    text = CLIPTextConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=CLIPVisionConfig(**SIZES).to_dict()
    )
    return store(CLIPModel(config), folder)


def classifier(folder: Path) -> Path:
    torch.manual_seed(0)
    return store(ViTForImageClassification(ViTConfig(**SIZES)), folder)


def siglip(folder: Path) -> Path:
    torch.manual_seed(0)
    return store(SiglipVisionModel(SiglipVisionConfig(**SIZES)), folder)


def resnet(folder: Path) -> Path:
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16], depths=[1, 1, 1], layer_type="basic"
    )
    return store(ResNetModel(config), folder)


@pytest.mark.parametrize(
    ("make", "shape", "has_cls"),
    [
        (blip2, (2, 17, 16), True),
        (clip, (2, 17, 16), True),
        (classifier, (2, 17, 16), True),
        (siglip, (2, 16, 16), False),
        (resnet, (2, 16, 12), False),
    ],
)
def test_any_transformers_tower_by_folder(
    make: object, shape: tuple[int, int, int], has_cls: bool, tmp_path: Path
) -> None:
    tower = load_frozen(str(make(tmp_path)))  # type: ignore[operator]
    features = tower(torch.randn(2, 3, 32, 32))
    assert features.shape == shape
    assert (tower.patches, tower.width, tower.has_cls) == (*shape[1:], has_cls)
    assert tower.transform.size == 32
    assert tower.transform.mean == pytest.approx((0.1, 0.2, 0.3))


def test_of_a_cut_tower_the_last_layer_is_read_of_others_the_last_but_one(tmp_path: Path) -> None:
    folder = blip2(tmp_path / "blip2")
    tower = Blip2ForImageTextRetrieval.from_pretrained(folder).eval().vision_model
    torch.nn.init.normal_(tower.post_layernorm.weight)
    tower.save_pretrained(tmp_path / "tower")
    CLIPImageProcessor.from_pretrained(folder).save_pretrained(tmp_path / "tower")
    pixels = torch.randn(2, 3, 32, 32)
    states = tower(pixels, output_hidden_states=True)
    read = load_frozen(str(tmp_path / "tower"))(pixels)
    torch.testing.assert_close(read, tower.post_layernorm(states.hidden_states[-1]))
    torch.testing.assert_close(read, states.last_hidden_state)  # what BLIP-2's Q-Former reads
    assert (read - states.hidden_states[-2]).abs().max() > 1e-3
    folder = clip(tmp_path / "clip")
    tower = CLIPModel.from_pretrained(folder).eval().vision_model
    states = tower(pixels, output_hidden_states=True)
    torch.testing.assert_close(load_frozen(str(folder))(pixels), states.hidden_states[-2])


def test_blip2_tower_is_the_checkpoints_not_a_random_one(tmp_path: Path) -> None:
    folder = blip2(tmp_path)
    whole = Blip2ForImageTextRetrieval.from_pretrained(folder).eval()
    pixels = torch.randn(2, 3, 32, 32)
    expected = whole.vision_model(pixels).last_hidden_state
    torch.testing.assert_close(load_frozen(str(folder))(pixels), expected)


def test_a_cut_tower_needs_its_last_norm(tmp_path: Path) -> None:
    model = Blip2VisionModel(Blip2VisionConfig(**SIZES))
    state = {k: v for k, v in model.state_dict().items() if "post_layernorm" not in k}
    store(model, tmp_path, state_dict=state)
    with pytest.raises(UserError, match=r"lacks 2 weights, post_layernorm"):
        load_frozen(str(tmp_path))


def test_frozen_tower_gives_no_gradient_and_never_trains(tmp_path: Path) -> None:
    tower = load_frozen(str(siglip(tmp_path)))
    assert not tower(torch.randn(1, 3, 32, 32, requires_grad=True)).requires_grad
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    torch.nn.Sequential(tower).train()
    assert not any(module.training for module in tower.modules())


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    model = Blip2VisionModel(Blip2VisionConfig(**SIZES))
    state = {k: v for k, v in model.state_dict().items() if "layers.0.mlp" not in k}
    store(model, tmp_path, state_dict=state)
    with pytest.raises(UserError, match=r"lacks 4 weights, encoder\.layers\.0\.mlp"):
        load_frozen(str(tmp_path))


def test_unknown_tower_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No vision tower can be read from") as caught:
        load_frozen(str(tmp_path / "none"))
    assert "\n" not in str(caught.value)


def test_a_text_model_is_no_tower(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=50)
    store(BertModel(config), tmp_path)
    with pytest.raises(UserError, match="No vision tower can be read from"):
        load_frozen(str(tmp_path))


def test_transform_pads_with_white_and_scales() -> None:
    transform = ImageTransform(8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    pixels = transform(Image.new("RGB", (4, 8), "red"))
    assert pixels.shape == (3, 8, 8)
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels[:, 4, 0], torch.ones(3))
    torch.testing.assert_close(pixels[:, 4, 4], torch.tensor([1.0, 0.0, 0.0]), atol=0.02, rtol=0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "CMYK", "1"])
def test_transform_takes_every_mode_and_puts_transparency_on_white(mode: str) -> None:
    image = Image.new("RGBA", (9, 5), (0, 0, 0, 0)).convert(mode)
    if mode == "P":
        image.info["transparency"] = image.getpixel((0, 0))
    pixels = ImageTransform(8)(image)
    assert pixels.shape == (3, 8, 8)
    if mode in ("RGBA", "LA", "P"):
        torch.testing.assert_close(pixels, torch.ones(3, 8, 8))


def test_augmentation_moves_and_mirrors_but_keeps_colours() -> None:
    half = np.full((64, 64, 3), 255, np.uint8)
    half[16:48, 16:32] = (200, 30, 60)
    image = Image.fromarray(half)
    transform = ImageTransform(32)
    seen = [transform(image, seed) for seed in range(20)]
    assert torch.equal(transform(image, 3), seen[3])
    assert len({tuple(pixels.flatten().tolist()) for pixels in seen}) == 20
    left = [(pixels[1, :, :16] < 0).sum() > (pixels[1, :, 16:] < 0).sum() for pixels in seen]
    assert 0 < sum(left) < 20
    color = (torch.tensor([200, 30, 60]) / 255 - 0.5) / 0.5
    for pixels in seen:
        distance = (pixels - color[:, None, None]).abs().amax(0)
        assert distance.min() < 0.02
        assert 60 < (distance < 0.1).sum() < 200


def test_transforms_are_picklable_and_equal() -> None:
    transform = ImageTransform(16)
    assert pickle.loads(pickle.dumps(transform)) == transform


def test_small_tower_learns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tower = build_tower(ModelConfig(image_size=32, patch_size=8, vision_width=24))
    assert isinstance(tower, SmallTower)
    assert not isinstance(tower, FrozenTower)
    features = tower(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, tower.patches, tower.width)
    features.square().sum().backward()
    for name, parameter in tower.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("size", "patch", "patches"), [(32, 8, 16), (128, 32, 16), (48, 4, 144)])
def test_small_tower_cuts_pictures_into_patches(size: int, patch: int, patches: int) -> None:
    tower = build_tower(ModelConfig(image_size=size, patch_size=patch, vision_layers=2))
    assert tower.patches == patches
    assert tower(torch.zeros(1, 3, size, size)).shape == (1, patches, 32)


@pytest.mark.parametrize("sizes", [{"patch_size": 12}, {"image_size": 30}, {"vision_width": 20}])
def test_impossible_sizes_are_one_sentence(sizes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="multiple of"):
        build_tower(ModelConfig(**sizes))  # type: ignore[arg-type]


def test_small_tower_tells_how_dark_a_plain_picture_is() -> None:
    torch.manual_seed(0)
    tower = build_tower(ModelConfig(image_size=32, patch_size=8))
    greys = [Image.new("RGB", (32, 32), (level,) * 3) for level in (0, 40, 80, 160)]
    features = tower(torch.stack([tower.transform(grey) for grey in greys])).flatten(1)
    apart = torch.cdist(features, features)
    assert apart[0, 1] > 0.1
    assert apart[0, 1] < apart[0, 2] < apart[0, 3]
