"""BLIP-2 as the paper's strongest baseline: zero-shot, and fine-tuned on the train rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.baselines.baseline import SCRATCH, BaselineScores, Material, device
from trainer.baselines.named_checkpoint import read_checkpoint
from trainer.baselines.pixels import SMALL_SIDE, small_pictures
from trainer.baselines.towers import TowerScores, align, refine
from trainer.config import ModelConfig
from trainer.model.encoder import load_tokenizer

if TYPE_CHECKING:
    from transformers import Blip2ForImageTextRetrieval, PreTrainedTokenizerBase

LENGTH = 48
RATE, SCRATCH_RATE = 1e-5, 1e-3
SPREAD = 0.1  # of first weights; with the usual 0.02 so small a model gives all pictures one vector


class Blip2:
    """BLIP-2's Q-Former as two towers; query and title joined are scored against the picture.

    Args:
        model: a folder or hub name of a Blip2ForImageTextRetrieval; None for a small one, which
            is trained on titles and pictures of the train products first.
        tuned: whether it is fine-tuned on the train rows; its frozen tower stays as it is.
        first_epochs: passes over titles and pictures, for the small one.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        tuned: bool = False,
        first_epochs: int = 12,
    ) -> None:
        self.model = model
        self.tuned = tuned
        self.first_epochs = first_epochs

    @property
    def name(self) -> str:
        """BLIP-2, zero-shot or fine-tuned, and the origin of its weights."""
        return f"BLIP-2 {'fine-tuned' if self.tuned else 'zero-shot'} ({self.model or SCRATCH})"

    def scores(self, material: Material) -> BaselineScores:
        """Return Q->T, Q->I, their sum, and Q->M of query and title joined.

        Raises:
            UserError: the model cannot be read whole.
        """
        torch.manual_seed(material.seed)
        towers = (_small() if self.model is None else _named(self.model)).to(device())
        if self.model is None:
            align(towers, material, self.first_epochs)
        if self.tuned:
            rate = SCRATCH_RATE if self.model is None else RATE
            refine(towers, material, self.name, rate)
        return TowerScores(towers, material).all()


class Blip2Towers(nn.Module):
    """A transformers Blip2ForImageTextRetrieval as unit vectors."""

    def __init__(
        self,
        model: Blip2ForImageTextRetrieval,
        tokenizer: PreTrainedTokenizerBase,
        transform: Callable[..., Tensor],
        *,
        frozen: bool,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.transform = model, tokenizer, transform
        model.vision_model.requires_grad_(not frozen)

    def texts(self, texts: list[str]) -> Tensor:
        """Return the vectors (N, D) of texts, from the Q-Former's first text state."""
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt"
        ).to(self.model.device)
        states = self.model.qformer(
            query_embeds=self.model.embeddings(input_ids=tokens["input_ids"]),
            query_length=0,
            attention_mask=tokens["attention_mask"],
        ).last_hidden_state
        return functional.normalize(self.model.text_projection(states[:, 0]), dim=-1)

    def pictures(self, pixels: Tensor) -> Tensor:
        """Return the vectors (N, K, D) of pixels (N, 3, S, S), one for each query token."""
        seen = self.model.vision_model(pixel_values=pixels).last_hidden_state
        states = self.model.qformer(
            query_embeds=self.model.query_tokens.expand(len(pixels), -1, -1),
            encoder_hidden_states=seen,
        ).last_hidden_state
        return functional.normalize(self.model.vision_projection(states), dim=-1)


def _named(name: str) -> Blip2Towers:
    from transformers import Blip2ForImageTextRetrieval

    return Blip2Towers(
        *read_checkpoint(Blip2ForImageTextRetrieval, name, "BLIP-2", "--blip2"), frozen=True
    )


def _small() -> Blip2Towers:
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    tokenizer = load_tokenizer(ModelConfig())
    shape = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4}
    config = Blip2Config(
        vision_config={
            **shape,
            "num_hidden_layers": 3,
            "image_size": SMALL_SIDE,
            "patch_size": 16,
            "initializer_range": SPREAD,
        },
        qformer_config={
            **shape,
            "num_hidden_layers": 2,
            "encoder_hidden_size": 64,
            "vocab_size": len(tokenizer),
            "use_qformer_text_input": True,
            "max_position_embeddings": LENGTH,
            "initializer_range": SPREAD,
        },
        num_query_tokens=8,
        image_text_hidden_size=64,
    )
    model = Blip2ForImageTextRetrieval(config)
    nn.init.normal_(model.query_tokens)
    return Blip2Towers(model, tokenizer, small_pictures, frozen=False)
