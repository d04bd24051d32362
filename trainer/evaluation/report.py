"""The tables of an evaluation as Markdown, with a legend of their abbreviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainer.evaluation.legend import legend
from trainer.evaluation.markdown_table import table
from trainer.evaluation.measures import CUTS, Estimate, ScoreMetrics
from trainer.evaluation.results import Metrics

NAMED = 5  # products that a remark names
HEADS = ("AUC (95 % interval)", "group AUC", *(f"Recall@{k}" for k in CUTS))


def markdown(metrics: Metrics) -> str:
    """Return the metrics as Markdown tables."""
    size = metrics.candidates
    chance = [number(size.random_recall[k]) for k in CUTS]
    lines = [
        f"Split {metrics.split}: {size.labels} labels, {size.positive_labels} of them positive; "
        f"{size.lists} candidate lists around a {size.relevant}, "
        f"{number(size.mean_list, 1)} products each on average.",
        "",
        *metrics.summary,
        "",
        *table(
            ["score", *HEADS],
            [
                *score_rows(metrics.scores | metrics.untrained),
                ["random order", "0.500", "0.500", *chance],
            ],
        ),
    ]
    for name, group in metrics.query_words.items():
        if not group.queries:
            continue
        lines += [
            f"Queries in {name} words: {group.queries}, with {group.labels} labels, "
            f"{group.positive_labels} of them positive. A word is held out where no train query "
            "and no train title has it.",
            "",
            *table(["score", *HEADS], score_rows(group.scores)),
        ]
    weights = [[name, number(weight)] for name, weight in metrics.image_weight.items()]
    lines += table(["category", "image weight"], weights)
    names = [*metrics.scores, "auc", "gauc", "recall@5"]
    lines += [f"- {line}" for line in legend(names)]
    return "\n".join(lines) + "\n"


def score_rows(scores: Mapping[str, ScoreMetrics]) -> list[list[str]]:
    """Return a row of cells for each score, under HEADS."""
    return [
        [
            name,
            f"{number(score.auc.value)} ({interval(score.auc)})" if interval(score.auc) else "n/a",
            number(score.gauc.value),
            *(number(score.recall[k].value) for k in CUTS),
        ]
        for name, score in scores.items()
    ]


def flat_rows(metrics: Metrics) -> list[dict[str, object]]:
    """Return a row for each score over all queries, then over those in seen and held-out words."""
    parts = {"all": metrics.scores | metrics.untrained} | {
        f"{name} words": group.scores
        for name, group in metrics.query_words.items()
        if group.queries
    }
    return [
        {"queries": part, "score": name} | _flat(score)
        for part, scores in parts.items()
        for name, score in scores.items()
    ]


def _flat(score: ScoreMetrics) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, estimate in score.named().items():
        flat[name] = estimate.value
        flat[f"{name}_ci"] = interval(estimate, 4)
    return flat


def unreadable_remark(product_ids: Sequence[str]) -> str:
    """Return a sentence that names products whose picture file cannot be read."""
    more = f" and {len(product_ids) - NAMED} more" if len(product_ids) > NAMED else ""
    return (
        f"The pictures of {', '.join(product_ids[:NAMED])}{more} cannot be read; "
        "a white picture stands in for each."
    )


def interval(estimate: Estimate, digits: int = 3) -> str:
    """Return a figure's interval, nothing where it is not defined."""
    low, high = estimate.interval
    return "" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a figure as tables show it; "n/a" where it is not defined."""
    return "n/a" if value is None else f"{value:.{digits}f}"
