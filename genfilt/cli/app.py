"""The genfilt command: read options, one call, print."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from genfilt.cli import inspect_command as answers
from genfilt.cli.options import DEFAULT_DB, Db, recorded
from genfilt.common.console import say
from genfilt.common.errors import UsageError, UserError
from genfilt.common.output import OutputFormat, show
from genfilt.generators import Choice, Llm, Vlm
from genfilt.ingest.layouts import CatalogueLayout, with_layout
from genfilt.store.store import Store

app = typer.Typer(
    help="Finds the false negatives in e-commerce click logs before contrastive training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def ingest(
    source: Annotated[str | None, typer.Argument(help="A folder or file in a --layout.")] = None,
    products: Annotated[str | None, typer.Option(help="product_id, title, image, ...")] = None,
    queries: Annotated[str | None, typer.Option(help="query_id, query")] = None,
    clicks: Annotated[str | None, typer.Option(help="query_id, product_id, clicks")] = None,
    labels: Annotated[str | None, typer.Option(help="query_id, product_id, label")] = None,
    reviews: Annotated[str | None, typer.Option(help="query_id, product_id, verdict")] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of the pictures.")] = None,
    download: Annotated[
        Path | None, typer.Option(help="Fetch pictures that are addresses into this folder.")
    ] = None,
    layout: Annotated[
        CatalogueLayout, typer.Option(help="How SOURCE is laid out.")
    ] = CatalogueLayout.flat,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="Our column = the source's, title=name.")
    ] = None,
    label_map: Annotated[
        str | None, typer.Option(help="What the source's labels mean, E=1,S=0.")
    ] = None,
    min_clicks: Annotated[int, typer.Option(help="Leave out pairs with fewer clicks.", min=1)] = 1,
    db: Db = DEFAULT_DB,
) -> None:
    """Read a catalogue, queries, clicks, labels, reviews and pictures; any subset, any time.

    Files: .csv, .tsv, .parquet, .jsonl, a folder saved by Hugging Face datasets, or hf://name.
    """
    from genfilt.ingest.ingest import Sources
    from genfilt.ingest.ingest import ingest as run

    sources = Sources(
        *(products, queries, clicks, labels, reviews, images, download),
        aliases=_pairs(mapping or [], "--map"),
        label_map=_label_map(label_map),
        min_clicks=min_clicks,
    )
    with recorded(db, "ingest", source=source, layout=layout, sources=sources) as (store, counts):
        if source is not None:
            sources = with_layout(store, source, layout, sources)
        counts.update(run(store, sources))


def _pairs(words: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for word in words:
        for part in word.split(","):
            ours, equals, theirs = part.partition("=")
            if not (ours and equals and theirs):
                raise UsageError(
                    f"{option} {part} is no NAME=VALUE; write title=product_name, say."
                )
            pairs[ours.strip()] = theirs.strip()
    return pairs


def _label_map(words: str | None) -> dict[str, int]:
    mapping = _pairs([words], "--label-map") if words else {}
    for word, label in mapping.items():
        if label not in ("0", "1"):
            raise UsageError(f"--label-map {word}={label} is neither 0 nor 1; write {word}=1, say.")
    return {word: int(label) for word, label in mapping.items()}


@app.command()
def synth(
    out: Annotated[Path, typer.Option(help="The folder that is made.")],
    products: Annotated[int, typer.Option(help="How many products.", min=50)] = 300,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal catalogues.")] = 0,
    attack: Annotated[bool, typer.Option("--attack", help="More listings that mislead.")] = False,
    pictures: Annotated[bool, typer.Option(help="Draw pictures.")] = True,
) -> None:
    """Make a catalogue with pictures, clicks, labels and known truth."""
    from genfilt.synth import synthesize

    made = synthesize(products, out, seed=seed, attack=attack, pictures=pictures)
    say(
        f"{made.products:,} products, {made.pictures:,} pictures, {made.queries:,} queries, "
        f"{made.clicks:,} clicks and {made.labels:,} labels in {made.out}; "
        f"its README.txt says what is what"
    )


@app.command()
def extract(
    llm: Annotated[Llm | None, typer.Option(help="What reads titles.")] = None,
    llm_model: Annotated[str | None, typer.Option(help="A folder or hub name.")] = None,
    llm_url: Annotated[
        str | None, typer.Option(envvar="GENFILT_LLM_URL", help="Of an OpenAI-compatible server.")
    ] = None,
    captioner: Annotated[Vlm | None, typer.Option(help="What describes pictures.")] = None,
    captioner_model: Annotated[str | None, typer.Option(help="A folder or hub name.")] = None,
    captioner_url: Annotated[str | None, typer.Option(help="Of a served vision model.")] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit the embedded generators to the catalogue anew.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Take up the items that failed before.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Try 200 titles and say what the rest will take.")
    ] = False,
    price: Annotated[
        str | None, typer.Option(help="Of a million tokens in and out, for --estimate: 0.1,0.4")
    ] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Read each title into attributes and describe each picture.

    Without options the embedded generators do it, on any machine: a lexicon and the nearest
    neighbours. With --llm-url or --llm-model vLLM reads titles, with --captioner-model
    InstructBLIP describes pictures.
    """
    from genfilt.extract.captions import caption_pictures
    from genfilt.extract.titles import extract_attributes, extract_queries
    from genfilt.generators import open_captioner, open_reader

    reader_choice = Choice(
        llm or (Llm.vllm if llm_url or llm_model else Llm.lexicon), llm_model, llm_url, refit
    )
    default = Vlm.vllm if captioner_url else Vlm.instructblip if captioner_model else Vlm.neighbours
    captioner_choice = Choice(captioner or default, captioner_model, captioner_url, refit)
    if estimate:
        _estimate(db, reader_choice, price)
        return
    with recorded(db, "extract", llm=reader_choice, captioner=captioner_choice) as (store, counts):
        with open_reader(store, reader_choice) as reader:
            say(f"titles are read by {reader.name}")
            read = extract_attributes(store, reader, retry_failed=retry_failed)
            failed = read.failed
            if reader_choice.kind != Llm.lexicon:  # which reads queries as they are needed
                asked = extract_queries(store, reader, retry_failed=retry_failed)
                counts["queries read"] = asked.done
                failed += asked.failed
        with open_captioner(store, captioner_choice) as describer:
            say(f"pictures are described by {describer.name}")
            described = caption_pictures(store, describer, retry_failed=retry_failed)
        counts["titles read"] = read.done
        counts["pictures described"] = described.done
        counts["there before"] = read.there + described.there
        counts["failed"] = failed + described.failed


def _estimate(db: Path, choice: Choice, price: str | None) -> None:
    from genfilt.extract.titles import estimate_extraction
    from genfilt.generators import open_reader

    with Store(db) as store, open_reader(store, choice) as reader:
        show([estimate_extraction(store, reader, _prices(price))], OutputFormat.table)


def _prices(words: str | None) -> tuple[float, float] | None:
    if words is None:
        return None
    try:
        incoming, outgoing = (float(part) for part in words.split(","))
    except ValueError as error:
        raise UsageError(f"--price {words} is no pair of numbers; write 0.1,0.4, say.") from error
    return incoming, outgoing


@app.command("filter")
def filter_command(
    sigma: Annotated[
        str, typer.Option(help="The threshold of a correction, or auto: what audit proposes.")
    ] = "0.9",
    rule: Annotated[
        str, typer.Option(help="paper: a mean cosine; calibrated: a probability.")
    ] = "paper",
    floor: Annotated[float | None, typer.Option(help="Store candidates from here on.")] = None,
    embedder: Annotated[
        str | None, typer.Option(help="A sentence-transformers folder or hub name.")
    ] = None,
    max_pairs: Annotated[int, typer.Option(help="Stop before storing more.", min=1)] = 100_000_000,
    base_rate: Annotated[
        float | None, typer.Option(help="Share of relevant pairs, where you know it.")
    ] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Write every pair whose score reaches sigma into the correction tables."""
    from genfilt.features.embed import Embedder
    from genfilt.filter.filter import FilterSettings, filter_pairs
    from genfilt.inspect.status import TITLE_PAIRS

    settings = FilterSettings(_sigma(sigma), floor, rule, max_pairs, base_rate)
    with recorded(db, "filter", settings=settings, embedder=embedder) as (store, counts):
        made = filter_pairs(store, settings, Embedder(embedder))
        counts["query-product candidates"] = made.qp_candidates
        counts["image-title candidates"] = made.it_candidates
        counts["query-product corrections"] = store.scalar(
            "SELECT count(*) FROM query_product_corrections"
        )
        counts["image-title corrections (distinct texts)"] = store.scalar(TITLE_PAIRS)


def _sigma(word: str) -> float | None:
    if word == "auto":
        return None
    try:
        return float(word)
    except ValueError:
        raise UsageError(f"--sigma {word} is no number; give 0.9, say, or auto.") from None


answers.register(app)

setup = typer.Typer(no_args_is_help=True)
app.add_typer(setup, name="setup", help="Prepare what needs an environment of its own.")


@setup.callback()
def _setup() -> None:
    """Prepare what needs an environment of its own."""


@setup.command("lavis")
def setup_lavis_command() -> None:
    """Make the environment in which --captioner lavis runs; some minutes and 2.5 GB."""
    from genfilt.generators.vlm.lavis.lavis_setup import setup_lavis

    say(f"LAVIS is ready in {setup_lavis()}; use it with genfilt extract --captioner lavis")


def main() -> None:
    """Run the command; a user's fault ends in one sentence and an exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except UsageError as error:
        say(f"genfilt: {error}")
        sys.exit(2)
    except UserError as error:
        say(f"genfilt: {error}")
        sys.exit(1)
    except (OSError, duckdb.Error) as error:
        if not _is_full(error):
            raise
        say(
            f"genfilt: The disk is full, or a limit on file sizes is reached ({error}); free some "
            f"space and run the command again. What was finished is kept."
        )
        sys.exit(1)


def _is_full(error: Exception) -> bool:
    """Tell whether something could not be written for want of room; DuckDB says it in words."""
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    words = [os.strerror(number) for number in numbers]
    return getattr(error, "errno", None) in numbers or any(word in str(error) for word in words)
