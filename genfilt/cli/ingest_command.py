"""The command ingest: catalogue, queries, clicks, labels, reviews and pictures."""

from __future__ import annotations

import math
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
    "genfilt ingest products_export.csv --layout shopify --clicks clicks.csv",
    "genfilt ingest --products feed.csv --map title=name --map product_id=sku",
    "genfilt ingest --labels judgements.csv --map label=rating --min-grade 2",
    "genfilt ingest --attributes facets.csv --map core_word=type --captions captions.csv",
)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command.register(app, ingest, *EXAMPLES)


def ingest(
    source: Annotated[str | None, typer.Argument(help="A folder or file in a --layout.")] = None,
    products: Annotated[str | None, typer.Option(help="product_id, title, image, ...")] = None,
    queries: Annotated[str | None, typer.Option(help="query_id, query")] = None,
    clicks: Annotated[
        str | None, typer.Option(help="query_id or query, product_id, clicks")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="query_id or query, product_id, label")] = None,
    reviews: Annotated[str | None, typer.Option(help="query_id, product_id, verdict")] = None,
    attributes: Annotated[
        str | None,
        typer.Option(help="product_id, core_word, material, ...: your own, which extract keeps."),
    ] = None,
    captions: Annotated[
        str | None, typer.Option(help="product_id, caption: your own, which extract keeps.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of the pictures.")] = None,
    download: Annotated[
        Path | None, typer.Option(help="Fetch pictures that are addresses into this folder.")
    ] = None,
    layout: Annotated[
        CatalogueLayout, typer.Option(help="How SOURCE is laid out.")
    ] = CatalogueLayout.flat,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="Our column = the source's, title=name; may be repeated."),
    ] = None,
    label_map: Annotated[
        list[str] | None,
        typer.Option(help="What the source's labels mean, E=1,S=0; may be repeated."),
    ] = None,
    min_clicks: Annotated[int, typer.Option(help="Leave out pairs with fewer clicks.", min=1)] = 1,
    min_grade: Annotated[
        float | None, typer.Option(help="Labels are numbers, and from this one on positive.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Separator of text tables, ';' or tab; else it is found.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of text tables, cp1252, say; else it is found.")
    ] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Read a catalogue, queries, clicks, labels, reviews and pictures; any subset, any time.

    Files: .csv, .tsv, .parquet, .jsonl, .json, a folder saved by Hugging Face datasets, or
    hf://name.
    """
    from genfilt.ingest.ingest import ingest as run
    from genfilt.ingest.sources import Sources

    sources = Sources(
        *(products, queries, clicks, labels, reviews, images, download),
        aliases=_aliases(mapping or []),
        label_map=_label_map(label_map or []),
        min_clicks=min_clicks,
        min_grade=min_grade,
        delimiter=delimiter,
        encoding=encoding,
        attributes=attributes,
        captions=captions,
    )
    if label_map and min_grade is not None:
        raise UsageError("--label-map and --min-grade exclude each other; give one of them.")
    if min_grade is not None and not math.isfinite(min_grade):
        raise UsageError(f"--min-grade must be a finite number, got {min_grade}; give 2, say.")
    with recorded(db, "ingest", source=source, layout=layout, sources=sources) as (store, counts):
        if source is not None:
            sources = with_layout(store, source, layout, sources)
        counts.update(run(store, sources))


def _pairs(words: list[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for word in words:
        for part in word.split(","):
            ours, equals, theirs = part.partition("=")
            if not (ours.strip() and equals and theirs.strip()):
                raise UsageError(
                    f"{option} must be NAME=VALUE, got {part!r}; give title=product_name, say."
                )
            pairs.append((ours.strip(), theirs.strip()))
    return pairs


def _aliases(words: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the source's columns by ours; files may call one thing by several names."""
    aliases: dict[str, tuple[str, ...]] = {}
    for ours, theirs in _pairs(words, "--map"):
        aliases[ours] = (*aliases.get(ours, ()), theirs)
    return aliases


def _label_map(words: list[str]) -> dict[str, int]:
    mapping: dict[str, int] = {}
    for word, label in _pairs(words, "--label-map"):
        if label not in ("0", "1"):
            raise UsageError(f"--label-map {word}={label} must end in 0 or 1; give {word}=1, say.")
        if mapping.setdefault(word, int(label)) != int(label):
            raise UsageError(f"--label-map gives {word} both 0 and 1; keep one.")
    return mapping
