"""Readers and captioners whose items are spread over the workers of an engine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from genfilt.common.errors import UserError
from genfilt.engines.local_pool import LocalPool
from genfilt.engines.protocol import Engine, Lost, Work
from genfilt.generators.neighbours.neighbours import Neighbours
from genfilt.generators.protocols import (
    AttributeReader,
    Attributes,
    Caption,
    Captioner,
    Failure,
)
from genfilt.generators.registry import (
    GeneratorChoice,
    Llm,
    Vlm,
    open_model_captioner,
    open_model_reader,
    reader_from_state,
)

LOST = "worker was lost"  # the reason of an item that ended or failed its workers each time
TITLES_PER_BATCH = 512
PICTURES_PER_BATCH = 32
REQUESTS_PER_BATCH = 256  # of items that wait for a server


@runtime_checkable
class Fitted(Protocol):
    """A generator that learnt from the catalogue."""

    def state(self) -> bytes:
        """Return what it learnt."""
        ...


Read = Work[str, Attributes | Failure]
Describe = Work[Path, Caption | Failure]


@dataclass(frozen=True)
class ReaderOpener:
    """Opens a reader in a worker.

    Attributes:
        choice: how it is opened.
        name, prompt_key: of the driver's reader, which the worker's must have too.
        state: what the driver's reader learnt from the catalogue; None for one without a fit.
    """

    choice: GeneratorChoice
    name: str
    prompt_key: str
    state: bytes | None

    @contextmanager
    def __call__(self) -> Iterator[Read]:
        """Open the reader; a server that it starts ends with the context."""
        if self.state is not None:
            fitted = reader_from_state(self.choice.kind, self.state)
            _check(fitted, self.name, self.prompt_key)
            yield fitted.read
            return
        with open_model_reader(self.choice) as reader:
            _check(reader, self.name, self.prompt_key)
            yield reader.read


@dataclass(frozen=True)
class CaptionerOpener:
    """Opens a captioner in a worker; attributes as those of ReaderOpener.

    Attributes:
        sample: a picture that the driver sees, and each worker must see at the same path.
    """

    choice: GeneratorChoice
    name: str
    prompt_key: str
    state: bytes | None
    sample: Path | None

    @contextmanager
    def __call__(self) -> Iterator[Describe]:
        """Open the captioner; a server that it starts ends with the context."""
        if self.sample is not None and not self.sample.is_file():
            raise UserError(
                f"The worker on {platform.node()} does not see {self.sample}; mount the pictures "
                "at the same path on every node."
            )
        if self.state is not None:
            fitted = Neighbours.from_state(self.state)
            _check(fitted, self.name, self.prompt_key)
            yield fitted.describe
            return
        with open_model_captioner(self.choice) as captioner:
            _check(captioner, self.name, self.prompt_key)
            yield captioner.describe


class SpreadReader:
    """A reader whose titles an engine's workers read."""

    def __init__(self, reader: AttributeReader, choice: GeneratorChoice, engine: Engine) -> None:
        self.name, self.prompt_key = reader.name, reader.prompt_key
        self._opener = ReaderOpener(choice, self.name, self.prompt_key, _state(reader))
        self._engine, self._waits = engine, choice.kind == Llm.vllm

    def read(self, titles: Mapping[str, str]) -> Iterator[tuple[str, Attributes | Failure]]:
        """Yield (title key, result) for each title, in any order.

        Raises UserError where no worker can read them.
        """
        size = REQUESTS_PER_BATCH if self._waits else TITLES_PER_BATCH
        found = self._engine.map(self._opener, titles.items(), batch=size, overlap=self._waits)
        for key, result in found:
            yield key, Failure(LOST, result.detail) if isinstance(result, Lost) else result


class SpreadCaptioner:
    """A captioner whose pictures an engine's workers describe."""

    def __init__(self, captioner: Captioner, choice: GeneratorChoice, engine: Engine) -> None:
        self.name, self.prompt_key = captioner.name, captioner.prompt_key
        self._state, self._choice, self._engine = _state(captioner), choice, engine

    def describe(self, pictures: Mapping[str, Path]) -> Iterator[tuple[str, Caption | Failure]]:
        """Yield (image key, result) for each picture, in any order.

        Raises UserError where no worker can describe them.
        """
        waits = self._choice.kind == Vlm.vllm
        size = REQUESTS_PER_BATCH if waits else PICTURES_PER_BATCH
        sample = next((path.absolute() for path in pictures.values() if path.is_file()), None)
        opener = CaptionerOpener(self._choice, self.name, self.prompt_key, self._state, sample)
        files = ((key, path.absolute()) for key, path in pictures.items())
        for key, result in self._engine.map(opener, files, batch=size, overlap=waits):
            yield key, Failure(LOST, result.detail) if isinstance(result, Lost) else result


def spread_reader(
    reader: AttributeReader, choice: GeneratorChoice, engine: Engine
) -> AttributeReader:
    """Return the reader as the engine runs it: itself where the engine is this process."""
    return SpreadReader(reader, choice, engine) if engine.spreads else reader


def spread_captioner(captioner: Captioner, choice: GeneratorChoice, engine: Engine) -> Captioner:
    """Return the captioner as the engine runs it: itself where the engine is this process."""
    return SpreadCaptioner(captioner, choice, engine) if engine.spreads else captioner


def captioner_engine(engine: Engine, choice: GeneratorChoice, workers: int | None) -> Engine:
    """Return the engine that describes pictures: for InstructBLIP here, a process for each GPU.

    Args:
        engine: of the command; one that spreads is kept.
        choice: the captioner's.
        workers: processes; None for one a GPU, and this one alone where there is at most one.
    """
    if engine.spreads or choice.kind != Vlm.instructblip:
        return engine
    gpus = visible_gpus()
    count = workers or len(gpus)
    return LocalPool(count, gpus) if count > 1 else engine


def visible_gpus() -> tuple[str, ...]:
    """Return the names of this process's GPUs, as CUDA_VISIBLE_DEVICES has them."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return tuple(given.split(",")[:count] if given else map(str, range(count)))


def _state(generator: AttributeReader | Captioner) -> bytes | None:
    """Return what a generator learnt from the catalogue; None for one without a fit."""
    return generator.state() if isinstance(generator, Fitted) else None


def _check(opened: AttributeReader | Captioner, name: str, prompt_key: str) -> None:
    """Raise UserError where a worker's generator would give other results than the driver's."""
    if (opened.name, opened.prompt_key) != (name, prompt_key):
        raise UserError(
            f"The worker on {platform.node()} opens {opened.name} with rules {opened.prompt_key}, "
            f"and the driver {name} with {prompt_key}: install the same genfilt on every node."
        )
