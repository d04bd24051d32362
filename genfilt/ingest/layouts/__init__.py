"""Public layouts: each reader turns a folder or a file into `sources.Sources`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from genfilt.common.errors import UsageError

if TYPE_CHECKING:
    from genfilt.ingest.sources import Sources
    from genfilt.store.store import Store

KeepPicture = Callable[[object], "str | None"]


class CatalogueLayout(StrEnum):
    """A published shape of search data."""

    flat = "flat"
    wands = "wands"
    esci = "esci"
    gs10m = "gs10m"
    shopify = "shopify"
    qrels = "qrels"
    ltr = "ltr"


# The layouts that bring one or two tables, beside which the others are given with their columns
# mapped; of flat the columns themselves are mapped.
PARTIAL = (CatalogueLayout.shopify, CatalogueLayout.qrels, CatalogueLayout.ltr)


def read_layout(source: str, layout: CatalogueLayout, given: Sources, keep: KeepPicture) -> Sources:
    """Read a source in one of the layouts, with the layout's own label map.

    Args:
        source: the folder, or for flat, gs10m, shopify, qrels and ltr a file.
        layout: how it is laid out.
        given: how text is read, and our column -> the source's for the layouts that take it.
        keep: stores a picture that came as bytes and returns what names it.

    Raises:
        UserError: a file or column of the layout is missing.
    """
    from genfilt.ingest.layouts import esci, flat, gs10m, judgement_lists, shopify, wands

    if given.aliases and layout is not CatalogueLayout.flat and layout not in PARTIAL:
        raise UsageError(f"--map goes with --layout flat; {layout} has its columns' names.")
    if layout is CatalogueLayout.flat:
        return flat.read(source, given, keep)
    if layout is CatalogueLayout.shopify:
        return shopify.read(source, given)
    if layout is CatalogueLayout.qrels:
        return judgement_lists.read_qrels(Path(source), given.encoding)
    if layout is CatalogueLayout.ltr:
        return judgement_lists.read_ltr(Path(source), given.encoding)
    if layout is CatalogueLayout.wands:
        return wands.read(Path(source))
    if layout is CatalogueLayout.esci:
        return esci.read(Path(source))
    return gs10m.read(Path(source), keep)


def with_layout(store: Store, source: str, layout: CatalogueLayout, given: Sources) -> Sources:
    """Return the source's tables with what else the user gave: pictures' folders, label map.

    Args:
        store: beside which pictures that come as bytes are written.
        source: see `read_layout`.
        layout: how it is laid out.
        given: everything else.

    Raises:
        UserError: a file or column of the layout is missing, or a table was given as well.
    """
    from genfilt.ingest.ingest import picture_folder
    from genfilt.ingest.picture_fields import keep_picture

    beside = {name: table for name, table in given.tables().items() if name != "reviews"}
    if beside and layout not in PARTIAL:
        raise UsageError(
            f"{source} is laid out as {layout} and brings its own tables; "
            f"give --{next(iter(beside))} and the others without it."
        )
    found = read_layout(source, layout, given, partial(keep_picture, folder=picture_folder(store)))
    if both := sorted(beside.keys() & found.tables().keys()):
        raise UsageError(f"{source} brings {both[0]} itself; leave out --{both[0]} or the source.")
    return replace(
        given,
        products=found.products if given.products is None else given.products,
        queries=found.queries if given.queries is None else given.queries,
        clicks=found.clicks if given.clicks is None else given.clicks,
        labels=found.labels if given.labels is None else given.labels,
        aliases=given.aliases if layout in PARTIAL and beside else {},
        label_map=given.label_map or found.label_map,
        min_grade=found.min_grade if given.min_grade is None else given.min_grade,
    )
