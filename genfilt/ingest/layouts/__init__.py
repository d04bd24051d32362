"""Public layouts: each reader turns a folder or a file into `ingest.Sources`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfilt.common.errors import UsageError

if TYPE_CHECKING:
    from genfilt.ingest.ingest import Sources
    from genfilt.store.store import Store

KeepPicture = Callable[[Any], "str | None"]


class CatalogueLayout(StrEnum):
    """A published shape of search data."""

    flat = "flat"
    wands = "wands"
    esci = "esci"
    gs10m = "gs10m"


def read_layout(
    source: str, layout: CatalogueLayout, aliases: Mapping[str, str], keep: KeepPicture
) -> Sources:
    """Read a source in one of the layouts, with the layout's own label map.

    Args:
        source: the folder, or for flat and gs10m a file as well.
        layout: how it is laid out.
        aliases: our column -> the source's; for flat alone, since the others fix their names.
        keep: stores a picture that came as bytes and returns what names it.

    Raises:
        UserError: a file or column of the layout is missing.
    """
    if layout is CatalogueLayout.flat:
        from genfilt.ingest.layouts import flat

        return flat.read(source, aliases, keep)
    if aliases:
        raise UsageError(f"--map goes with --layout flat; {layout} has its columns' names.")
    if layout is CatalogueLayout.wands:
        from genfilt.ingest.layouts import wands

        return wands.read(Path(source))
    if layout is CatalogueLayout.esci:
        from genfilt.ingest.layouts import esci

        return esci.read(Path(source))
    from genfilt.ingest.layouts import gs10m

    return gs10m.read(Path(source), keep)


def with_layout(store: Store, source: str, layout: CatalogueLayout, given: Sources) -> Sources:
    """Return the source's tables with what else the user gave: pictures' folders, label map.

    Raises:
        UserError: a file or column of the layout is missing, or a table was given as well.
    """
    from genfilt.ingest.ingest import picture_folder
    from genfilt.ingest.pictures import keep_embedded

    if any(
        each is not None for each in (given.products, given.queries, given.clicks, given.labels)
    ):
        raise UsageError(
            f"{source} is laid out as {layout} and brings its own tables; "
            f"give --products and the others without it."
        )
    keep = partial(keep_embedded, folder=picture_folder(store))
    found = read_layout(source, layout, given.aliases, keep)
    return replace(
        found,
        reviews=given.reviews,
        images=given.images,
        download=given.download,
        label_map=given.label_map or found.label_map,
        min_clicks=given.min_clicks,
    )
