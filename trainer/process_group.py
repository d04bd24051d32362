"""The group of processes that torchrun starts: joining it, and what one process tells the others.

With one process every function acts on what it was given.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from genfilt.common.errors import UsageError, UserError
from trainer.distributed import gather, processes

Value = TypeVar("Value")
Number = TypeVar("Number", bound=np.generic)
# Torchrun ends all processes when one of them dies, so waiting long costs nothing then; a process
# whose pictures take an hour longer than the others' must not end the run.
PATIENCE = timedelta(hours=3)


@contextmanager
def joined(*, cpu: bool) -> Iterator[None]:
    """Join the processes that torchrun started, for as long as the block lasts.

    A group that exists already belongs to whoever made it, and stays.

    Args:
        cpu: whether the CPU computes.
    """
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not several or dist.is_initialized():
        yield
        return
    from accelerate import PartialState
    from accelerate.state import AcceleratorState

    PartialState(cpu=cpu, timeout=PATIENCE)
    yield  # after an error the others may wait for this process: its end alone tells torchrun
    dist.destroy_process_group()
    AcceleratorState._reset_state(reset_partial_state=True)


def is_main() -> bool:
    """Tell whether this process is the first, which alone writes and reports."""
    return processes()[0] == 0


def from_main(value: Value) -> Value:
    """Return the first process's value in all processes."""
    values = [value]
    if processes()[1] > 1:
        dist.broadcast_object_list(values, src=0)
    return values[0]


def on_main(make: Callable[[], Value]) -> Value:
    """Return in all processes what the first one makes.

    Raises:
        UserError: the first process could not make it; all raise the same error.
    """
    made: Value | None = None
    fault: UserError | None = None
    if is_main():
        try:
            made = make()
        except UserError as error:
            fault = error
    kind = "" if fault is None else "usage" if isinstance(fault, UsageError) else "user"
    kind, text, shared = from_main((kind, str(fault), made))
    if fault is not None:
        raise fault
    if kind:
        raise (UsageError if kind == "usage" else UserError)(text)
    return shared  # type: ignore[return-value]


@contextmanager
def shared_folder(path: Path) -> Iterator[Path | None]:
    """Give an empty folder by which the first process hands files to the others.

    Args:
        path: the folder, which is removed at the end.

    Returns:
        None where there is one process, which needs none.

    Raises:
        UserError: it cannot be made.
    """
    if processes()[1] == 1:
        yield None
        return

    def remove() -> None:
        shutil.rmtree(path, ignore_errors=True)

    def make() -> None:
        remove()
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"{path} cannot be made ({error.strerror}).") from error

    on_main(make)
    try:
        yield path
    finally:
        if is_main():
            remove()


def wait_for_all() -> None:
    """Return once every process has come here."""
    if processes()[1] > 1:
        dist.barrier()


def my_part(count: int, size: int = 1) -> slice:
    """Return this process's part of count items in order, cut at multiples of `size`."""
    rank, number = processes()
    blocks = -(-count // size)
    first, end = (blocks * at // number * size for at in (rank, rank + 1))
    return slice(min(first, count), min(end, count))


def joined_rows(values: NDArray[Number], device: torch.device) -> NDArray[Number]:
    """Return the rows (N, ...) of all processes in the order of their ranks.

    Args:
        values: this process's rows (n, D).
        device: on which the group exchanges tensors.
    """
    if processes()[1] == 1:
        return values
    rows: NDArray[Number] = gather(torch.from_numpy(values).to(device)).cpu().numpy()
    return rows


def joined_dicts(values: dict[Value, Any]) -> dict[Value, Any]:
    """Return the items of all processes' dictionaries."""
    count = processes()[1]
    if count == 1:
        return values
    everyone: list[dict[Value, Any]] = [{} for _ in range(count)]
    dist.all_gather_object(everyone, values)
    return {key: value for part in everyone for key, value in part.items()}


def share_optimizer(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Give every process the first one's state of the optimiser.

    Args:
        optimizer: of the same parameters in all processes.
        device: of the parameters.
    """
    if processes()[1] == 1:
        return
    state = optimizer.state_dict()
    # Counters are numbers without dimension on the CPU, whichever device computes.
    counters = {
        place: {name: value for name, value in kept.items() if value.ndim == 0}
        for place, kept in state["state"].items()
    }
    sizes = {
        place: {name: (value.shape, value.dtype) for name, value in kept.items() if value.ndim}
        for place, kept in state["state"].items()
    }
    groups, counters, sizes = from_main((state["param_groups"], counters, sizes))
    shared: dict[int, dict[str, torch.Tensor]] = {}
    for place, named in sizes.items():
        shared[place] = dict(counters[place])
        for name, (shape, kind) in named.items():
            if is_main():
                value = state["state"][place][name].to(device)
            else:
                value = torch.empty(shape, dtype=kind, device=device)
            dist.broadcast(value, src=0)
            shared[place][name] = value
    if not is_main():
        optimizer.load_state_dict({"state": shared, "param_groups": groups})
