"""Fixtures of baselines's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer.baselines.small_checkpoints import SMALL, material_of
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.baselines.baseline import (
    Material,
)
from trainer.config import ModelConfig
from trainer.model.encoder import load_tokenizer


@pytest.fixture(scope="package")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material_of(toy_shop(tmp_path_factory.mktemp("baselines")))


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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
