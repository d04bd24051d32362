"""The commands that answer: audit, status, sql, and what is made for people to look at."""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from genfilt.cli.options import DEFAULT_DB, Db, Form
from genfilt.common.console import say
from genfilt.common.output import OutputFormat, show, show_one, write_parquet
from genfilt.store.store import Store


def register(app: typer.Typer) -> None:
    """Add the answering commands to the app, in the order of the method."""
    app.command()(audit)
    app.command()(status)
    app.command()(sql)
    app.command()(report)
    app.command()(export)


def audit(
    target_precision: Annotated[float, typer.Option(help="The precision that is wanted.")] = 0.95,
    base_rate: Annotated[
        float | None, typer.Option(help="Share of relevant pairs in the population meant.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "train",
    embedder: Annotated[
        str | None, typer.Option(help="A sentence-transformers folder or hub name.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="Draw that many corrections for review instead.", min=1)
    ] = None,
    out: Annotated[Path, typer.Option(help="The sheet of --sample.")] = Path(
        "artifacts/review.csv"
    ),
    form: Form = OutputFormat.table,
    db: Db = DEFAULT_DB,
) -> None:
    """Judge the rule at each sigma by labels and reviews.

    With --sample it writes a sheet to fill in, which ingest --reviews reads; from then on audit
    says how precise the corrections are by the sheet's answers.
    """
    from genfilt.features.corpus import load_corpus
    from genfilt.features.embed import Embedder
    from genfilt.features.texts import number_features
    from genfilt.filter.audit import audit as run
    from genfilt.inspect.review import reviewed_precision

    if sample is not None:
        _draw(db, sample, split, out)
        return
    with Store(db) as store:
        reviewed = reviewed_precision(store)
        if reviewed is not None:
            say(str(reviewed))
        number_features(store)
        corpus = load_corpus(store, Embedder(embedder))
        rule = store.scalar("SELECT rule FROM filters WHERE current")
        if rule == "calibrated" and split == "train":
            from genfilt.filter.calibrated.estimated_precision import audit_calibrated

            found = audit_calibrated(
                *(store, corpus, Embedder(embedder)),
                target_precision=target_precision,
                base_rate=base_rate,
            )
        else:
            found = run(
                store, corpus, split=split, target_precision=target_precision, base_rate=base_rate
            )
    if form is OutputFormat.json:
        show_one({**found, "reviewed": None if reviewed is None else asdict(reviewed)})
        return
    say(f"rule {found['rule']}; {found['population']}")
    show(_by_sigma(found), form)
    best = found["best"]
    if best["sigma"] is None:
        say(f"no sigma reaches a precision of {target_precision:g}")
    else:
        say(
            f"best recall at precision >= {target_precision:g}: {best['recall']:.4f} "
            f"(precision {best['precision']:.4f}) with --sigma {best['sigma']:g}"
        )


def _draw(db: Path, size: int, split: str, out: Path) -> None:
    from genfilt.inspect.review import draw_sample, write_sheet

    with Store(db) as store:
        rows = draw_sample(store, size, split=split)
    page = write_sheet(rows, out)
    say(
        f"{len(rows):,} corrections to review in {out}, with pictures in {page}. Fill in verdict "
        f"(1 or 0) and run: genfilt ingest --reviews {out}"
    )


def _by_sigma(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each tenth, each hundredth from 0.9 on, and the best sigma."""
    rows = []
    for place, sigma in enumerate(found["sigma"]):
        if place % 10 and sigma < 0.9 and sigma != found["best"]["sigma"]:
            continue
        row = {"sigma": sigma}
        for name in ("precision", "recall"):
            low, high = found[f"{name}_ci"][place]
            row[name] = found[name][place]
            row[f"{name} 95%"] = "" if low is None else f"{low:.3f}-{high:.3f}"
        rows.append({**row, "pairs": found["pairs"][place]})
    return rows


def status(form: Form = OutputFormat.table, db: Db = DEFAULT_DB) -> None:
    """Say what the database holds, what is missing and what looks wrong."""
    from genfilt.inspect.status import status as run

    with Store(db, read_only=True) as store:
        show(run(store), form)


def sql(
    query: Annotated[str | None, typer.Argument(help="SQL; else it is read from input.")] = None,
    form: Form = OutputFormat.table,
    out: Annotated[Path | None, typer.Option(help="Write a Parquet file instead.")] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Ask the tables in SQL, read-only."""
    from genfilt.store.readonly import ask

    with Store(db, read_only=True) as store:
        answer = ask(store, sys.stdin.read() if query is None else query)
    if out is not None:
        write_parquet(answer, out)
        return say(f"{answer.num_rows:,} rows in {out}")
    return show(answer.to_pylist(), form)


def report(
    out: Annotated[Path, typer.Option(help="The page.")] = Path("artifacts/report.html"),
    db: Db = DEFAULT_DB,
) -> None:
    """Write one page that shows what was found, for people who do not read SQL."""
    from genfilt.inspect.report import write_report

    with Store(db, read_only=True) as store:
        write_report(store, out)
    say(f"{out} ({out.stat().st_size / 1e6:.1f} MB) opens in any browser")


class Exported(StrEnum):
    """What can be exported."""

    positives = "positives"


def export(
    what: Annotated[Exported, typer.Argument(help="positives: query, title, image, source, score")],
    out: Annotated[Path, typer.Option(help="The Parquet file.")],
    split: Annotated[str, typer.Option(help="train, val or test")] = "train",
    db: Db = DEFAULT_DB,
) -> None:
    """Write what is known and found as text and pictures, for other trainers."""
    from genfilt.inspect.export import export_positives

    with Store(db, read_only=True) as store:
        count = export_positives(store, out, split=split)
    say(f"{count:,} {what} of the split {split} in {out}")
