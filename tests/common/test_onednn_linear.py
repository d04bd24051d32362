"""Linear layers by oneDNN return what torch's own return, or are put back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, T5Config, T5EncoderModel

from genfilt.common.onednn_linear import OneDnnLinear, use_onednn
from genfilt.features.embedder import Embedder

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="this build of torch has no oneDNN",
)


def bert() -> nn.Module:
    config = BertConfig(
        vocab_size=60, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2,
    )  # fmt: skip
    return BertModel(config)  # type: ignore[no-untyped-call]


def t5() -> nn.Module:
    """Return an encoder without biases that reads the type of its weights by itself."""
    return T5EncoderModel(
        T5Config(vocab_size=60, d_model=32, d_ff=64, num_layers=2, num_heads=2, d_kv=16)
    )


def states(model: nn.Module, shape: tuple[int, int] = (3, 7)) -> Callable[[], Tensor]:
    tokens = torch.arange(shape[0] * shape[1]).reshape(shape) % 60

    def infer() -> Tensor:
        with torch.inference_mode():
            found: Tensor = model(tokens).last_hidden_state
        return found

    return infer


def replaced(model: nn.Module) -> int:
    return sum(isinstance(layer, OneDnnLinear) for layer in model.modules())


@pytest.mark.parametrize("make", [bert, t5])
def test_a_model_returns_the_same_states(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = make().eval()
    layers = sum(type(layer) is nn.Linear for layer in model.modules())
    shapes = [(3, 7), (1, 1), (40, 12)]
    before = [states(model, shape)() for shape in shapes]
    assert use_onednn(model, states(model))
    assert replaced(model) == layers > 10
    for shape, expected in zip(shapes, before, strict=True):
        torch.testing.assert_close(states(model, shape)(), expected, atol=1e-5, rtol=1e-5)


class ByItsWeights(nn.Module):
    """Multiplies by hand, as some models do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.layer.weight.T


class Halved(nn.Linear):
    """A layer that returns something else than its weights say."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


def test_layers_whose_weights_others_read_are_put_back() -> None:
    model, x = ByItsWeights(), torch.ones(2, 4)
    before = model(x)
    assert not use_onednn(model, lambda: model(x))
    assert type(model.layer) is nn.Linear
    assert torch.equal(model(x), before)


def test_a_model_of_another_result_is_put_back() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    results = iter([torch.zeros(1), torch.full((1,), 0.01)])
    assert not use_onednn(model, lambda: next(results))
    assert type(model[0]) is nn.Linear


@pytest.mark.parametrize(
    "layer", [Halved(4, 4), nn.Linear(4, 4, dtype=torch.float64), nn.Embedding(4, 4)]
)
def test_other_layers_are_left(layer: nn.Module) -> None:
    model = nn.Sequential(layer)

    def trial() -> Tensor:
        raise AssertionError("there is nothing to try")

    assert not use_onednn(model, trial)
    assert model[0] is layer


def test_an_embedder_multiplies_by_it() -> None:
    embedder = Embedder()
    embedder.encode(["mug"])
    assert embedder._model is not None
    assert replaced(embedder._model) == 37


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 here")
def test_layers_under_autocast_multiply_in_bfloat16() -> None:
    torch.manual_seed(0)
    model = bert().eval()
    exact = states(model)()
    with torch.autocast("cpu", torch.bfloat16):
        plain = states(model)()
        assert use_onednn(model, states(model), torch.bfloat16)
        ours = states(model)()
    assert replaced(model) == 13
    assert (ours - exact).abs().mean() < 1.5 * (plain - exact).abs().mean()
    whole = bert().eval().bfloat16()
    assert use_onednn(whole, states(whole), torch.bfloat16)
    assert replaced(whole) == 13
    embedder = Embedder("all-MiniLM-L6-v2+bfloat16")
    embedder.encode(["mug"])
    assert embedder._model is not None
    assert replaced(embedder._model) == 37


def test_without_the_operations_a_model_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bert().eval()
    before = states(model)()

    def missing(*_: object) -> Tensor:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute")

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", missing)
    assert not use_onednn(model, states(model))
    assert replaced(model) == 0
    assert torch.equal(states(model)(), before)
