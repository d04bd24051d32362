"""The genfilt command: read options, one call, print."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer

from genfilt.errors import GenfiltError, UsageError
from genfilt.generators import Choice, Llm, Vlm
from genfilt.output import Format, show, show_one, write_parquet
from genfilt.progress import say
from genfilt.store import Store

app = typer.Typer(
    help="Finds the false negatives in e-commerce click logs before contrastive training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Db = Annotated[
    Path, typer.Option("--db", envvar="GENFILT_DB", help="The database file.", metavar="FILE")
]
Form = Annotated[Format, typer.Option("--format", help="How the answer is printed.")]
DEFAULT_DB = Path("artifacts/genfilt.duckdb")

FAILED_ITEMS = 3


@contextmanager
def _recorded(db: Path, command: str, **config: Any) -> Iterator[tuple[Store, dict[str, Any]]]:
    """Open the database for a step and write down in `runs` how it went.

    The context's dictionary takes the counts; "failed" among them makes the exit code 3.
    """
    counts: dict[str, Any] = {}
    with Store(db) as store:
        run_id = store.start_run(command, config)
        try:
            yield store, counts
        except BaseException as error:
            store.finish_run(run_id, "failed", {"error": str(error)})
            raise
        store.finish_run(run_id, "done", counts)
        say(_attempts(store, counts))
    if counts.get("failed"):
        raise typer.Exit(FAILED_ITEMS)


def _attempts(store: Store, counts: dict[str, Any]) -> str:
    text = ", ".join(f"{value:,} {name}" for name, value in counts.items())
    if counts.get("failed"):
        text += (
            '. See why with: genfilt sql "SELECT step, reason, count(*) FROM failures GROUP BY ALL"'
        )
    return text


@app.command()
def ingest(
    source: Annotated[str | None, typer.Argument(help="A folder in a public --layout.")] = None,
    products: Annotated[str | None, typer.Option(help="product_id, title, image, ...")] = None,
    queries: Annotated[str | None, typer.Option(help="query_id, query")] = None,
    clicks: Annotated[str | None, typer.Option(help="query_id, product_id, clicks")] = None,
    labels: Annotated[str | None, typer.Option(help="query_id, product_id, label")] = None,
    reviews: Annotated[str | None, typer.Option(help="query_id, product_id, verdict")] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of the pictures.")] = None,
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
    from genfilt.ingest import Sources
    from genfilt.ingest import ingest as run

    sources = Sources(
        *(products, queries, clicks, labels, reviews, images),
        aliases=_pairs(mapping or [], "--map"),
        label_map=_label_map(label_map),
        min_clicks=min_clicks,
    )
    with _recorded(db, "ingest", sources=sources) as (store, counts):
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
    products: Annotated[int, typer.Option(help="How many products.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal catalogues.")] = 0,
    attack: Annotated[bool, typer.Option("--attack", help="More listings that mislead.")] = False,
    pictures: Annotated[bool, typer.Option(help="Draw pictures.")] = True,
) -> None:
    """Make a catalogue with pictures, clicks, labels and known truth."""
    from genfilt.progress import track
    from genfilt.synth import synthesize

    with track("synth", products) as advance:
        made = synthesize(
            products, out, seed=seed, attack=attack, pictures=pictures, progress=advance
        )
    say(str(made))


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
    from genfilt.caption import caption_pictures
    from genfilt.extract import extract_attributes
    from genfilt.generators import open_captioner, open_reader

    reader_choice = Choice(
        llm or (Llm.vllm if llm_url or llm_model else Llm.lexicon), llm_model, llm_url, refit
    )
    default = Vlm.vllm if captioner_url else Vlm.instructblip if captioner_model else Vlm.neighbours
    captioner_choice = Choice(captioner or default, captioner_model, captioner_url, refit)
    if estimate:
        _estimate(db, reader_choice, price)
        return
    with _recorded(db, "extract", llm=reader_choice, captioner=captioner_choice) as (store, counts):
        with open_reader(store, reader_choice) as reader:
            say(f"titles are read by {reader.name}")
            read = extract_attributes(store, reader, retry_failed=retry_failed)
        with open_captioner(store, captioner_choice) as describer:
            say(f"pictures are described by {describer.name}")
            described = caption_pictures(store, describer, retry_failed=retry_failed)
        counts["titles read"] = read.done
        counts["pictures described"] = described.done
        counts["there before"] = read.there + described.there
        counts["failed"] = read.failed + described.failed


def _estimate(db: Path, choice: Choice, price: str | None) -> None:
    from genfilt.extract import estimate_extraction
    from genfilt.generators import open_reader

    with Store(db) as store, open_reader(store, choice) as reader:
        show([estimate_extraction(store, reader, _prices(price))], Format.table)


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
    sigma: Annotated[float, typer.Option(help="The threshold of a correction.")] = 0.9,
    rule: Annotated[str, typer.Option(help="paper")] = "paper",
    floor: Annotated[float | None, typer.Option(help="Store candidates from here on.")] = None,
    embedder: Annotated[
        str | None, typer.Option(help="A sentence-transformers folder or hub name.")
    ] = None,
    max_pairs: Annotated[int, typer.Option(help="Stop before storing more.", min=1)] = 100_000_000,
    db: Db = DEFAULT_DB,
) -> None:
    """Write every pair whose similarity reaches sigma into the correction tables."""
    from genfilt.correct import Settings, filter_pairs
    from genfilt.embed import Embedder

    settings = Settings(sigma, floor, rule, max_pairs)
    with _recorded(db, "filter", settings=settings, embedder=embedder) as (store, counts):
        made = filter_pairs(store, settings, Embedder(embedder))
        counts["query-product candidates"] = made.qp_candidates
        counts["image-title candidates"] = made.it_candidates
        counts["query-product corrections"] = store.scalar(
            "SELECT count(*) FROM query_product_corrections"
        )
        counts["image-title corrections"] = store.scalar(
            "SELECT count(*) FROM image_title_corrections"
        )


@app.command()
def audit(
    target_precision: Annotated[float, typer.Option(help="The precision that is wanted.")] = 0.95,
    base_rate: Annotated[
        float | None, typer.Option(help="Share of relevant pairs in the population meant.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "train",
    embedder: Annotated[
        str | None, typer.Option(help="A sentence-transformers folder or hub name.")
    ] = None,
    form: Form = Format.table,
    db: Db = DEFAULT_DB,
) -> None:
    """Judge the rule at each sigma by labels and reviews."""
    from genfilt.audit import audit as run
    from genfilt.corpus import load_corpus
    from genfilt.embed import Embedder
    from genfilt.features import number_features

    with Store(db) as store:
        number_features(store)
        corpus = load_corpus(store, Embedder(embedder))
        found = run(
            store, corpus, split=split, target_precision=target_precision, base_rate=base_rate
        )
    if form is Format.json:
        show_one(found)
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


@app.command("status")
def status_command(form: Form = Format.table, db: Db = DEFAULT_DB) -> None:
    """Say what the database holds, what is missing and what looks wrong."""
    from genfilt.status import status

    with Store(db, read_only=True) as store:
        show(status(store), form)


@app.command()
def sql(
    query: Annotated[str | None, typer.Argument(help="SQL; else it is read from input.")] = None,
    form: Form = Format.table,
    out: Annotated[Path | None, typer.Option(help="Write a Parquet file instead.")] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Ask the tables in SQL, read-only."""
    from genfilt.ask import ask

    with Store(db, read_only=True) as store:
        answer = ask(store, sys.stdin.read() if query is None else query)
    if out is not None:
        write_parquet(answer, out)
        return say(f"{answer.num_rows:,} rows in {out}")
    return show(answer.to_pylist(), form)


def main() -> None:
    """Run the command; a user's fault ends in one sentence and an exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except UsageError as error:
        say(f"genfilt: {error}")
        sys.exit(2)
    except GenfiltError as error:
        say(f"genfilt: {error}")
        sys.exit(1)
    except (OSError, duckdb.Error) as error:
        if getattr(error, "errno", None) != errno.ENOSPC and "No space left" not in str(error):
            raise
        say("genfilt: The disk is full; free some space and run the command again.")
        sys.exit(1)
