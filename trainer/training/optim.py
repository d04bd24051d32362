"""AdamW with linear warm-up and a cosine to zero (paper, section 4.2)."""

from __future__ import annotations

import math

import torch

from trainer.config import FitConfig
from trainer.model.query_life import QueryLife

PRETRAINED = ("encoder.embeddings.", "encoder.layers.")


def build_optimizer(model: QueryLife, config: FitConfig) -> torch.optim.AdamW:
    """Return AdamW over what is trained; vectors and scalars are not decayed.

    Each group carries `peak`, its rate before the schedule: weights that came with a BERT have
    their own, smaller than that of weights from scratch.
    """
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        known = config.model.bert is not None and name.startswith(PRETRAINED)
        peak = config.learning_rate if known else config.fresh_learning_rate
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((peak, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": peak, "peak": peak, "weight_decay": decay}
            for (peak, decay), parameters in groups.items()
        ],
        betas=config.betas,
        fused=True,
    )


class PullToStart:
    """Decoupled decay of a checkpoint's weights towards what they were when it was made.

    Args:
        model: with the checkpoint's weights, before any training.
        strength: of the decay, in units of the rate.
    """

    def __init__(self, model: QueryLife, strength: float) -> None:
        named = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
        self.weights: list[torch.Tensor] = [
            one for name, one in named if name.startswith(PRETRAINED)
        ]
        self.start = [one.detach().clone() for one in self.weights]
        self.strength = strength

    @torch.no_grad()
    def __call__(self, rate: float) -> None:
        """Move every weight by rate times strength of its way back."""
        share = min(1.0, rate * self.strength)
        torch._foreach_lerp_(self.weights, self.start, share)


def schedule(step: int, warmup: int, steps: int) -> float:
    """Return the rate's share of its peak at step 0, 1, ...: a line up, then a cosine to 0.

    A warm-up longer than a tenth of the steps is cut to that, so that a short run still learns.
    """
    warmup = min(warmup, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group's rate to its share of the peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share
