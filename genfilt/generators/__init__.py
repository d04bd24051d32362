"""Generators: what writes text about a product, by the name that the command line gives it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from genfilt.common.errors import UsageError
from genfilt.generators.protocols import AttributeReader, Captioner

if TYPE_CHECKING:
    from genfilt.store.store import Store


class Llm(StrEnum):
    """What reads titles."""

    lexicon = "lexicon"
    vllm = "vllm"
    vllm_offline = "vllm-offline"


class Vlm(StrEnum):
    """What describes pictures."""

    neighbours = "neighbours"
    instructblip = "instructblip"
    lavis = "lavis"
    vllm = "vllm"


@dataclass(frozen=True)
class Choice:
    """A generator as the command line names it."""

    kind: str
    model: str | None = None
    url: str | None = None
    refit: bool = False


@contextmanager
def open_reader(store: Store, choice: Choice) -> Iterator[AttributeReader]:
    """Open what reads titles; a server or model that it starts ends with the context."""
    if choice.kind == Llm.lexicon:
        from genfilt.generators.fitted import fitted_lexicon

        yield fitted_lexicon(store, refit=choice.refit)
    elif choice.kind == Llm.vllm:
        from genfilt.generators.llm.served import VllmReader

        if not (choice.model or choice.url):
            raise UsageError("--llm vllm needs --llm-url of a server or --llm-model to serve.")
        with VllmReader(choice.url, choice.model) as reader:
            yield reader
    else:
        from genfilt.generators.llm.vllm_offline import VllmOfflineReader

        if not choice.model:
            raise UsageError("--llm vllm-offline needs --llm-model, a folder or hub name.")
        with VllmOfflineReader(choice.model) as offline:
            yield offline


@contextmanager
def open_captioner(store: Store, choice: Choice) -> Iterator[Captioner]:
    """Open what describes pictures; a server, model or worker that it starts ends with it."""
    if choice.kind == Vlm.neighbours:
        from genfilt.generators.fitted import fitted_neighbours

        yield fitted_neighbours(store, refit=choice.refit)
    elif choice.kind == Vlm.instructblip:
        from genfilt.generators.vlm.instructblip import InstructBlipCaptioner

        if not choice.model:
            raise UsageError(
                "--captioner instructblip needs --captioner-model, a folder or hub name."
            )
        with InstructBlipCaptioner(choice.model) as captioner:
            yield captioner
    elif choice.kind == Vlm.lavis:
        from genfilt.generators.vlm.lavis.lavis import LavisCaptioner

        with LavisCaptioner(choice.model) as lavis:
            yield lavis
    else:
        from genfilt.generators.llm.served import VllmCaptioner

        if not (choice.model or choice.url):
            raise UsageError(
                "--captioner vllm needs --captioner-url of a server or --captioner-model to serve."
            )
        with VllmCaptioner(choice.url, choice.model) as served:
            yield served
