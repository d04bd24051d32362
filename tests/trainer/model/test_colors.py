"""The palette of the small tower against scikit-image, and what a picture begins as."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor
from skimage.color import rgb2lab

from trainer.config import MINILM, ModelConfig
from trainer.model.colors import LIGHTNESS, TERMS, Palette, lab, named_shades
from trainer.model.query_life import QueryLife


def test_lab_is_that_of_scikit_image() -> None:
    rgb = np.random.default_rng(0).random((1, 9, 11, 3)).astype(np.float32)
    ours = lab(torch.from_numpy(rgb).permute(0, 3, 1, 2))[0].permute(1, 2, 0).numpy()
    expected = rgb2lab(rgb[0]) * [LIGHTNESS, 1, 1]
    assert ours == pytest.approx(expected, abs=0.02)


def test_each_term_has_a_shade_and_each_shade_is_its_own_term() -> None:
    named = named_shades()
    assert {term for term, _ in named} == set(TERMS)
    plain = torch.tensor([color for _, color in named])[:, :, None, None].expand(-1, -1, 8, 8)
    roots = Palette(8)(plain)[:, :, 0, 0]
    seen = plain[:, 0, 0, 0] <= 0.965  # all but the whites that are a ground
    assert (roots.argmax(1) == torch.arange(len(named)))[seen].float().mean() > 0.9


def test_shares_and_the_ground_fill_a_patch() -> None:
    picture = torch.ones(1, 3, 16, 16)
    picture[:, :, :8, :4] = torch.tensor([0.8, 0.1, 0.1]).view(3, 1, 1)
    shares = Palette(8)(picture) ** 2
    filled = shares.sum(1)[0]
    assert filled[0, 0].item() == pytest.approx(0.5, abs=1e-5)
    assert filled.flatten()[1:].abs().max().item() == 0


@pytest.mark.parametrize("color", ["red", "orange", "yellow", "green", "blue", "purple"])
def test_before_training_a_picture_is_near_the_word_for_its_colour(color: str) -> None:
    torch.manual_seed(0)
    model = QueryLife.build(
        ModelConfig(bert=MINILM, bert_layers=2, image_size=64, patch_size=16, vision_width=64)
    ).eval()
    pictures = []
    for term in TERMS:
        picture = Image.new("RGB", (64, 64), "white")
        picture.paste(ImageColor.getrgb(term), (12, 12, 52, 52))
        pictures.append(model.image_transform(picture))
    words = model.tokenize(list(TERMS))
    with torch.no_grad():
        images = model.encode_images(torch.stack(pictures)).embedding
        texts = model.encode_queries(words["input_ids"], words["attention_mask"]).embedding
    scores = (images - images.mean(0)) @ texts.T
    assert TERMS[int(scores[TERMS.index(color)].argmax())] == color
