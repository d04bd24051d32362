"""The engine that the command line chooses, and how it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from genfilt.common.errors import UsageError
from genfilt.engines.protocol import Engine


class EngineName(StrEnum):
    """Engine that work runs on."""

    local = "local"
    ray = "ray"


@dataclass(frozen=True)
class EngineChoice:
    """An engine as the command line names it.

    Attributes:
        name: local or ray.
        address: of a Ray cluster, HOST:PORT or auto; "local" for a Ray of this run on this host;
            None for the cluster that runs here, else for a Ray of this run.
        workers: processes; None for as many as the cluster has room for.
        gpus_per_worker: GPUs of each, or a share of one.
    """

    name: EngineName = EngineName.local
    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float = 0.0

    def __post_init__(self) -> None:
        given = {
            "--address": self.address is not None,
            "--workers": self.workers is not None,
            "--gpus-per-worker": self.gpus_per_worker != 0,
        }
        if self.name is EngineName.local and any(given.values()):
            named = ", ".join(option for option, is_given in given.items() if is_given)
            raise UsageError(f"{named} needs --engine ray, got --engine local.")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers must be 1 or more, got {self.workers}.")
        whole = self.gpus_per_worker == int(self.gpus_per_worker)
        if self.gpus_per_worker < 0 or (self.gpus_per_worker > 1 and not whole):
            raise UsageError(
                "--gpus-per-worker must be a share of one GPU or a whole number of them, got "
                f"{self.gpus_per_worker:g}; give 0.5 or 2, say."
            )
        if (self.address or "").startswith("ray://"):
            raise UsageError(
                f"--address must be HOST:PORT of the cluster's head or auto, got {self.address}: "
                "the driver must run on a node of the cluster; use ray job submit."
            )


@contextmanager
def open_engine(choice: EngineChoice) -> Iterator[Engine]:
    """Open an engine; its processes, and a Ray that was started for it, end with the context.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    if choice.name is EngineName.local:
        from genfilt.engines.local import LocalEngine

        yield LocalEngine()
        return
    from genfilt.engines.ray import connect

    with connect(choice) as engine:
        yield engine
