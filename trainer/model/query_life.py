"""Query-LIFE: one universal modal encoder that scores a query against title, picture and both.

Source: arXiv 2311.14742, section 3; sizes of section 4.2. Score = Q.M, the inner product of two
unit vectors.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.config import ModelConfig
from trainer.model.encoder import Memory, ModalEncoder, load_bert, load_tokenizer
from trainer.model.seen_words import SeenWords
from trainer.model.untrained_copy import UntrainedCopy, load_untrained_copy
from trainer.model.vision import NAMED, ImageTransform, SmallTower, VisionTower, build_tower

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerBase

COLDEST, HOTTEST, FIRST_TEMPERATURE = 0.01, 0.5, 0.07
TEXTS_AT_ONCE = 1024


@dataclass(frozen=True)
class TextOutput:
    """A text's unit embedding (B, D), states (B, L, H), mask (B, L)."""

    embedding: Tensor
    states: Tensor
    mask: Tensor


@dataclass(frozen=True)
class ImageOutput:
    """A picture's unit embedding (B, D), states (B, P, H) for cross-attention."""

    embedding: Tensor
    states: Tensor


FusedOutput = TextOutput


class QueryLife(nn.Module):
    """The paper's model: encoder, vision tower, projections, two matching heads, temperature."""

    def __init__(
        self,
        config: ModelConfig,
        bert: BertModel,
        tower: VisionTower,
        tokenizer: PreTrainedTokenizerBase | None,
        untrained: UntrainedCopy | None = None,
    ) -> None:
        super().__init__()
        self.untrained = untrained
        self.seen_words = None if untrained is None else SeenWords.of(load_tokenizer(config))
        self.config = config
        self.tokenizer = tokenizer
        self.vision = tower
        self.encoder = ModalEncoder(bert)
        width = self.encoder.width
        self.patch_projection = nn.Linear(tower.width, width)
        self.patch_norm = nn.LayerNorm(width)
        self.image_cls = None if tower.has_cls else nn.Parameter(torch.zeros(1, 1, width))
        self.text_projection = nn.Linear(width, config.embed_dim, bias=False)
        self.image_projection = nn.Linear(width, config.embed_dim, bias=False)
        self.fused_projection = nn.Linear(width, config.embed_dim, bias=False)
        self.title_head = nn.Linear(width, 2)
        self.query_head = nn.Linear(width, 2)
        self.raw_temperature = nn.Parameter(torch.tensor(raw_temperature(FIRST_TEMPERATURE)))
        self._start_alike()

    @classmethod
    def build(cls, config: ModelConfig) -> QueryLife:
        """Return the model that config names, pretrained parts loaded, the rest fresh.

        Raises UserError for a BERT or vision tower that cannot be read whole.
        """
        tower, copy = build_tower(config), load_untrained_copy(config)
        model = cls(config, load_bert(config), tower, load_tokenizer(config), copy)
        if isinstance(model.vision, SmallTower):
            model._start_as_words(model.vision.terms)
        return model

    def _start_alike(self) -> None:
        # Query and title, picture and fused states are states of one encoder, so with one
        # projection to begin with, states that are near give embeddings that are near.
        with torch.no_grad():
            nn.init.orthogonal_(self.text_projection.weight)
            self.image_projection.weight.copy_(self.text_projection.weight)
            self.fused_projection.weight.copy_(self.text_projection.weight)

    def align_fused_projection(self) -> None:
        """Set M's projection to that of Q and T, for stages in which no loss reaches it.

        Else M would be left behind in the space in which Q and T began.
        """
        with torch.no_grad():
            self.fused_projection.weight.copy_(self.text_projection.weight)

    def _start_as_words(self, terms: tuple[str, ...]) -> None:
        # A picture begins as a text of its colours' names: a patch that is half red is half the
        # word "red", and what its shapes say is learned beside it.
        bert = self.encoder.embeddings
        with torch.no_grad():
            for channel, term in enumerate(terms):
                word = bert.word_embeddings(self.tokenize([term])["input_ids"][0, 1:-1])
                self.patch_projection.weight[:, channel] = word.mean(0)
            places = bert.position_embeddings.weight[: self.config.max_text_length]
            place = bert.token_type_embeddings.weight[0] + places.mean(0)
            self.patch_projection.bias.copy_(NAMED * place)
            self.patch_norm.load_state_dict(bert.LayerNorm.state_dict())
            assert self.image_cls is not None
            self.image_cls.copy_(bert(input_ids=self.tokenize([""])["input_ids"][:, :1]))

    @property
    def temperature(self) -> Tensor:
        """The learned tau, from 0.07, within [0.01, 0.5] with a gradient everywhere (scalar)."""
        share = torch.sigmoid(self.raw_temperature)
        return torch.exp(math.log(COLDEST) + share * math.log(HOTTEST / COLDEST))

    @property
    def width(self) -> int:
        """The width of Q, T, I and M."""
        copy = 0 if self.untrained is None else self.untrained.width
        return self.config.embed_dim + copy

    @property
    def image_transform(self) -> ImageTransform:
        """Picture -> (3, S, S), picklable; with a seed it augments, equally for equal seeds."""
        return self.vision.transform

    def tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        """Return input_ids and attention_mask (B, L), padded to the longest, cut as config says."""
        if self.tokenizer is None:
            raise RuntimeError("this model was built without a tokenizer")
        batch = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self.config.max_text_length,
            return_tensors="pt",
        )
        return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}

    def vision_features(self, pixels: Tensor) -> Tensor:
        """Return the tower's patch features (B, P, W) of pixels (B, 3, S, S)."""
        features: Tensor = self.vision(pixels)
        return features

    @torch.no_grad()
    def remember_words(self, texts: list[str]) -> None:
        """Take the words of texts for seen, where the untrained copy asks for it."""
        if self.seen_words is None:
            return
        device = self.seen_words.marks.device
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            tokens = self.tokenize(texts[start : start + TEXTS_AT_ONCE])
            self.seen_words.add(tokens["input_ids"].to(device), tokens["attention_mask"].to(device))

    def begin(self, ids: Tensor, mask: Tensor) -> Tensor | None:
        """Return states (B, L, H) of texts that every pass of them can go on from, as `begun`."""
        return self.encoder.begin(ids, mask)

    def encode_queries(self, ids: Tensor, mask: Tensor, begun: Tensor | None = None) -> TextOutput:
        """Return Q of token ids (B, L) under mask (B, L)."""
        query = self._encode(ids, mask, begun)
        if self.untrained is None or self.seen_words is None or self.training:
            return query
        unseen = self.seen_words.unseen(ids, mask)
        beside = self.untrained.beside_queries(query.embedding, ids, mask, unseen)
        return replace(query, embedding=beside)

    def encode_titles(self, ids: Tensor, mask: Tensor, begun: Tensor | None = None) -> TextOutput:
        """Return T of token ids (B, L) under mask (B, L): the same weights as a query's."""
        return self._beside_copy(self._encode(ids, mask, begun), ids)

    def _encode(self, ids: Tensor, mask: Tensor, begun: Tensor | None) -> TextOutput:
        states = self.encoder.text(ids, mask, begun)
        return TextOutput(self._embed(self.text_projection, states, mask), states, mask)

    def encode_images(self, images: Tensor) -> ImageOutput:
        """Return I of pixels (B, 3, S, S), or of patch features (B, P, W) that the tower gave."""
        features = self.vision_features(images) if images.ndim == 4 else images
        patches = self.patch_norm(self.patch_projection(features))
        if self.image_cls is not None:
            patches = torch.cat([self.image_cls.expand(len(patches), -1, -1), patches], dim=1)
        states = self.encoder.image(patches)
        embedding = self._embed(self.image_projection, states, None)
        if self.untrained is not None and not self.training:
            embedding = self.untrained.without(embedding)
        return ImageOutput(embedding, states)

    def fuse(
        self, ids: Tensor, mask: Tensor, image_states: Tensor, begun: Tensor | None = None
    ) -> FusedOutput:
        """Return M: a title (B, L) that reads its picture's states (B, P, H) in every layer."""
        states = self.encoder.fused(ids, mask, Memory(image_states), begun)
        embedding = self._embed(self.fused_projection, states, mask)
        return self._beside_copy(FusedOutput(embedding, states, mask), ids)

    def match_fused(self, fused: FusedOutput) -> Tensor:
        """Return ITM's logits (B, 2), 1 = match, of what `fuse` gave."""
        return _logits(self.title_head, fused.states[:, 0])

    def match_titles(
        self,
        ids: Tensor,
        mask: Tensor,
        image_states: Tensor,
        of: Tensor | None = None,
        begun: Tensor | None = None,
    ) -> Tensor:
        """Return ITM's logits (B, 2), 1 = match, on the fused [CLS] of title and picture.

        Title i reads image_states[of[i]] (P, H), or image_states[i] where `of` is None.
        """
        first = self.encoder.fused_first(ids, mask, Memory(image_states, of=of), begun)
        return _logits(self.title_head, first)

    def match_queries(
        self, ids: Tensor, mask: Tensor, products: Memory, begun: Tensor | None = None
    ) -> Tensor:
        """Return QMM's logits (B, 2), 1 = match: the query, as text, reads M's token states.

        The paper leaves open how query and M meet. Here the query cross-attends to M's states
        (U, L, H), so the gradient reaches M, and serving needs no query-side fusion: Q.M alone.
        """
        return _logits(self.query_head, self.encoder.fused_first(ids, mask, products, begun))

    def _embed(self, projection: nn.Linear, states: Tensor, mask: Tensor | None) -> Tensor:
        # In float32 whatever the layers compute in: bfloat16 has too few digits to rank scores.
        with _without_autocast(states):
            pooled = self._pool(_widened(states), mask)
            return functional.normalize(projection(pooled), dim=-1)

    def _beside_copy(self, product: TextOutput, ids: Tensor) -> TextOutput:
        if self.untrained is None or self.training:
            return product
        beside = self.untrained.beside_products(product.embedding, ids, product.mask)
        return replace(product, embedding=beside)

    def _pool(self, states: Tensor, mask: Tensor | None) -> Tensor:
        if self.config.pooling == "cls":
            return states[:, 0]
        if mask is None:
            return states.mean(1)
        weight = mask.unsqueeze(-1).to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1)


def _without_autocast(states: Tensor) -> AbstractContextManager[object]:
    kind = states.device.type
    return nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False)


def _widened(states: Tensor) -> Tensor:
    return states.to(torch.promote_types(states.dtype, torch.float32))


def _logits(head: nn.Linear, states: Tensor) -> Tensor:
    with _without_autocast(states):
        logits: Tensor = head(_widened(states))
    return logits


def raw_temperature(tau: float) -> float:
    """Return the parameter whose temperature is tau: the logit of its place on the log scale."""
    share = math.log(tau / COLDEST) / math.log(HOTTEST / COLDEST)
    return math.log(share / (1 - share))
