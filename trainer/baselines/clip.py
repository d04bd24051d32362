"""CLIP as the paper's zero-shot baseline, by folder or hub name, or small and from scratch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.baselines.baseline import SCRATCH, BaselineScores, Material, device
from trainer.baselines.named_checkpoint import read_checkpoint
from trainer.baselines.pixels import SMALL_SIDE, small_pictures
from trainer.baselines.towers import TowerScores, align
from trainer.config import ModelConfig
from trainer.model.encoder import load_tokenizer

if TYPE_CHECKING:
    from transformers import CLIPModel, PreTrainedTokenizerBase


class Clip:
    """CLIP's text and picture towers.

    Args:
        model: a CLIP folder or hub name; None for a small one, trained on the train products'
            titles and pictures.
        epochs: passes over them, for the small one.
    """

    def __init__(self, model: str | None = None, epochs: int = 12) -> None:
        self.model = model
        self.epochs = epochs

    @property
    def name(self) -> str:
        """CLIP, and the origin of its weights."""
        return f"CLIP zero-shot ({self.model or SCRATCH})"

    def scores(self, material: Material) -> BaselineScores:
        """Return Q->T, Q->I and their sum, and Q->M of query and title joined.

        Raises:
            UserError: the model cannot be read whole.
        """
        torch.manual_seed(material.seed)
        towers = (_small() if self.model is None else _named(self.model)).to(device())
        if self.model is None:
            align(towers, material, self.epochs)
        return TowerScores(towers, material).all()


class ClipTowers(nn.Module):
    """A transformers CLIP as unit vectors."""

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: PreTrainedTokenizerBase,
        transform: Callable[..., Tensor],
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.transform = model, tokenizer, transform
        self.length = model.text_model.embeddings.position_embedding.num_embeddings

    def texts(self, texts: list[str]) -> Tensor:
        """Return the vectors (N, D) of texts."""
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.length, return_tensors="pt"
        ).to(self.model.device)
        made = self.model.get_text_features(tokens["input_ids"], tokens["attention_mask"])
        return functional.normalize(made.pooler_output, dim=-1)

    def pictures(self, pixels: Tensor) -> Tensor:
        """Return the vectors (N, 1, D) of pixels (N, 3, S, S)."""
        made = self.model.get_image_features(pixels)
        return functional.normalize(made.pooler_output, dim=-1)[:, None]


def _named(name: str) -> ClipTowers:
    from transformers import CLIPModel

    return ClipTowers(*read_checkpoint(CLIPModel, name, "CLIP", "--clip"))


def _small() -> ClipTowers:
    from transformers import CLIPConfig, CLIPModel

    tokenizer = load_tokenizer(ModelConfig())
    shape = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4}
    text = {
        **shape,
        "num_hidden_layers": 2,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 48,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**shape, "num_hidden_layers": 3, "image_size": SMALL_SIDE, "patch_size": 16}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=64)
    return ClipTowers(CLIPModel(config), tokenizer, small_pictures)
