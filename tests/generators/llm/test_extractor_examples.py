"""Training examples of the language model: replies that serving allows, and a packed loss."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from genfilt.generators.llm.reply import Reply, grounded_value, parse_title_reply
from genfilt.generators.llm.title_request import title_messages
from genfilt.generators.protocols import FIELDS, Attributes

FOLDER = Path(__file__).parents[3] / "examples"
COUNT = 400


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        names = ("extractor_examples", "packed_prompts")
        yield {name: importlib.import_module(name) for name in names}


def test_each_reply_is_what_its_title_says(modules: dict[str, ModuleType]) -> None:
    first, *rows = modules["extractor_examples"].examples(COUNT, 1)
    assert first["shared"] == title_messages("any")[:-1]
    assert len({row["question"] for row in rows}) == COUNT
    brands = 0
    for row in rows:
        title = json.loads(row["question"].removeprefix("Title: "))
        assert title_messages(title)[-1]["content"] == row["question"]
        found = parse_title_reply(title, Reply(row["reply"], "stop"), 1)
        assert isinstance(found, Attributes)
        assert found.core_word
        assert json.loads(found.raw)["dropped"] == []
        assert all(
            grounded_value(title, getattr(found, name)) == getattr(found, name) for name in FIELDS
        )
        brands += found.brand is not None
    assert 0.4 < brands / COUNT < 0.8


def test_a_packed_row_has_the_loss_of_its_examples_alone(modules: dict[str, ModuleType]) -> None:
    packed = modules["packed_prompts"]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = LlamaForCausalLM(config).eval()
    prefix = [1, 7, 9]
    examples = [
        packed.Example([3, 4], [5, 6, 7, 2]),
        packed.Example([8], [9, 2]),
        packed.Example([10, 11, 12], [13, 14, 2]),
    ]
    device = torch.device("cpu")
    together = packed.reply_loss(model, packed.pack(prefix, [examples[:2], examples[2:]], device))
    total, tokens = torch.zeros(()), 0
    for each in examples:
        ids = torch.tensor([[*prefix, *each.question, *each.reply]])
        logits = model(ids).logits[0, -len(each.reply) - 1 : -1]
        wanted = torch.tensor(each.reply)
        total = total + torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
        tokens += len(each.reply)
    torch.testing.assert_close(together, total / tokens, rtol=1e-4, atol=1e-5)
