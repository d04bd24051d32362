"""A Ray cluster as an engine: connected to, or started on this host for one run."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

from genfilt.common.console import is_verbose, say
from genfilt.common.errors import UserError
from genfilt.engines.protocol import BATCH, Item, Lost, Opener, Result

if TYPE_CHECKING:
    from genfilt.engines.choice import EngineChoice

ADDRESS_VARIABLE = "RAY_ADDRESS"
OWN = "local"  # the address that stands for a Ray of the run's own
CONNECTING_SECONDS = 5.0
OWN_STORE_BYTES = 512 << 20  # of shared memory, for batches on their way in a Ray of our own
INSTALL = "pip install 'genfilt[ray]'"


@dataclass(frozen=True)
class RayEngine:
    """Runs work in actors of the connected cluster.

    Attributes:
        workers: how many actors.
        gpus: of each.
    """

    workers: int
    gpus: float = 0.0
    spreads: bool = True

    def map(
        self,
        opener: Opener[Item, Result],
        items: Iterable[tuple[str, Item]],
        *,
        batch: int = BATCH,
        overlap: bool = False,
    ) -> Iterator[tuple[str, Result | Lost]]:
        """Yield (key, result) for each item; see `Engine.map`."""
        from genfilt.engines.ray_pool import Pool

        rest = iter(items)
        first = list(islice(rest, self.workers * batch))
        workers = min(self.workers, -(-len(first) // batch))  # no model opens for nothing
        if workers:
            pool = Pool(opener, workers, self.gpus, overlap=overlap)
            yield from pool.results(chain(first, rest), batch)


@contextmanager
def connect(choice: EngineChoice) -> Iterator[RayEngine]:
    """Connect to the chosen cluster; without an address to one of this host, else start one.

    Raises:
        UserError: Ray is missing, no cluster is there, or it has fewer GPUs than a worker needs.
    """
    try:
        import ray
    except ImportError:
        raise UserError(f"Ray is not installed; run {INSTALL}.") from None
    _quiet()
    with _without_reports():
        try:
            say(_find(choice))
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            yield RayEngine(_workers(resources, choice), choice.gpus_per_worker)
        finally:
            ray.shutdown()


@contextmanager
def _without_reports() -> Iterator[None]:
    """Keep standard output, the answer's place, free of Ray's reports of ended workers."""
    if is_verbose():
        with redirect_stdout(sys.stderr):
            yield
    else:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123
            yield


def _quiet() -> None:
    """Set what Ray reads on its start: no usage reports, GPUs of workers without one untouched."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


def _init(address: str, *, cpus: int | None = None, store: int | None = None) -> str:
    """Connect to a cluster, or with "local" start one; return where it and its dashboard are."""
    import ray

    context = ray.init(
        address,
        num_cpus=cpus,
        object_store_memory=store,
        logging_level=logging.INFO if is_verbose() else logging.ERROR,
        log_to_driver=is_verbose(),
    )
    where, page = ray.get_runtime_context().gcs_address, context.dashboard_url
    return f"ray at {where}" + (f", dashboard at http://{page}" if page else "")


def _find(choice: EngineChoice) -> str:
    address = choice.address or os.environ.get(ADDRESS_VARIABLE)
    if address is None:
        return _running() or _start(choice)
    return _start(choice) if address == OWN else _join(address)


def _running() -> str | None:
    """Connect to a cluster that runs on this host; None without one."""
    try:
        return _init("auto")
    except ConnectionError:
        return None


def _start(choice: EngineChoice) -> str:
    return _init(OWN, cpus=choice.workers or os.cpu_count(), store=OWN_STORE_BYTES)


def _join(address: str) -> str:
    if address.startswith("ray://"):
        raise UserError(
            f"{ADDRESS_VARIABLE} is {address}, and the driver must run on a node of the cluster; "
            "use ray job submit, or set it to HOST:PORT."
        )
    try:
        if address != "auto":
            _check_port(address)
        return _init(address)
    except UserError:
        raise
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError and others
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"No Ray cluster can be joined at {address} ({reason}); start one with ray start "
            "--head, and run this command on one of its nodes."
        ) from None


def _check_port(address: str) -> None:
    """Raise UserError where nothing listens: Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECTING_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"Nothing answers at --address {address} ({error}); give HOST:PORT of the cluster's "
            "head (6379 by default), or auto on one of its nodes."
        ) from None


def _workers(resources: dict[str, float], choice: EngineChoice) -> int:
    """Return how many workers were asked for, or else fit."""
    cpus, gpus = int(resources.get("CPU", 0)), resources.get("GPU", 0.0)
    if choice.gpus_per_worker > gpus:
        raise UserError(
            f"--gpus-per-worker is {choice.gpus_per_worker:g} and the cluster has {gpus:g} GPUs; "
            "start nodes with GPUs, or ask for fewer."
        )
    fit = cpus
    if choice.gpus_per_worker:
        fit = min(cpus, int(gpus / choice.gpus_per_worker + 1e-9))
    wanted = choice.workers or max(1, fit)
    room = "" if wanted <= fit else f", of which {fit} find room now"
    say(f"{wanted} workers{room}")
    return wanted
