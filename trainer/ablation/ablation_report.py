"""One Markdown report of all runs that a folder holds, with its figures beside it."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from trainer.ablation import figures, tables
from trainer.ablation.compare import FEWEST, SAMPLES
from trainer.ablation.database_content import content_of
from trainer.ablation.evidence import RunGroup, populations
from trainer.ablation.plan import FULL, Unit
from trainer.training import checkpoint

LIBRARIES = ("torch", "transformers", "sentence-transformers", "bm25s", "numpy", "duckdb")


def write_report(out: Path, path: Path, command: str | None = None) -> Path:
    """Write the report of OUT's finished runs; figures go to the folder of the report's name.

    Args:
        out: what `run_all` filled.
        path: the Markdown file.
        command: what made the runs, as the report shows it; this process's arguments else.

    Raises:
        UserError: OUT holds no finished run, or a database of one is gone.
    """
    found = populations(out)
    lines = ["# Query-LIFE: baselines and ablations", "", *_made(out, found, command)]
    for population in found:
        lines += _section(population, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines).rstrip() + "\n", "utf-8")
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
        f"one database and one seed; ± is the 95 % t interval over runs, from {FEWEST} runs on. "
        f"Comparisons are paired: {SAMPLES} times all queries are drawn anew, the same for both "
        "models. A claim *holds* where the difference is above 0 with p < 0.05 over queries and "
        "in every run, is *contradicted* where it is below 0 in the same way, and is *not shown* "
        'else. Models marked "small, from scratch" stand in for checkpoints that were not '
        "given; they say nothing of the checkpoints' strength.",
        "",
        "The paper's own figures were taken on another data set, which is not public, and are not "
        "repeated here; see arXiv 2311.14742.",
        "",
        *_databases(out, found),
    ]


def _databases(out: Path, found: list[RunGroup]) -> list[str]:
    rows = []
    for population in found:
        for unit in population.units:
            said = content_of(unit.db)
            minutes = sum(unit.metrics(key)["minutes"] for key in population.keys)
            chosen = unit.metrics(FULL)["config"]
            epochs = [_epochs(unit, stage) for stage in (1, 2, 3)]
            losses = " with QMX" if chosen.get("cross_query") else ""
            rows.append(
                [
                    unit.folder.relative_to(out),
                    f"{chosen['preset']}{losses}, {'/'.join(epochs)}",
                    *(said[name] for name in ("products", "queries", "clicks", "labels")),
                    f"{said['rule']}, {said['sigma']:g}",
                    said["query_product_corrections"],
                    said["image_title_corrections"],
                    f"{minutes:.1f}",
                ]
            )
    heads = ["run", "preset, epochs", "products", "queries", "clicks", "labels", "rule, sigma"]
    more = ["query-product corrections", "image-title corrections", "minutes"]
    return tables.table([*heads, *more], rows)


def _epochs(unit: Unit, stage: int) -> str:
    folder = checkpoint.stage_folder(unit.run(FULL), stage)
    is_there = (folder / checkpoint.CONFIG).is_file()
    return str(checkpoint.load_config(folder).epochs) if is_there else "none"


def _section(population: RunGroup, path: Path) -> list[str]:
    pictures = figures.draw_all(population, path.with_suffix(""))
    shown = {
        name: f"![{name}]({os.path.relpath(place, path.parent)})"
        for name, place in pictures.items()
    }
    candidates = population.units[0].metrics(FULL)["candidates"]
    lines = [
        f"## {population.name}, split {population.split}",
        "",
        f"Runs: {len(population.units)}. The first has {candidates['labels']} labels, "
        f"{candidates['positive_labels']} of them positive, and {candidates['lists']} lists around "
        f"a {candidates['relevant']}.",
        "",
        "### Claims",
        "",
        *tables.claims(population),
        "### Table 2: all models",
        "",
        *tables.all_models(population),
        "### Table 3: the sum of both scores, and the fused product's",
        "",
        *tables.sum_of_scores(population),
        "### Table 6: weight of the picture by category",
        "",
        *tables.image_weights(population),
        "### Figure 4: precision and recall, averaged over runs",
        "",
        "Query-LIFE's scores:",
        "",
        shown["scores"],
        "",
        "Models, each by the score that reads the most of a product:",
        "",
        shown["models"],
        "",
    ]
    if "embedding" in shown:
        lines += ["### Figure 5: one query's products", "", _figure_5(population), ""]
        lines += [shown["embedding"], ""]
    lines += ["### Training", "", "Query-LIFE, averaged over runs:", "", shown["training"], ""]
    attacked = tables.under_attack(population)
    if attacked:
        lines += ["### Attacked catalogues", "", ATTACK, "", *attacked]
    lines += ["### GenFilt by category", "", FOUND.format(split=population.split), ""]
    lines += tables.corrections(population)
    lines += ["### Table 7: what the generators said", "", *tables.generators(population)]
    return lines


ATTACK = (
    "The same models, not trained anew, on catalogues with stuffed and misleading titles, wrong "
    "pictures and queries for a brand alone. Q->T reads no picture."
)
FOUND = (
    "Corrections among the judged pairs of the split {split}, which no fit has seen. Judged pairs "
    "are not drawn at random from the catalogue, so precision there is not the catalogue's."
)


def _figure_5(population: RunGroup) -> str:
    import numpy as np

    from trainer.ablation.runs import VECTORS
    from trainer.database.catalogue import load_catalogue
    from trainer.database.known_pairs import open_database

    unit = population.units[0]
    with np.load(unit.run(FULL) / VECTORS) as kept:
        q = int(kept["q"])
    with open_database(unit.db) as connection:
        query = load_catalogue(connection).queries[q].as_py()
    return (
        f'"{query}", the query with the most lists in {unit.folder.parent.name}. To the right is '
        "the score. Of the products that are drawn from the catalogue nobody said whether they "
        "are relevant; some are."
    )
