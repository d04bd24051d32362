"""Linear layers of a model that only infers on a processor, multiplied by oneDNN.

torch multiplies float32 matrices by its BLAS, and oneDNN, which it carries too, is up to twice as
fast (benchmarks/embedding.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

TOLERANCE = 1e-4  # between what a model returns by either library; rounding stays below 1e-6


class OneDnnLinear(nn.Module):
    """A linear layer whose weights are in oneDNN's layout; of the same result up to rounding.

    Args:
        layer: of float32 weights in main memory.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        bias = None if layer.bias is None else layer.bias.detach().to_mkldnn()
        self.register_buffer("weight", layer.weight.detach().to_mkldnn(), persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x W' + b, (..., out), of x, (..., in) float32."""
        return linear(x.contiguous().to_mkldnn(), self.weight, self.bias).to_dense()


def use_onednn(model: nn.Module, trial: Callable[[], Tensor]) -> bool:
    """Let oneDNN multiply the float32 linear layers of a model, for inference alone.

    Args:
        model: changed in place; layers of a subclass of nn.Linear stay as they are.
        trial: infers by the model. Code that reads the weights by itself fails or returns
            something else with them in oneDNN's layout; the layers are then put back.

    Returns:
        whether any layer was replaced.
    """
    layers = _linear_layers(model) if _has_onednn() else []
    if not layers:
        return False
    plain = trial()
    for parent, name, layer in layers:
        setattr(parent, name, OneDnnLinear(layer))
    if _is_near(trial, plain):
        return True
    for parent, name, layer in layers:
        setattr(parent, name, layer)
    return False


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _linear_layers(model: nn.Module) -> list[tuple[nn.Module, str, nn.Linear]]:
    """Return the layers that oneDNN can take, each with its parent and its name there."""
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear
        and child.weight.device.type == "cpu"
        and child.weight.dtype == torch.float32
    ]


def _is_near(trial: Callable[[], Tensor], expected: Tensor) -> bool:
    try:
        found = trial()
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
