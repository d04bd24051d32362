"""Linear layers of a model that only infers on a processor, multiplied by oneDNN.

torch multiplies float32 matrices by its BLAS, and lays out bfloat16 weights for oneDNN at every
call. With weights laid out once oneDNN, which torch carries, is up to twice as fast in float32 and
a tenth faster in bfloat16 (benchmarks/embedding.py). The two operations are those that torch's own
compiler uses; torch does not promise to keep them, so a model is tried and put back where they
fail.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

ROWS = 4096  # of the matrices that the layout is best for; others are multiplied as well
# Between the states of a probe by either library. Rounding stays below 1e-6 and 1e-2.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


class OneDnnLinear(nn.Module):
    """A linear layer whose weights are in oneDNN's layout; of the same result up to rounding.

    Args:
        layer: in main memory.
        dtype: in which it multiplies, and which its result has.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach().to(dtype), ROWS)
        bias = None if layer.bias is None else layer.bias.detach().to(dtype)
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x W' + b, (..., out), of x, (..., in)."""
        packed = x.to(self.weight.dtype), self.weight, self.bias
        result: Tensor = torch.ops.mkldnn._linear_pointwise(*packed, "none", [], "")
        return result


def use_onednn(
    model: nn.Module, trial: Callable[[], Tensor], dtype: torch.dtype = torch.float32
) -> bool:
    """Let oneDNN multiply the linear layers of a model, for inference alone.

    Args:
        model: changed in place; layers of a subclass of nn.Linear or with weights of neither
            float32 nor `dtype` stay as they are.
        trial: infers by the model. Code that reads the weights by itself fails or returns
            something else with them in oneDNN's layout; the layers are then put back.
        dtype: in which they multiply: float32, or bfloat16 for a model in it or under autocast.

    Returns:
        whether any layer was replaced.
    """
    layers = _linear_layers(model, dtype) if _has_onednn() else []
    if not layers:
        return False
    taken = False
    try:
        plain = trial()
        for parent, name, layer in layers:
            setattr(parent, name, OneDnnLinear(layer, dtype))
        taken = torch.allclose(trial(), plain, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    except Exception:  # whatever a model's own code raises: it is only less fast without
        taken = False
    finally:
        if not taken:
            for parent, name, layer in layers:
                setattr(parent, name, layer)
    return taken


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _linear_layers(model: nn.Module, dtype: torch.dtype) -> list[tuple[nn.Module, str, nn.Linear]]:
    """Return the layers that oneDNN can take, each with its parent and its name there."""
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear
        and child.weight.device.type == "cpu"
        and child.weight.dtype in (torch.float32, dtype)
    ]
