"""Markdown report of all finished runs of a folder, with its figures in files beside it."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from genfilt.common.atomic import write_text
from trainer.ablation import figures, tables
from trainer.ablation.compare import MIN_RUNS, SAMPLES
from trainer.ablation.database_content import content_of
from trainer.ablation.evidence import RunGroup, run_groups
from trainer.ablation.models import FULL
from trainer.ablation.plan import Unit
from trainer.evaluation.legend import legend
from trainer.evaluation.markdown_table import table
from trainer.training import checkpoint

LOSSES = ("itc", "itm", "qic", "qtc", "qmc", "qmm", "qmx")
LIBRARIES = ("torch", "transformers", "sentence-transformers", "bm25s", "numpy", "duckdb")

ATTACK = (
    "The same models, not trained anew, on catalogues with stuffed and misleading titles, wrong "
    "pictures and queries for a brand alone. Q->T reads no picture."
)
FOUND = (
    "Corrections among the judged pairs of the split {split}, which no fit has seen. Judged pairs "
    "are not drawn at random from the catalogue, so precision there is not the catalogue's."
)


def write_report(out: Path, path: Path, command: str | None = None) -> Path:
    """Write the report of OUT's finished runs; figures go to the folder of the report's name.

    Args:
        out: what `run_all` filled.
        path: the Markdown file.
        command: what made the runs, as the report shows it; by default this process's arguments.

    Raises:
        UserError: OUT holds no finished run, or a database of one is gone.
    """
    found = run_groups(out)
    lines = ["# Query-LIFE: baselines and ablations", "", *_made(out, found, command)]
    for group in found:
        lines += _section(group, path)
    write_text(path, "\n".join(lines).rstrip() + "\n", "--report")
    return path


def _made(out: Path, found: list[RunGroup], command: str | None) -> list[str]:
    ran = command or shlex.join(["trainer", *sys.argv[1:]])
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return [
        "```",
        ran,
        "```",
        "",
        f"Python {platform.python_version()}, {libraries}; {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} of them used, "
        f"{'a GPU' if torch.cuda.is_available() else 'no GPU'}.",
        "",
        "Every model is measured on the same labels and the same stored candidate lists. A run is "
        f"one database and one seed; ± is the 95 % t interval over runs, from {MIN_RUNS} runs on. "
        f"Comparisons are paired: {SAMPLES} times all queries are drawn anew, the same for both "
        "models. A claim *holds* where the difference is above 0 with p < 0.05 over queries and "
        "in every run, is *contradicted* where it is below 0 in the same way, and is otherwise "
        '*not shown*. Models marked "small, from scratch" stand in for checkpoints that were not '
        "given; their figures do not carry over to the checkpoints. BERT and fine-tuned BLIP-2 "
        "have the weights of their best epoch on val, which flatters them where val is shown. "
        "Q->M of CLIP and BLIP-2 is query and title as one text, against the picture.",
        "",
        "The paper's own figures (arXiv 2311.14742) stand beside, though they were taken on "
        "another data set, which is not public: they compare in direction alone. Tables 4 and 5 "
        "are not reproduced: people's judgements of a shop's ranking, which `trainer judge` draws "
        "and reads, and an online A/B test, which needs a shop's traffic.",
        "",
        *_databases(out, found),
    ]


def _databases(out: Path, found: list[RunGroup]) -> list[str]:
    rows = [_database_row(unit, out, group.keys) for group in found for unit in group.units]
    heads = ["run", "preset, epochs", "products", "queries", "clicks", "labels", "rule, sigma"]
    more = ["query-product corrections", "image-title corrections", "minutes"]
    return table([*heads, *more], rows)


def _database_row(unit: Unit, out: Path, keys: Sequence[str]) -> list[object]:
    content, config = content_of(unit.db), unit.result(FULL).config
    minutes = sum(unit.result(key).minutes for key in keys)
    epochs = "/".join(_epochs(unit, stage) for stage in (1, 2, 3))
    losses = " with QMX" if config is not None and config.cross_query else ""
    sigma = "" if content.sigma is None else f", {content.sigma:g}"
    return [
        unit.folder.relative_to(out),
        f"{config.preset if config else ''}{losses}, {epochs}",
        content.products,
        content.queries,
        content.clicks,
        content.labels,
        f"{content.rule or 'no filter'}{sigma}",
        content.query_product_corrections,
        content.image_title_corrections,
        f"{minutes:.1f}",
    ]


def _epochs(unit: Unit, stage: int) -> str:
    folder = checkpoint.stage_folder(unit.run(FULL), stage)
    is_there = (checkpoint.current(folder) / checkpoint.CONFIG).is_file()
    return str(checkpoint.load_config(folder).epochs) if is_there else "-"


def _section(group: RunGroup, path: Path) -> list[str]:
    candidates = group.units[0].result(FULL).candidates
    assert candidates is not None
    return [
        f"## {group.name}, split {group.split}",
        "",
        f"Runs: {len(group.units)}. The first has {candidates.labels} labels, "
        f"{candidates.positive_labels} of them positive, and {candidates.lists} lists around "
        f"a {candidates.relevant}.",
        "",
        *_score_tables(group),
        *_figures(group, path),
        *_corrections(group, path),
    ]


def _score_tables(group: RunGroup) -> list[str]:
    return [
        "### Claims",
        "",
        *tables.claims(group),
        "### Table 2: all models",
        "",
        *tables.all_models(group),
        "### Queries in seen and in held-out words",
        "",
        "A query is held out where one of its words stands in no train query and no train title.",
        "",
        *tables.by_query_words(group),
        "### Table 3: the sum of both scores, and the fused product's",
        "",
        *tables.sum_of_scores(group),
        "### Table 6: weight of the picture by category",
        "",
        *tables.image_weights(group),
    ]


def _figures(group: RunGroup, path: Path) -> list[str]:
    shown = {
        name: f"![{name}]({os.path.relpath(place, path.parent)})"
        for name, place in figures.draw_all(group, path.with_suffix("")).items()
    }
    lines = ["### Figure 4: precision and recall, averaged over runs", ""]
    lines += ["Query-LIFE's scores:", "", shown["scores"], ""]
    lines += ["Models, each by the score that reads the most of a product:", "", shown["models"]]
    if "embedding" in shown:
        lines += ["", "### Figure 5: one query's products", "", _figure_5(group), ""]
        lines += [shown["embedding"]]
    lines += ["", "### Training", "", "Query-LIFE, averaged over runs:", "", shown["training"]]
    return [*lines, "", *(f"- {line}" for line in legend(LOSSES)), ""]


def _corrections(group: RunGroup, path: Path) -> list[str]:
    attacked = tables.under_attack(group)
    lines = ["### Attacked catalogues", "", ATTACK, "", *attacked] if attacked else []
    lines += ["### GenFilt by category", "", FOUND.format(split=group.split), ""]
    lines += tables.corrections(group)
    lines += ["### Table 7: attributes and captions by the generators", ""]
    return lines + tables.generators(group, path)


def _figure_5(group: RunGroup) -> str:
    from trainer.ablation.query_vectors import QueryVectors
    from trainer.database.catalogue import load_catalogue
    from trainer.database.reading import open_database

    unit = group.units[0]
    q = QueryVectors.load(unit.run(FULL)).q
    with open_database(unit.db) as connection:
        query = load_catalogue(connection).queries[q].as_py()
    return (
        f'"{query}", the query with the most lists in {unit.folder.parent.name}, with M, title and '
        "picture of its products; BLIP-2 has no M. To the right is the score. The products that "
        "are drawn from the catalogue have no label; some of them are relevant."
    )
