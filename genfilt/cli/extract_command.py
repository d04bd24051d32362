"""The commands extract and setup: generators that read titles and describe pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genfilt.cli.options import (
    DEFAULT_DB,
    Address,
    Counts,
    Db,
    EngineOption,
    Gpus,
    check_exists,
    recorded,
)
from genfilt.common import command
from genfilt.common.console import complain, say
from genfilt.common.errors import UsageError
from genfilt.common.output import OutputFormat, show
from genfilt.engines.choice import EngineName
from genfilt.generators.registry import GeneratorChoice, Llm, Vlm
from genfilt.store.store import Store

if TYPE_CHECKING:
    from genfilt.engines.protocol import Engine
    from genfilt.extract.missing import StepCounts

EXAMPLES = (
    "genfilt extract",
    "genfilt extract --llm-url http://127.0.0.1:8000/v1",
    "genfilt extract --estimate --llm-model models/reader",
    "genfilt extract --engine ray --address auto --captioner instructblip "
    "--captioner-model Salesforce/instructblip-flan-t5-xl --gpus-per-worker 1",
    "genfilt extract --captioner-model Salesforce/instructblip-flan-t5-xl --workers 2",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    command.register(app, extract, *EXAMPLES)


def register_setup(app: typer.Typer) -> None:
    """Add the group setup to the app."""
    setup = typer.Typer(no_args_is_help=True)
    command.register(setup, lavis, "genfilt setup lavis")
    setup.callback()(_setup)
    app.add_typer(setup, name="setup")


def _setup() -> None:
    """Prepare what needs an environment of its own."""


def extract(
    llm: Annotated[Llm | None, typer.Option(help="What reads titles.")] = None,
    llm_model: Annotated[str | None, typer.Option(help="A model folder or hub name.")] = None,
    llm_url: Annotated[
        list[str] | None,
        typer.Option(
            envvar="GENFILT_LLM_URL",
            help="URL of an OpenAI-compatible server; given several times, they share the titles.",
        ),
    ] = None,
    captioner: Annotated[Vlm | None, typer.Option(help="What describes pictures.")] = None,
    captioner_model: Annotated[str | None, typer.Option(help="A model folder or hub name.")] = None,
    captioner_url: Annotated[
        list[str] | None,
        typer.Option(help="URL of a served vision model; several share the pictures."),
    ] = None,
    prompt: Annotated[
        Path | None, typer.Option(help="A text file that replaces the caption prompt.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit the embedded generators to the catalogue anew.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Retry the items that failed before.")
    ] = False,
    replace_given: Annotated[
        bool,
        typer.Option(
            "--replace-given", help="Read anew what ingest --attributes and --captions gave."
        ),
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Read 200 titles and print what the rest will take.")
    ] = False,
    price: Annotated[
        str | None,
        typer.Option(help="Price of a million tokens in and out for --estimate, as 0.1,0.4."),
    ] = None,
    engine: EngineOption = EngineName.local,
    address: Address = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Ray workers, by default as many as find room; with --captioner instructblip on "
            "this host processes, by default one for each GPU.",
        ),
    ] = None,
    gpus_per_worker: Gpus = 0.0,
    db: Db = DEFAULT_DB,
) -> None:
    """Read each title into attributes and describe each picture.

    Without options the embedded generators do it, on any machine: a lexicon and the nearest
    neighbours. With --llm-url or --llm-model vLLM reads titles, with --captioner-model
    InstructBLIP describes pictures. With --engine ray the workers of a cluster do it.
    Attributes and captions of your own (ingest --attributes, --captions) stay as they are.
    """
    from genfilt.engines.choice import EngineChoice, open_engine
    from genfilt.extract.captions import caption_pictures
    from genfilt.extract.missing import forget_given
    from genfilt.generators.registry import open_captioner
    from genfilt.generators.spread import captioner_engine, spread_captioner

    reader_choice = GeneratorChoice(
        llm or (Llm.vllm if llm_url or llm_model else Llm.lexicon),
        llm_model,
        tuple(llm_url or ()),
        refit,
    )
    default = Vlm.vllm if captioner_url else Vlm.instructblip if captioner_model else Vlm.neighbours
    captioner_choice = GeneratorChoice(
        captioner or default, captioner_model, tuple(captioner_url or ()), refit, prompt
    )
    pooled = engine is EngineName.local and captioner_choice.kind == Vlm.instructblip
    chosen = EngineChoice(engine, address, None if pooled else workers, gpus_per_worker)
    if estimate:
        _estimate(db, reader_choice, price)
        return
    with (
        recorded(db, "extract", llm=reader_choice, captioner=captioner_choice, engine=chosen) as (
            store,
            counts,
        ),
        open_engine(chosen) as runner,
    ):
        if replace_given:
            forget_given(store)
        titles = _read_titles(store, reader_choice, runner, retry_failed, counts)
        with open_captioner(store, captioner_choice) as describer:
            say(f"pictures are described by {describer.name}")
            pool = captioner_engine(runner, captioner_choice, workers)
            spread = spread_captioner(describer, captioner_choice, pool)
            pictures = caption_pictures(store, spread, retry_failed=retry_failed)
        counts["titles read"], counts["pictures described"] = titles.done, pictures.done
        counts["there before"] = titles.there + pictures.there
        counts["failed"] = titles.failed + pictures.failed
        _warn_of_language(store)


def _warn_of_language(store: Store) -> None:
    from genfilt.inspect.language import unreadable_titles

    for remark in unreadable_titles(store):
        complain(f"WARNING: {remark}")


def _read_titles(
    store: Store, choice: GeneratorChoice, engine: Engine, retry_failed: bool, counts: Counts
) -> StepCounts:
    """Read titles, and queries where the reader is no lexicon, which reads them when filtering."""
    from genfilt.extract.titles import extract_attributes, extract_queries
    from genfilt.generators.registry import open_reader
    from genfilt.generators.spread import spread_reader

    with open_reader(store, choice) as opened:
        say(f"titles are read by {opened.name}")
        reader = spread_reader(opened, choice, engine)
        titles = extract_attributes(store, reader, retry_failed=retry_failed)
        if choice.kind != Llm.lexicon:
            queries = extract_queries(store, reader, retry_failed=retry_failed)
            counts["queries read"] = queries.done
            return replace(titles, failed=titles.failed + queries.failed)
    return titles


def _estimate(db: Path, choice: GeneratorChoice, price: str | None) -> None:
    from genfilt.extract.titles import estimate_extraction
    from genfilt.generators.registry import open_reader

    check_exists(db)
    with Store(db) as store, open_reader(store, choice) as reader:
        show([estimate_extraction(store, reader, _prices(price))], OutputFormat.table)


def _prices(words: str | None) -> tuple[float, float] | None:
    if words is None:
        return None
    try:
        incoming, outgoing = (float(part) for part in words.split(","))
    except ValueError as error:
        raise UsageError(f"--price must be two numbers such as 0.1,0.4, got {words}.") from error
    return incoming, outgoing


def lavis() -> None:
    """Make the environment in which --captioner lavis runs; some minutes and 2.5 GB."""
    from genfilt.generators.vlm.lavis.lavis_setup import setup_lavis

    say(f"LAVIS is ready in {setup_lavis()}; use it with genfilt extract --captioner lavis")
