"""The command ingest: catalogue, queries, clicks, labels, reviews and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genfilt.cli.options import DEFAULT_DB, Db, recorded
from genfilt.common import command
from genfilt.common.errors import UsageError
from genfilt.ingest.layouts import CatalogueLayout, with_layout

EXAMPLES = (
    "genfilt ingest --products products.csv --queries queries.csv --clicks clicks.csv",
    "genfilt ingest wands/ --layout wands",
    "genfilt ingest --products feed.csv --map title=name --map product_id=sku",
)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command.register(app, ingest, *EXAMPLES)


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
                    f"{option} must be NAME=VALUE such as title=product_name, got {part}."
                )
            pairs[ours.strip()] = theirs.strip()
    return pairs


def _label_map(words: str | None) -> dict[str, int]:
    mapping = _pairs([words], "--label-map") if words else {}
    for word, label in mapping.items():
        if label not in ("0", "1"):
            raise UsageError(
                f"--label-map must give 0 or 1, got {word}={label}; write {word}=1, say."
            )
    return {word: int(label) for word, label in mapping.items()}
