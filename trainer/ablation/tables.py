"""Tables of an ablation report as Markdown lines."""

from __future__ import annotations

from genfilt.common.statistics import wilson_interval
from trainer.ablation.compare import Difference, Mean
from trainer.ablation.database_content import found_by_category, generated_texts
from trainer.ablation.evidence import RunGroup
from trainer.ablation.models import FULL, VARIANTS
from trainer.evaluation.markdown_table import table
from trainer.evaluation.measures import CUTS

FIGURES = ("auc", *(f"recall@{k}" for k in CUTS))
HEADS = ("AUC", *(f"Recall@{k}" for k in CUTS))
COMPARED_CUT = 10  # the k of Recall@k in comparisons, as in the paper's figures


def all_models(group: RunGroup) -> list[str]:
    """Return Table 2: every model on Q->T, Q->I and Q->M."""
    lines: list[str] = []
    for measure in ("Q->T", "Q->I", "Q->M"):
        rows = []
        for key in group.keys:
            means = [group.mean(key, measure, figure) for figure in FIGURES]
            if any(mean is not None for mean in means):
                rows.append([group.name_of(key), *means])
        chance = _chance(group)
        lines += table([measure, *HEADS], [*rows, ["random order", "0.500", *chance]])
    return lines


def by_query_words(group: RunGroup) -> list[str]:
    """Return the AUC of every model over queries in seen words, and in held-out ones."""
    rows: list[list[object]] = []
    for key in group.keys:
        for measure in ("Q->T", "Q->I", "Q->M"):
            seen, unseen = (
                group.auc_by_words(key, measure, held_out=held_out)
                if group.mean(key, measure, "auc")
                else None
                for held_out in (False, True)
            )
            if seen is not None or unseen is not None:
                rows.append([group.name_of(key), measure, seen, unseen])
    return table(["model", "score", "AUC, seen words", "AUC, held-out words"], rows)


def _chance(group: RunGroup) -> list[Mean | None]:
    found = [one.candidates for one in group.results(FULL) if one.candidates is not None]
    return [Mean.of([one.random_recall[k] for one in found]) for k in CUTS]


def sum_of_scores(group: RunGroup) -> list[str]:
    """Return Table 3: the sum of both scores against the score of the fused product."""
    rows = [
        [name, *(group.mean(FULL, measure, figure) for figure in FIGURES)]
        for name, measure in (("Q->T + Q->I", "Q->T+Q->I"), ("Q->M", "Q->M"))
    ]
    return table(["Query-LIFE", *HEADS], rows)


def claims(group: RunGroup) -> list[str]:
    """Return the paper's claims, each as a paired comparison with its conclusion."""
    compared = [
        (f"Q->M above {measure}", (FULL, "Q->M"), (FULL, measure))
        for measure in ("Q->T", "Q->I", "Q->T+Q->I")
    ]
    compared += [
        (f"{part} helps Q->M", (FULL, "Q->M"), (key, "Q->M"))
        for key, part in ((one.key, one.part) for one in VARIANTS if one.part)
        if key in group.keys
    ]
    rows = []
    for name, first, second in compared:
        for figure, k in (("AUC", None), (f"Recall@{COMPARED_CUT}", COMPARED_CUT)):
            rows.append([name, figure, *_difference(group.gap(first, second, k))])
    heads = ["claim", "figure", "difference", "95 % over queries", "p, queries", "p, runs"]
    return table([*heads, "better in", "conclusion"], rows)


def _difference(found: Difference | None) -> list[object]:
    if found is None:
        return [None] * 6
    return [
        f"{found.mean.value:+.3f}" + (f" ± {found.mean.half:.3f}" if found.mean.half else ""),
        f"{found.low:+.3f} to {found.high:+.3f}",
        f"{found.p:.3f}",
        None if found.p_runs is None else f"{found.p_runs:.3f}",
        f"{found.better} of {found.mean.runs}",
        found.conclusion,
    ]


def image_weights(group: RunGroup) -> list[str]:
    """Return Table 6: the picture's weight in M by category, with and without QMF."""
    with_it = group.image_weights(FULL)
    both = "without-qmf" in group.keys
    without = group.image_weights("without-qmf") if both else {}
    rows = [[name, mean, without.get(name)] for name, mean in with_it.items()]
    return table(["category", "with QMF", "without QMF"], rows)


def generators(group: RunGroup) -> list[str]:
    """Return Table 7: a sample of titles, their attributes, and their pictures' captions."""
    rows = generated_texts(group.units[0].db)
    heads = ["title", "attributes", "caption"]
    return table(heads, [[row.title, row.attributes, row.caption] for row in rows])


def corrections(group: RunGroup) -> list[str]:
    """Return GenFilt's precision and recall by category, on judged pairs of the split."""
    total: dict[str | None, list[int]] = {}
    for db in sorted(group.benchmarks):
        for row in found_by_category(db, group.split):
            counts = (row.pairs, row.relevant, row.found, row.found_relevant)
            before = total.get(row.category, [0] * len(counts))
            total[row.category] = [a + b for a, b in zip(before, counts, strict=True)]
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
    if not whole:
        return None
    low, high = wilson_interval(part / whole, whole)
    return f"{part / whole:.3f} ({low:.3f} to {high:.3f})"


def under_attack(group: RunGroup) -> list[str]:
    """Return AUC on the catalogue and on attacked ones, with the picture and without."""
    rows = []
    for key in group.keys:
        for measure in ("Q->T", "Q->I", "Q->M"):
            before = group.mean(key, measure, "auc")
            after = group.attacked(key, measure)
            if before is not None and after is not None:
                lost = f"{after.value - before.value:+.3f}"
                rows.append([group.name_of(key), measure, before, after, lost])
    heads = ["model", "score", "AUC as it is", "AUC attacked", "difference"]
    return table(heads, rows) if rows else []
