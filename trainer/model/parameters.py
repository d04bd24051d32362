"""Numbers of parameters of a model's parts, and the line that reports them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import nn

from trainer.model.query_life import QueryLife

PAPER_PARAMETERS = 188_000_000


class HasParameters(Protocol):
    """A model of torch, or one in its manner."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the weights."""


def parameter_counts(model: QueryLife) -> dict[str, int]:
    """Return the number of parameters of each part, the frozen tower's apart from the trained."""
    counts = {
        "BERT": weights_of(model.encoder.embeddings) + weights_of(model.encoder.layers),
        "cross-attention": weights_of(model.encoder.cross),
    }
    tower = weights_of(model.vision)
    total = weights_of(model)
    frozen = tower if model.vision.frozen else 0
    if model.untrained is not None:
        counts["untrained copy, frozen"] = weights_of(model.untrained)
        frozen += weights_of(model.untrained)
    counts["projections and heads"] = total - tower - sum(counts.values())
    counts[f"vision tower, {'frozen' if model.vision.frozen else 'trained'}"] = tower
    counts["trained"] = total - frozen
    return counts


def parameter_report(model: QueryLife) -> str:
    """Return the parameter counts in one line, and the paper's where the tower is frozen too."""
    parts = ", ".join(
        f"{name} {count / 1e6:.1f}M" for name, count in parameter_counts(model).items()
    )
    paper = (
        f" The paper says {PAPER_PARAMETERS / 1e6:.0f}M, which is BLIP-2's figure for its Q-Former."
    )
    return f"Parameters: {parts}." + (paper if model.vision.frozen else "")


def weights_of(model: HasParameters) -> int:
    """Return how many weights a model has, frozen ones too."""
    return sum(weight.numel() for weight in model.parameters())
