"""Numbers of parameters of a model's parts, and the line that reports them."""

from __future__ import annotations

from torch import nn

from trainer.model.query_life import QueryLife

PAPER_PARAMETERS = 188_000_000


def parameter_counts(model: QueryLife) -> dict[str, int]:
    """Return the number of parameters of each part, the frozen tower's apart from the trained."""
    counts = {
        "BERT": _size(model.encoder.embeddings) + _size(model.encoder.layers),
        "cross-attention": _size(model.encoder.cross),
    }
    tower = _size(model.vision)
    total = _size(model)
    frozen = tower if model.vision.frozen else 0
    if model.untrained is not None:
        counts["untrained copy, frozen"] = _size(model.untrained)
        frozen += _size(model.untrained)
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


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
