"""The model card of an export: data, figures with intervals, intended use and limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from genfilt.common.atomic import write_text
from trainer.config import FitConfig
from trainer.evaluation.markdown_table import table
from trainer.evaluation.measures import ScoreMetrics
from trainer.evaluation.report import HEADS, score_rows
from trainer.model.parameters import parameter_report
from trainer.model.query_life import QueryLife
from trainer.training import checkpoint
from trainer.training.run_log import SUMMARY, Summary

CARD, METRICS = "README.md", "metrics.json"
ROWS = {1: "train products", 2: "train clicks", 3: "train labels"}
Values: TypeAlias = Mapping[str, object]


def write_model_card(model: QueryLife, run: Path, folder: Path) -> None:
    """Write README.md into an exported model's folder, in place of one that is there.

    Args:
        model: that was exported.
        run: the run's folder, whose metrics.json is quoted where it is of the exported weights.
        folder: of the export.

    Raises:
        UserError: the run cannot be read, or the file cannot be written.
    """
    stage = checkpoint.latest_stage(run)
    config = checkpoint.load_config(stage)
    lines = [*_header(), *_training(run), *_figures(run, config), *_use(model)]
    write_text(folder / CARD, "\n".join(lines) + "\n", "--to")


def _header() -> Iterator[str]:
    yield from ("---", "pipeline_tag: sentence-similarity", "tags: [query-life, search]", "---", "")
    yield from ("# Query-LIFE relevance model", "")
    yield "Scores how well a product, by title and picture, answers a search query: two towers"
    yield "whose unit vectors have the score as inner product (arXiv 2311.14742). Trained by"
    yield "genfilt's trainer; read it with `RelevanceModel.from_pretrained(folder)`."
    yield ""


def _training(run: Path) -> Iterator[str]:
    yield from ("## Training data", "")
    rows = []
    for number, what in ROWS.items():
        stage = checkpoint.stage_folder(run, number)
        if not (checkpoint.current(stage) / SUMMARY).is_file():
            continue  # not trained, or by another program than fit
        summary, config = Summary.read(stage), checkpoint.load_config(stage)
        chosen = f"epoch {summary.best_epoch}, best on val" if summary.best_epoch else "last"
        corrections = summary.image_title_corrections
        if number > 1:
            corrections += summary.query_product_corrections
        left_out = ", ".join(config.without) or "nothing"
        sizes = (summary.rows, what, config.epochs, config.batch_size, config.seed)
        rows.append([number, *sizes, corrections, left_out, chosen])
    heads = ("stage", "rows", "of", "epochs", "batch", "seed", "corrections", "without", "weights")
    yield from table(heads, rows)
    yield "Rows are of the train split alone; val and test products, clicks and labels are not in"
    yield "them. Corrections are the false negatives that genfilt found and training took as"
    yield "positive."
    yield ""


def _figures(run: Path, config: FitConfig) -> Iterator[str]:
    yield from ("## Figures", "")
    values = _metrics(run, config)
    if values is None:
        yield "Not measured: run `trainer evaluate`, then export again."
        yield ""
        return
    sizes, split = _mapping(values["candidates"]), values["split"]
    yield (
        f"On split {split}: {sizes['labels']} labels, {sizes['positive_labels']} of them positive; "
        f"{sizes['lists']} candidate lists around a {sizes['relevant']}. Intervals are 95 %, over "
        "queries. Untrained scores stand beside the trained ones."
    )
    yield ""
    yield from table(["score", *HEADS], score_rows(_scores(values) | _scores(values["untrained"])))
    for name, group in _mapping(values["query_words"]).items():
        if found := _scores(group):
            yield f"Queries in {name} words (held out: no train query or title has the word):"
            yield ""
            yield from table(["score", *HEADS], score_rows(found))


def _use(model: QueryLife) -> Iterator[str]:
    config = model.config
    yield from ("## Intended use", "")
    yield "Ranking and filtering candidates of the catalogue that it was trained on, or of one in"
    yield "the same language with like products and pictures. Measure it on your own labels first."
    yield ""
    yield from ("## Limits", "")
    yield "- The score orders pairs; it is no probability, and its level differs between trainings."
    yield "- Clicks measure what was shown as well as what was wanted."
    yield "- Queries in words that training lacks may be scored worse: see held-out words above."
    yield f"- Texts are cut after {config.max_text_length} tokens, pictures are read at "
    yield f"  {model.image_transform.size} x {model.image_transform.size} pixels; a product without"
    yield "  a picture is scored with a white one."
    yield "- It has not been tested for unequal treatment of sellers, brands or languages."
    yield ""
    yield from ("## Sizes", "")
    yield f"Vectors of width {model.width}. {parameter_report(model)}"


def _metrics(run: Path, config: FitConfig) -> Values | None:
    """Return metrics.json where it was measured on the run's last stage as it is now."""
    try:
        values: Values = json.loads((run / METRICS).read_text("utf-8"))
        measured = FitConfig.from_dict(_mapping(values["config"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values if measured == config else None


def _scores(values: object) -> dict[str, ScoreMetrics]:
    """Return the scores among the values of metrics.json."""
    return {
        name: ScoreMetrics.from_dict(score)
        for name, score in _mapping(values).items()
        if isinstance(score, dict) and "auc_ci" in score
    }


def _mapping(values: object) -> Mapping[str, object]:
    if not isinstance(values, dict):
        raise ValueError(f"an object is wanted, got {values!r}")
    return values
