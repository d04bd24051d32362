"""The models that an ablation compares: Query-LIFE, itself without a part, and baselines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainer.baselines.baseline import Baseline
from trainer.baselines.blip2 import Blip2
from trainer.baselines.clip import Clip
from trainer.baselines.cross_encoder import CrossEncoder
from trainer.baselines.text_baselines import Bm25, SentenceEmbeddings
from trainer.config import Ablation, ModelConfig


@dataclass(frozen=True)
class Checkpoints:
    """Where baselines take their weights from; None is a small model from scratch."""

    bert: ModelConfig
    clip: str | None = None
    blip2: str | None = None


@dataclass(frozen=True)
class ComparedModel:
    """A model of the tables and figures, by the name of its folder."""

    key: str
    name: str = ""
    """Query-LIFE's in tables; a baseline names itself."""
    without: tuple[Ablation, ...] = ()
    """What Query-LIFE is trained without."""
    part: str | None = None
    """The part that is left out, as claims name it."""
    baseline: Callable[[Checkpoints], Baseline] | None = None
    trained: bool = True
    """False for baselines that learn nothing, which are measured on attacked catalogues too."""
    in_figure: bool = False
    """Whether Figure 4 shows it: no more models than colours can distinguish."""


FULL = "full"
MODELS = (
    ComparedModel(FULL, "Query-LIFE", in_figure=True),
    ComparedModel("without-genfilt", "without GenFilt", ("genfilt",), "GenFilt", in_figure=True),
    ComparedModel("without-qma", "without QMA", ("qma",), "QMA"),
    ComparedModel("without-qmf", "without QMF", ("qmf",), "QMF"),
    ComparedModel("bm25", baseline=lambda _: Bm25(), trained=False, in_figure=True),
    ComparedModel(
        "sentence-embeddings",
        baseline=lambda _: SentenceEmbeddings(),
        trained=False,
        in_figure=True,
    ),
    ComparedModel("bert", baseline=lambda given: CrossEncoder(given.bert), in_figure=True),
    ComparedModel("clip", baseline=lambda given: Clip(given.clip), in_figure=True),
    ComparedModel("blip2", baseline=lambda given: Blip2(given.blip2)),
    ComparedModel(
        "blip2-tuned", baseline=lambda given: Blip2(given.blip2, tuned=True), in_figure=True
    ),
)
VARIANTS = tuple(model for model in MODELS if model.baseline is None)
BASELINES = tuple(model for model in MODELS if model.baseline is not None)


def model_of(key: str) -> ComparedModel:
    """Return the model whose folder is named `key`."""
    return next(model for model in MODELS if model.key == key)
