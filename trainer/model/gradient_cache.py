"""Large contrastive batches in small memory: gradients are cached, graphs are made twice.

The contrast needs the embeddings of the whole batch, not their graphs. Each pass therefore runs
over a few rows at a time and keeps inputs and outputs alone; on the way back the rows are run once
more and give their gradients. The sum is that of the plain step. A pass over more rows than that is
made twice, in small pieces, which takes about twice the time on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from trainer.model.encoder import Memory
from trainer.model.query_life import FusedOutput, ImageOutput, QueryLife, TextOutput


class CachedPasses:
    """The passes of a model, `rows` at a time; each answers what the model's own would.

    With dropout, rows draw other masks than in one pass over all; the same in both of their runs.
    """

    def __init__(self, model: QueryLife, rows: int) -> None:
        self.model = model
        self.rows = rows

    def begin(self, ids: Tensor, mask: Tensor) -> Tensor | None:
        """Return None: states that all passes share would be kept for the whole batch."""
        return None

    def encode_queries(self, ids: Tensor, mask: Tensor, begun: Tensor | None = None) -> TextOutput:
        """Return Q of token ids (B, L) under mask (B, L)."""

        def run(ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
            made = self.model.encode_queries(ids, mask)
            return made.embedding, made.states

        embedding, states = self._cached(run, ids, mask)
        return TextOutput(embedding, states, mask)

    def encode_titles(self, ids: Tensor, mask: Tensor, begun: Tensor | None = None) -> TextOutput:
        """Return T of token ids (B, L) under mask (B, L)."""
        return self.encode_queries(ids, mask)

    def encode_images(self, images: Tensor) -> ImageOutput:
        """Return I of pixels (B, 3, S, S), or of patch features (B, P, W) that the tower gave."""

        def run(images: Tensor) -> tuple[Tensor, ...]:
            made = self.model.encode_images(images)
            return made.embedding, made.states

        if images.ndim == 4 and self.model.vision.frozen:  # no graph: once is enough
            parts = [self.model.vision_features(images[part]) for part in self._parts(len(images))]
            images = torch.cat(parts)
        embedding, states = self._cached(run, images)
        return ImageOutput(embedding, states)

    def fuse(
        self, ids: Tensor, mask: Tensor, image_states: Tensor, begun: Tensor | None = None
    ) -> FusedOutput:
        """Return M: a title (B, L) that reads its picture's states (B, P, H)."""

        def run(ids: Tensor, mask: Tensor, image_states: Tensor) -> tuple[Tensor, ...]:
            made = self.model.fuse(ids, mask, image_states)
            return made.embedding, made.states

        embedding, states = self._cached(run, ids, mask, image_states)
        return FusedOutput(embedding, states, mask)

    def match_fused(self, fused: FusedOutput) -> Tensor:
        """Return ITM's logits (B, 2) of what `fuse` gave."""
        return self.model.match_fused(fused)

    def match_titles(
        self,
        ids: Tensor,
        mask: Tensor,
        image_states: Tensor,
        of: Tensor,
        begun: Tensor | None = None,
    ) -> Tensor:
        """Return ITM's logits (B, 2): title i reads image_states[of[i]] (P, H)."""

        def run(ids: Tensor, mask: Tensor, of: Tensor) -> tuple[Tensor, ...]:
            read, place = _distinct(of)
            return (self.model.match_titles(ids, mask, image_states[read], place),)

        return self._cached(run, ids, mask, of)[0]

    def match_queries(
        self, ids: Tensor, mask: Tensor, products: Memory, begun: Tensor | None = None
    ) -> Tensor:
        """Return QMM's logits (B, 2): query i reads products.states[products.of[i]]."""
        assert products.mask is not None
        assert products.of is not None
        real = products.mask

        def run(ids: Tensor, mask: Tensor, of: Tensor) -> tuple[Tensor, ...]:
            read, place = _distinct(of)
            memory = Memory(products.states[read], real[read], place)
            return (self.model.match_queries(ids, mask, memory),)

        return self._cached(run, ids, mask, products.of)[0]

    def _cached(
        self, run: Callable[..., tuple[Tensor, ...]], *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        """Return what `run` gives for inputs (B, ...), part by part, its graph not kept.

        Inputs that are one part keep their graph: a second run would save nothing.
        """
        if len(inputs[0]) <= self.rows:
            return run(*inputs)
        made = [
            checkpoint(run, *(one[part] for one in inputs), use_reentrant=False)
            for part in self._parts(len(inputs[0]))
        ]
        return tuple(torch.cat(outputs) for outputs in zip(*made, strict=True))

    def _parts(self, size: int) -> Iterator[slice]:
        return (slice(start, start + self.rows) for start in range(0, max(size, 1), self.rows))


def _distinct(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct numbers, and where each of `numbers` stands among them."""
    untyped: Any = numbers
    distinct, place = untyped.unique(return_inverse=True)
    return distinct, place
