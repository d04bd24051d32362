"""The commands filter and audit: the correction tables, and how precise they are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genfilt.cli.options import (
    DEFAULT_DB,
    Address,
    Db,
    EngineOption,
    Form,
    Gpus,
    Split,
    Workers,
    check_exists,
    recorded,
)
from genfilt.cli.review_sample import DEFAULT_SHEET, write_sample
from genfilt.common import command
from genfilt.common.console import say
from genfilt.common.errors import UsageError
from genfilt.common.output import OutputFormat, interval, show, show_one
from genfilt.engines.choice import EngineChoice, EngineName, open_engine
from genfilt.filter.precision_curve import TARGET_PRECISION
from genfilt.filter.rules import IMAGE_TITLE_SIGMA, MAX_PAIRS, RuleName
from genfilt.store.store import Store

if TYPE_CHECKING:
    from genfilt.filter.audit import Audit

FILTER_EXAMPLES = (
    "genfilt filter --sigma 0.9",
    "genfilt filter --rule paper --sigma 0.8",
    "genfilt filter --sigma auto",
    "genfilt filter --engine ray --address auto",
)
AUDIT_EXAMPLES = (
    "genfilt audit --target-precision 0.95",
    "genfilt audit --sample 200 --out review.csv",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    command.register(app, filter_, *FILTER_EXAMPLES, name="filter")
    command.register(app, audit, *AUDIT_EXAMPLES)


def filter_(
    sigma: Annotated[
        str,
        typer.Option(help="Threshold of a correction, or auto for the one that audit proposes."),
    ] = "0.9",
    rule: Annotated[
        RuleName,
        typer.Option(
            help="paper: a mean cosine; calibrated: a probability; auto: calibrated where the "
            "train clicks or labels suffice to fit it."
        ),
    ] = RuleName.auto,
    floor: Annotated[float | None, typer.Option(help="Store candidates from here on.")] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            help="A sentence-transformers folder or hub name, +bfloat16 after it for faster and "
            "less exact vectors; static: fast, by words alone."
        ),
    ] = None,
    max_pairs: Annotated[
        int, typer.Option(help="Stop before storing more query-product candidates.", min=1)
    ] = MAX_PAIRS,
    max_title_pairs: Annotated[
        int, typer.Option(help="Stop before storing more image-title candidates.", min=1)
    ] = MAX_PAIRS,
    max_per_query: Annotated[
        int | None, typer.Option(help="Store the best candidates of each query alone.", min=1)
    ] = None,
    base_rate: Annotated[
        float | None,
        typer.Option(
            help="Share of relevant pairs among all, where it is known; with four clicks a query "
            "and no labels, among those of queries with clicks."
        ),
    ] = None,
    image_title_sigma: Annotated[
        float, typer.Option(help="The cosine of an image-title correction, under every rule.")
    ] = IMAGE_TITLE_SIGMA,
    engine: EngineOption = EngineName.local,
    address: Address = None,
    workers: Workers = None,
    gpus_per_worker: Gpus = 0.0,
    db: Db = DEFAULT_DB,
) -> None:
    """Write every pair whose score reaches sigma into the correction tables.

    With --engine ray the workers of a cluster embed the texts and join the vectors.
    """
    from genfilt.features.embed import Embedder
    from genfilt.filter.advice import advice, title_advice
    from genfilt.filter.filter import FilterSettings, filter_pairs
    from genfilt.inspect.counts import count_corrections
    from genfilt.inspect.language import foreign_titles

    settings = FilterSettings(
        sigma=_sigma(sigma),
        floor=floor,
        rule=rule.value,
        max_pairs=max_pairs,
        base_rate=base_rate,
        image_title_sigma=image_title_sigma,
        max_title_pairs=max_title_pairs,
        max_per_query=max_per_query,
    )
    chosen = EngineChoice(engine, address, workers, gpus_per_worker)
    with recorded(db, "filter", settings=settings, embedder=embedder, engine=chosen) as (
        store,
        counts,
    ):
        with open_engine(chosen) as runner:
            model = Embedder(embedder, runner)
            made = filter_pairs(store, settings, model)
            pairs = count_corrections(store).title_pairs
            remedies = title_advice(store, model, image_title_sigma, pairs)
        remedies += foreign_titles(store)
        counts["query-product candidates"] = made.qp_candidates
        counts["image-title candidates"] = made.it_candidates
        counts["query-product corrections"] = made.corrections
        counts["of train products"] = made.train_corrections
        counts["new, of train products without a verdict"] = made.new_corrections
        counts["by title alone, without a picture"] = made.title_alone
        counts["image-title corrections (distinct texts)"] = pairs
        if not made.train_corrections:
            remedies.append(advice(store, made.corrections))
    for remedy in remedies:
        say(remedy)


def _sigma(word: str) -> float | None:
    if word == "auto":
        return None
    try:
        return float(word)
    except ValueError:
        raise UsageError(f"--sigma must be a number or auto, got {word}.") from None


def audit(
    target_precision: Annotated[float, typer.Option(help="Precision to reach.")] = TARGET_PRECISION,
    base_rate: Annotated[
        float | None, typer.Option(help="Share of relevant pairs to which precision is reweighted.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Whose labels and reviews count.")] = Split.train,
    embedder: Annotated[
        str | None,
        typer.Option(
            help="A sentence-transformers folder or hub name, or static; by default the current "
            "filter's."
        ),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="Draw that many pairs for review instead.", min=1)
    ] = None,
    out: Annotated[Path, typer.Option(help="The sheet of --sample, a CSV file.")] = DEFAULT_SHEET,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a sheet that is filled in already.")
    ] = False,
    form: Form = OutputFormat.table,
    db: Db = DEFAULT_DB,
) -> None:
    """Measure the rule's precision at each sigma by labels and reviews.

    With --sample it writes a sheet to fill in, which ingest --reviews reads: half corrections,
    half candidates below sigma. From then on audit prints how precise the corrections are by the
    sheet's answers.
    """
    if sample is not None:
        write_sample(db, sample, split, out, overwrite=overwrite)
        return
    check_exists(db)
    from genfilt.features.embed import filter_embedder
    from genfilt.features.texts import number_features
    from genfilt.filter.rules import audit_filter
    from genfilt.inspect.counts import val_audit
    from genfilt.inspect.review import reviewed_precision

    with Store(db) as store:
        reviewed = reviewed_precision(store, split.value)
        for measured in (reviewed, val_audit(store)):
            if measured is not None:
                say(str(measured))
        if split is Split.test:
            say("test labels are read: choose nothing by them")
        number_features(store)
        found = audit_filter(
            store,
            filter_embedder(store, embedder),
            split=split.value,
            target_precision=target_precision,
            base_rate=base_rate,
        )
    if form is OutputFormat.json:
        show_one({**found.as_dict(), "reviewed": None if reviewed is None else asdict(reviewed)})
        return
    _print(found, form)


def _print(found: Audit, form: OutputFormat) -> None:
    from genfilt.filter.audit import forecast_lines

    say(f"rule {found.rule}; {found.population}")
    show(_by_sigma(found), form)
    for line in forecast_lines(found.forecast):
        say(line)
    best, target = found.best, found.target_precision
    if best.sigma is None:
        say(f"no sigma reaches a precision of {target:g}")
    else:
        say(
            f"best recall at precision >= {target:g}: {best.recall:.4f} "
            f"(precision {best.precision:.4f}) with --sigma {best.sigma:g}"
        )


def _by_sigma(found: Audit) -> list[dict[str, object]]:
    """Return one row for each tenth, each hundredth from 0.9 on, and the best sigma."""
    curve = found.curve
    rows: list[dict[str, object]] = []
    for place, sigma in enumerate(curve.sigma):
        if place % 10 and sigma < 0.9 and sigma != found.best.sigma:
            continue
        rows.append(
            {
                "sigma": sigma,
                "precision": curve.precision[place],
                "precision 95%": interval(*curve.precision_ci[place]),
                "recall": curve.recall[place],
                "recall 95%": interval(*curve.recall_ci[place]),
                "pairs": found.pairs[place],
            }
        )
    return rows
