"""The generators by the names that the command line gives them, and how each is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from genfilt.common.errors import UsageError
from genfilt.generators.protocols import AttributeReader, Captioner

if TYPE_CHECKING:
    from genfilt.store.store import Store


class Llm(StrEnum):
    """Readers of titles."""

    lexicon = "lexicon"
    tagger = "tagger"
    vllm = "vllm"
    vllm_offline = "vllm-offline"


class Vlm(StrEnum):
    """Captioners of pictures."""

    neighbours = "neighbours"
    instructblip = "instructblip"
    lavis = "lavis"
    vllm = "vllm"


@dataclass(frozen=True)
class GeneratorChoice:
    """A generator as the command line names it.

    Attributes:
        kind: a value of Llm or Vlm.
        model: a folder or hub name, for the generators that load or serve a model.
        urls: of OpenAI-compatible servers, which share the items.
        refit: fit an embedded generator anew.
        prompt: a file with another caption prompt; None for the packaged one.
    """

    kind: str
    model: str | None = None
    urls: tuple[str, ...] = ()
    refit: bool = False
    prompt: Path | None = None


@contextmanager
def open_reader(store: Store, choice: GeneratorChoice) -> Iterator[AttributeReader]:
    """Open a reader of titles; a server or model that it starts ends with the context."""
    if choice.kind == Llm.lexicon:
        from genfilt.generators.fitted import fitted_lexicon

        yield fitted_lexicon(store, refit=choice.refit)
    elif choice.kind == Llm.tagger:
        from genfilt.generators.fitted import fitted_tagger

        yield fitted_tagger(store, refit=choice.refit)
    else:
        with open_model_reader(choice) as reader:
            yield reader


@contextmanager
def open_model_reader(choice: GeneratorChoice) -> Iterator[AttributeReader]:
    """Open a reader that needs no fit to the catalogue."""
    if choice.kind == Llm.vllm:
        from genfilt.generators.llm.served import VllmReader

        if not (choice.model or choice.urls):
            raise UsageError("--llm vllm needs --llm-url of a server or --llm-model to serve.")
        with VllmReader(choice.urls, choice.model) as reader:
            yield reader
    else:
        from genfilt.generators.llm.vllm_offline import VllmOfflineReader

        if not choice.model:
            raise UsageError("--llm vllm-offline needs --llm-model, a folder or hub name.")
        with VllmOfflineReader(choice.model) as offline:
            yield offline


@contextmanager
def open_captioner(store: Store, choice: GeneratorChoice) -> Iterator[Captioner]:
    """Open a captioner; a server, model or worker that it starts ends with the context."""
    if choice.kind == Vlm.neighbours:
        from genfilt.generators.fitted import fitted_neighbours

        yield fitted_neighbours(store, refit=choice.refit)
    else:
        with open_model_captioner(choice) as captioner:
            yield captioner


@contextmanager
def open_model_captioner(choice: GeneratorChoice) -> Iterator[Captioner]:
    """Open a captioner that needs no fit to the catalogue."""
    if choice.kind == Vlm.instructblip:
        from genfilt.generators.vlm.instructblip import InstructBlipCaptioner

        if not choice.model:
            raise UsageError(
                "--captioner instructblip needs --captioner-model, a folder or hub name."
            )
        with InstructBlipCaptioner(choice.model, prompt=choice.prompt) as captioner:
            yield captioner
    elif choice.kind == Vlm.lavis:
        from genfilt.generators.vlm.lavis.lavis import LavisCaptioner

        with LavisCaptioner(choice.model, prompt=choice.prompt) as lavis:
            yield lavis
    else:
        from genfilt.generators.llm.served import VllmCaptioner

        if not (choice.model or choice.urls):
            raise UsageError(
                "--captioner vllm needs --captioner-url of a server or --captioner-model to serve."
            )
        with VllmCaptioner(choice.urls, choice.model, prompt=choice.prompt) as served:
            yield served


def reader_from_state(kind: str, state: bytes) -> AttributeReader:
    """Return a fitted reader from what its fit learnt, as on a worker without the database."""
    if kind == Llm.lexicon:
        from genfilt.generators.lexicon.lexicon import Lexicon

        return Lexicon.from_state(state)
    from genfilt.generators.tagger.tagger import Tagger

    return Tagger.from_state(state)
