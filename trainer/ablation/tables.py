"""The report's tables as Markdown lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from trainer.ablation.compare import Difference, Mean
from trainer.ablation.database_content import found_by_category, said_by_generators
from trainer.ablation.evidence import RunGroup
from trainer.ablation.plan import FULL
from trainer.evaluation.evaluate import CUTS

FIGURES = ("auc", *(f"recall@{k}" for k in CUTS))
HEADS = ("AUC", *(f"Recall@{k}" for k in CUTS))
CHOSEN = 10  # the k of comparisons
ABLATIONS = {"without-genfilt": "GenFilt", "without-qma": "QMA", "without-qmf": "QMF"}


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return a Markdown table; None is an empty cell, pipes in texts are escaped."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    return [*lines, ""]


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def all_models(population: RunGroup) -> list[str]:
    """Return Table 2: every model on Q->T, Q->I and Q->M."""
    lines: list[str] = []
    for measure in ("Q->T", "Q->I", "Q->M"):
        rows = []
        for key in population.keys:
            means = [population.mean(key, measure, figure) for figure in FIGURES]
            if any(mean is not None for mean in means):
                rows.append([population.name_of(key), *means])
        chance = _chance(population)
        lines += table([measure, *HEADS], [*rows, ["random order", "0.500", *chance]])
    return lines


def _chance(population: RunGroup) -> list[Mean | None]:
    found = [one["candidates"] for one in population.metrics(FULL)]
    return [Mean.of([one[f"random_recall@{k}"] for one in found]) for k in CUTS]


def sum_of_scores(population: RunGroup) -> list[str]:
    """Return Table 3: the sum of both scores against the score of the fused product."""
    rows = [
        [name, *(population.mean(FULL, measure, figure) for figure in FIGURES)]
        for name, measure in (("Q->T + Q->I", "Q->T+Q->I"), ("Q->M", "Q->M"))
    ]
    return table(["Query-LIFE", *HEADS], rows)


def claims(population: RunGroup) -> list[str]:
    """Return the paper's claims, each as a paired comparison, and what can be said of it."""
    compared = [
        (f"Q->M above {measure}", (FULL, "Q->M"), (FULL, measure))
        for measure in ("Q->T", "Q->I", "Q->T+Q->I")
    ]
    compared += [
        (f"{part} helps Q->M", (FULL, "Q->M"), (key, "Q->M"))
        for key, part in ABLATIONS.items()
        if key in population.keys
    ]
    rows = []
    for name, first, second in compared:
        for figure, k in (("AUC", None), (f"Recall@{CHOSEN}", CHOSEN)):
            rows.append([name, figure, *_difference(population.gap(first, second, k))])
    heads = ["claim", "figure", "difference", "95 % over queries", "p, queries", "p, runs"]
    return table([*heads, "better in", "here"], rows)


def _difference(found: Difference | None) -> list[Any]:
    if found is None:
        return [None] * 6
    return [
        f"{found.mean.value:+.3f}" + (f" ± {found.mean.half:.3f}" if found.mean.half else ""),
        f"{found.low:+.3f} to {found.high:+.3f}",
        f"{found.p:.3f}",
        None if found.p_runs is None else f"{found.p_runs:.3f}",
        f"{found.better} of {found.mean.runs}",
        found.verdict,
    ]


def image_weights(population: RunGroup) -> list[str]:
    """Return Table 6: the picture's weight in M by category, with and without QMF."""
    with_it = population.image_weights(FULL)
    both = "without-qmf" in population.keys
    without = population.image_weights("without-qmf") if both else {}
    rows = [[name, mean, without.get(name)] for name, mean in with_it.items()]
    return table(["category", "with QMF", "without QMF"], rows)


def generators(population: RunGroup) -> list[str]:
    """Return Table 7: a sample of titles, what was read in them, and how pictures are described."""
    rows = said_by_generators(population.units[0].db)
    heads = ["title", "attributes", "caption"]
    return table(heads, [[row[head] for head in heads] for row in rows])


def corrections(population: RunGroup) -> list[str]:
    """Return GenFilt's precision and recall by category, on judged pairs of the split."""
    total: dict[str | None, list[int]] = {}
    names = ("pairs", "relevant", "found", "right_ones")
    for db in sorted(population.benchmarks):
        for row in found_by_category(db, population.split):
            kept = total.setdefault(row["category"], [0, 0, 0, 0])
            for place, name in enumerate(names):
                kept[place] += row[name]
    order = sorted(total, key=lambda name: (name is None, name or ""))
    rows = []
    for category in order:
        pairs, relevant, found, right = total[category]
        rows.append(
            [
                "all" if category is None else category,
                pairs,
                relevant,
                found,
                _share(right, found),
                _share(right, relevant),
            ]
        )
    heads = ["category", "judged pairs", "relevant", "found", "precision", "recall"]
    return table(heads, rows)


def _share(part: int, whole: int) -> str | None:
    """Return a share with Wilson's 95 % interval."""
    from scipy.stats import binomtest

    if not whole:
        return None
    ends = binomtest(part, whole).proportion_ci(0.95, "wilson")
    return f"{part / whole:.3f} ({ends.low:.3f} to {ends.high:.3f})"


def under_attack(population: RunGroup) -> list[str]:
    """Return AUC on the catalogue and on attacked ones, with the picture and without."""
    rows = []
    for key in population.keys:
        for measure in ("Q->T", "Q->I", "Q->M"):
            before = population.mean(key, measure, "auc")
            after = population.attacked(key, measure)
            if before is not None and after is not None:
                lost = f"{after.value - before.value:+.3f}"
                rows.append([population.name_of(key), measure, before, after, lost])
    heads = ["model", "score", "AUC as it is", "AUC attacked", "difference"]
    return table(heads, rows) if rows else []
