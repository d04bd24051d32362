"""A tuning run that is killed and taken up again: the weights of one that was not."""

from __future__ import annotations

import importlib
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

FOLDER = str(Path(__file__).parents[3] / "examples")
STEPS, STEP_EXAMPLES, WORDS = 40, 16, 50


def small_model() -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config)


def train(out: Path) -> None:
    """Train a small model for STEPS steps, from the checkpoint in `out` where there is one."""
    sys.path.insert(0, FOLDER)
    try:
        tuning: Any = importlib.import_module("tuning_run")
        packed: Any = importlib.import_module("packed_prompts")
    finally:
        sys.path.remove(FOLDER)
    torch.set_num_threads(1)
    drawn = torch.Generator().manual_seed(5)
    words = torch.randint(WORDS, (STEPS * STEP_EXAMPLES, 7), generator=drawn).tolist()
    examples = [packed.Example(each[:3], each[3:]) for each in words]
    options = tuning.Options(
        out, torch.device("cpu"), STEP_EXAMPLES, minutes=1e6, max_steps=STEPS, seed=1, save_every=0
    )
    model = small_model()
    tuning.Run(model, model, options).train(list(range(10)), examples)


def saved(out: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(out / "checkpoint.pt", weights_only=True)
    return state


def kill_in_mid_run(out: Path) -> int:
    """Kill a run between two checkpoints and return the step of the last one."""
    process = get_context("spawn").Process(target=train, args=(out,))
    process.start()
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.pt").exists():
        assert process.is_alive(), "the run ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -9
    return int(saved(out)["step"])


def test_a_killed_run_ends_with_the_state_of_an_unbroken_one(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    train(whole)
    assert 0 < kill_in_mid_run(broken) < STEPS
    train(broken)
    one, two = saved(whole), saved(broken)
    assert one["step"] == two["step"] == STEPS
    first = small_model().state_dict()["model.embed_tokens.weight"]
    assert not torch.equal(one["weights"][0], first)
    assert all(map(torch.equal, one["weights"], two["weights"]))
    moments = [state["optimizer"]["state"] for state in (one, two)]
    assert len(moments[0]) == len(one["weights"])
    for number, values in moments[0].items():
        for name, value in values.items():
            assert torch.equal(value, moments[1][number][name])
