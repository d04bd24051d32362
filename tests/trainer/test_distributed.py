"""Two processes see what one sees: the same losses and the same gradients."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as spawning
from torch import Tensor

from tests.trainer.shop import toy_shop
from tests.trainer.small_batches import inputs, objective_of
from trainer.distributed import first_row, gather, mean_of_all, total

PLACES = np.array([0, 3, 5, 6, 9, 14, 20])  # 4 rows for one process, 3 for the other


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def join(rank: int, port: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def step(db: Path, places: np.ndarray) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses and gradients of a batch in stage 3, through what accelerate makes of the module."""
    from trainer.config import preset
    from trainer.training.fit import make_accelerator

    accelerator = make_accelerator(preset("tiny", 3))
    objective, source = objective_of(db, 3)
    prepared = accelerator.prepare(objective)
    losses, _ = prepared(inputs(objective, source, places))
    accelerator.backward(torch.stack(list(losses.values())).sum())
    grads = {
        name: parameter.grad
        for name, parameter in objective.model.named_parameters()
        if parameter.grad is not None
    }
    return {name: loss.detach() for name, loss in losses.items()}, grads


def half(rank: int, port: int, db: Path, folder: Path) -> None:
    join(rank, port)
    losses, grads = step(db, np.array_split(PLACES, 2)[rank])
    whole = {name: total(loss) / 2 for name, loss in losses.items()}
    torch.save((whole, grads), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_losses_and_gradients_of_one(tmp_path: Path) -> None:
    db = toy_shop(tmp_path / "shop")
    spawning.spawn(half, args=(free_port(), db, tmp_path), nprocs=2)
    losses, grads = step(db, PLACES)
    for rank in range(2):
        theirs, their_grads = torch.load(tmp_path / f"{rank}.pt")
        assert theirs.keys() == losses.keys()
        for name, loss in losses.items():
            torch.testing.assert_close(theirs[name], loss, rtol=1e-5, atol=1e-5)
        assert their_grads.keys() == grads.keys()
        for name, grad in grads.items():
            torch.testing.assert_close(their_grads[name], grad, rtol=1e-4, atol=1e-5)


def uneven(rank: int, port: int, folder: Path) -> None:
    join(rank, port)
    torch.distributed.init_process_group("gloo")
    rows = (2, 3)[rank]
    values = (torch.arange(rows * 2.0).view(rows, 2) + 10 * rank).requires_grad_()
    sequences = torch.ones(rows, 2 + rank, dtype=torch.bool)
    everyone = gather(values)
    (everyone.sum(dim=1) * torch.arange(5) * (rank + 1)).sum().backward()
    counted = torch.tensor([True, False, True])[:rows]
    torch.save(
        {
            "gathered": everyone.detach(),
            "sequences": gather(sequences),
            "grad": values.grad,
            "first": first_row(rows, values.device),
            "share": mean_of_all(torch.full((rows,), 1.0 + rank), counted),
            "none": gather(torch.zeros(rank, 4)),
        },
        folder / f"{rank}.pt",
    )
    torch.distributed.destroy_process_group()


def test_gathering_rows_and_sequences_of_different_lengths(tmp_path: Path) -> None:
    spawning.spawn(uneven, args=(free_port(), tmp_path), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    want = torch.tensor([[0.0, 1], [2, 3], [10, 11], [12, 13], [14, 15]])
    for part in (one, two):
        assert torch.equal(part["gathered"], want)
        assert part["sequences"].tolist() == [[True, True, False]] * 2 + [[True] * 3] * 3
        assert part["none"].shape == (1, 4)
    weights = 3.0 * torch.arange(5)[:, None].expand(5, 2)  # pulled once by one, twice by the other
    assert torch.equal(torch.cat([one["grad"], two["grad"]]), weights)
    assert (one["first"], two["first"]) == (0, 2)
    assert (one["share"] + two["share"]).item() / 2 == pytest.approx((1 + 2 + 2) / 3)


def test_one_process_alone_gets_back_what_it_gave() -> None:
    values = torch.rand(3, 2)
    assert gather(values) is values
    assert first_row(3, values.device) == 0
    assert mean_of_all(torch.tensor([1.0, 5.0]), torch.tensor([True, False])) == 1
    assert mean_of_all(torch.zeros(0), torch.zeros(0, dtype=torch.bool)) == 0
