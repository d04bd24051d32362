"""Tables of an ablation report as Markdown lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from genfilt.common.atomic import replaced
from genfilt.common.photos import jpeg
from genfilt.common.statistics import wilson_interval
from trainer.ablation.compare import Difference, Mean
from trainer.ablation.database_content import found_by_category, generated_texts
from trainer.ablation.evidence import RunGroup
from trainer.ablation.models import FULL, VARIANTS
from trainer.ablation.paper_figures import IMAGE_WEIGHTS, paper_difference, paper_figure
from trainer.evaluation.markdown_table import table
from trainer.evaluation.measures import CUTS

FIGURES = ("auc", *(f"recall@{k}" for k in CUTS))
HEADS = ("AUC", *(f"Recall@{k}" for k in CUTS))
Scored = tuple[str, str]  # a model's key and one of its scores
THUMBNAIL_SIDE, THUMBNAIL_QUALITY = 96, 85
COMPARED_CUT = 10  # the k of Recall@k in comparisons, as in the paper's figures


def all_models(group: RunGroup) -> list[str]:
    """Return Table 2: every model on Q->T, Q->I and Q->M, with the paper's AUC beside."""
    lines: list[str] = []
    for measure in ("Q->T", "Q->I", "Q->M"):
        rows = []
        for key in group.keys:
            means = [group.mean(key, measure, figure) for figure in FIGURES]
            if any(mean is not None for mean in means):
                paper = _paper(key, measure)
                rows.append([group.name_of(key), _millions(group, key), *means, paper])
        chance = [None, "0.500", *_chance(group), None]
        heads = [measure, "weights", *HEADS, "AUC in the paper"]
        lines += table(heads, [*rows, ["random order", *chance]])
    return lines


def _paper(key: str, measure: str) -> str | None:
    found = paper_figure(key, measure, "auc")
    return None if found is None else f"{found:.3f}"


def _millions(group: RunGroup, key: str) -> str | None:
    count = group.results(key)[0].parameters
    return None if count is None else f"{count / 1e6:.1f} M"


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
        [measure, group.name_of(key)]
        + [group.mean(key, measure, figure) for figure in FIGURES]
        + [_paper(key, measure)]
        for key, measure in (
            ("blip2", "Q->T+Q->I"),
            ("blip2-tuned", "Q->T+Q->I"),
            (FULL, "Q->T+Q->I"),
            (FULL, "Q->M"),
        )
        if key in group.keys
    ]
    return table(["score", "model", *HEADS, "AUC in the paper"], rows)


def claims(group: RunGroup) -> list[str]:
    """Return the paper's claims (section 4.4), each as a paired comparison with its conclusion."""
    rows = []
    for name, first, second in _compared(set(group.keys)):
        for figure, k in (("AUC", None), (f"Recall@{COMPARED_CUT}", COMPARED_CUT)):
            paper = paper_difference(first, second, figure.lower())
            cells = _difference(group.gap(first, second, k))
            rows.append([name, figure, *cells, None if paper is None else f"{paper:+.3f}"])
    heads = ["claim", "figure", "difference", "95 % over queries", "p, queries", "p, runs"]
    return table([*heads, "better in", "conclusion", "the paper's"], rows)


def _compared(keys: set[str]) -> Iterator[tuple[str, Scored, Scored]]:
    """Yield claims by name: the first (model, measure) is said to be above the second."""
    for measure in ("Q->T", "Q->I", "Q->T+Q->I"):
        yield f"Q->M above {measure}", (FULL, "Q->M"), (FULL, measure)
    if "bert" in keys:
        yield "Q->M above BERT", (FULL, "Q->M"), ("bert", "Q->T")
        for other, name in (("clip", "CLIP"), ("blip2", "BLIP-2")):
            if other in keys:
                yield f"BERT above {name} zero-shot, titles", ("bert", "Q->T"), (other, "Q->T")
    if "blip2-tuned" in keys:
        for measure in ("Q->T", "Q->I", "Q->T+Q->I"):
            tuned = ("blip2-tuned", measure)
            if "blip2" in keys:
                yield f"BLIP-2 fine-tuned above zero-shot, {measure}", tuned, ("blip2", measure)
            yield f"Query-LIFE above BLIP-2 fine-tuned, {measure}", (FULL, measure), tuned
    for variant in VARIANTS:
        if variant.part is not None and variant.key in keys:
            for measure in ("Q->T", "Q->I", "Q->M"):
                yield f"{variant.part} helps {measure}", (FULL, measure), (variant.key, measure)


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
    """Return Table 6: the picture's weight in M by category and by type, with and without QMF."""
    lines: list[str] = []
    for head, by_type in (("category", False), ("type of product", True)):
        with_it = group.image_weights(FULL, by_type=by_type)
        both = "without-qmf" in group.keys
        without = group.image_weights("without-qmf", by_type=by_type) if both else {}
        most = len(group.units) / 2  # a type that few runs have says little of the rest
        rows = [
            [name, mean, without.get(name)] for name, mean in with_it.items() if mean.runs > most
        ]
        if rows:
            lines += table([head, "with QMF", "without QMF"], rows)
    paper = [[name, *(f"{x:.2f}" for x in pair)] for name, pair in IMAGE_WEIGHTS.items()]
    return lines + table(["in the paper", "with QMF", "without QMF"], paper)


def generators(group: RunGroup, path: Path) -> list[str]:
    """Return Table 7: a sample of titles, their attributes, and their pictures with captions.

    Small copies of the pictures go to the folder of the report at `path`.
    """
    rows = []
    for number, row in enumerate(generated_texts(group.units[0].db)):
        copy = path.with_suffix("") / f"{group.name}-product-{number}.jpg"
        rows.append([row.title, row.attributes, _picture(row.image, copy, path), row.caption])
    return table(["title", "attributes", "picture", "caption"], rows)


def _picture(image: str | None, copy: Path, path: Path) -> str | None:
    """Return a link to a picture's small copy; None where it cannot be read."""
    made = None if image is None else jpeg(Path(image), THUMBNAIL_SIDE, THUMBNAIL_QUALITY)
    if made is None:
        return None
    with replaced(copy) as part:
        part.write_bytes(made)
    return f"![]({os.path.relpath(copy, path.parent)})"


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
