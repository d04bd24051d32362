"""Step 1: the user's catalogue, queries, clicks, labels and reviews into the tables.

Everything is read and checked before the one transaction that writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from genfilt.common.console import complain, say
from genfilt.common.duckdb_file import MEMORY
from genfilt.common.errors import UsageError, UserError
from genfilt.ingest.columns import SourceRows, clean
from genfilt.ingest.given_texts import prepare_given
from genfilt.ingest.picture_files import PictureFolders
from genfilt.ingest.pictures import Found, find_pictures
from genfilt.ingest.products import mapped, prepare_products, prepare_queries
from genfilt.ingest.query_texts import new_queries, with_query_ids
from genfilt.ingest.readers import (
    listed,
    read_source,
    rename,
    require_columns,
    uses_alias,
)
from genfilt.ingest.sources import COLUMNS, REQUIRED, Sources
from genfilt.ingest.verdicts import parse_clicks, parse_labels, parse_reviews
from genfilt.ingest.write import Prepared, write_tables
from genfilt.store.failures import write_failures
from genfilt.store.store import Store

__all__ = ["Sources", "ingest", "picture_folder"]


def ingest(store: Store, sources: Sources) -> dict[str, int]:
    """Write what the sources hold; return rows kept by table, rows left out and items failed.

    Idempotent: a row replaces the one with its id (clicks too: a file has all of a pair's
    clicks). Only what an item's content decides becomes stale when it changes.

    Raises:
        UserError: a structural fault; nothing has been written then.
    """
    prepared = _prepare(store, sources)
    with store.transaction():
        for name, folder in prepared.folders.items():
            store.set_meta(name, str(folder))
        if sources.label_map:
            store.set_meta("label_map", repr(dict(sources.label_map)))
        kept = write_tables(store, prepared)
        write_failures(store, "ingest", "", prepared.failures)
    left_out = {name: count for name, count in prepared.counts.items() if count}
    return {**kept, **left_out, "failed": len(prepared.failures)}


def _prepare(store: Store, sources: Sources) -> Prepared:
    prepared = Prepared()
    if sources.images is not None:
        if not sources.images.is_dir():
            raise UsageError(
                f"--images {sources.images} is not a folder; name the pictures' folder."
            )
        prepared.folders["images"] = sources.images.resolve()
    if sources.download is not None:
        prepared.folders["download"] = sources.download.resolve()
    rows = read_tables(sources)
    _prepare_catalogue(store, sources, rows, prepared)
    _prepare_queries(store, rows, prepared)
    _prepare_verdicts(sources, rows, prepared)
    for kind in ("attributes", "captions"):
        if kind in rows:
            prepared.tables[kind] = prepare_given(rows[kind], kind)
    if not prepared.tables:
        raise UsageError(
            "Nothing to ingest; give --products, --queries, --clicks, --labels, --reviews, "
            "--attributes, --captions or --images."
        )
    return prepared


def _prepare_catalogue(
    store: Store, sources: Sources, rows: Mapping[str, SourceRows], prepared: Prepared
) -> None:
    places = _places(store, sources, prepared.folders)

    def find(ids: pa.ChunkedArray, images: pa.ChunkedArray) -> Found:
        found = find_pictures(ids, images, places, lambda seen: _known_keys(store, seen))
        prepared.files = found.files
        return found

    if "products" in rows:
        prepared.tables["products"], failures = prepare_products(
            rows["products"], places.embedded, find
        )
        prepared.failures.extend(failures)
        _remark_moved(store, prepared.tables["products"])
    elif prepared.folders:
        known = store.arrow(
            "SELECT product_id, title, image, category, split, title_key FROM products "
            "ORDER BY product_id"
        )
        if known.num_rows == 0:
            raise UsageError("Pictures alone need a catalogue; give --products as well.")
        images = mapped(known["image"], lambda image: _relative(image, places.root))
        found = find(known["product_id"], images)
        known = known.set_column(2, "image", found.paths)
        prepared.tables["products"] = known.append_column("image_key", found.keys)
        prepared.failures.extend(found.failures)


def _prepare_queries(store: Store, rows: dict[str, SourceRows], prepared: Prepared) -> None:
    """Prepare the queries that are given, or those that clicks and labels name by their text."""
    if "queries" in rows:
        prepared.tables["queries"] = prepare_queries(rows["queries"])
    for name in ("clicks", "labels"):
        if name in rows:
            by_text = not rows[name].has("query_id")
            known = prepared.tables.get("queries")
            rows[name] = with_query_ids(store, rows[name], known)
            if by_text or "queries" not in rows:
                found = new_queries(store, rows[name], known)
                if found is not None:
                    more = prepare_queries(found)
                    tables = [more] if known is None else [known, more]
                    prepared.tables["queries"] = pa.concat_tables(tables)


def _prepare_verdicts(sources: Sources, rows: Mapping[str, SourceRows], prepared: Prepared) -> None:
    if "clicks" in rows:
        prepared.tables["clicks"], counts = parse_clicks(rows["clicks"], sources.min_clicks)
        prepared.counts.update(counts)
    if "labels" in rows:
        prepared.tables["labels"], counts = parse_labels(
            rows["labels"], sources.label_map, sources.min_grade
        )
        prepared.counts.update(counts)
    if "reviews" in rows:
        prepared.tables["reviews"] = parse_reviews(rows["reviews"])


def read_tables(sources: Sources) -> dict[str, SourceRows]:
    """Read the tables that are given, checked for their columns, by kind.

    Raises:
        UserError: a table cannot be read or lacks a column, or no table has a mapped one.
    """
    unknown = sorted(set(sources.aliases) - {name for names in COLUMNS.values() for name in names})
    if unknown:
        ours = dict.fromkeys(name for names in COLUMNS.values() for name in names)
        raise UsageError(
            f"--map {unknown[0]}=... names no column of genfilt; the columns are {', '.join(ours)}."
        )
    tables = {kind: _read(source, kind, sources) for kind, source in sources.tables().items()}
    _check_aliases(sources, tables)
    rows = {}
    for kind, (name, table) in tables.items():
        required = list(REQUIRED[kind])
        if "query" in table.column_names and kind in ("clicks", "labels"):
            required.remove("query_id")
        require_columns(table, required, name)
        if kind == "clicks":
            _remark_uncounted(name, table)
        rows[kind] = clean(table, kind, name)
    return rows


def _remark_uncounted(name: str, table: pa.Table) -> None:
    """Say that every row is a click where a log has columns that may have been meant to count."""
    unread = [column for column in table.column_names if column not in COLUMNS["clicks"]]
    if unread and "clicks" not in table.column_names:
        say(
            f"{name} has no column clicks, so each row is one click; not read: {', '.join(unread)} "
            f"(--map clicks=... names the one that counts them)"
        )


def _read(source: str | pa.Table, kind: str, sources: Sources) -> tuple[str, pa.Table]:
    aliases = {ours: sources.aliases[ours] for ours in sources.aliases if ours in COLUMNS[kind]}
    if not isinstance(source, str):
        return kind, rename(source, aliases, kind)
    table = read_source(
        source,
        aliases,
        delimiter=sources.delimiter,
        encoding=sources.encoding,
        known=COLUMNS[kind],
    )
    return source, table


def _check_aliases(sources: Sources, tables: Mapping[str, tuple[str, pa.Table]]) -> None:
    """Check that some table has each column that is mapped."""
    for ours, theirs in sources.aliases.items():
        concerned = [
            (name, table) for kind, (name, table) in tables.items() if ours in COLUMNS[kind]
        ]
        if not any(uses_alias(table, theirs) for _, table in concerned):
            word = theirs if isinstance(theirs, str) else " or ".join(theirs)
            found = "; ".join(
                f"{name} has {listed(table.column_names)}" for name, table in concerned
            )
            raise UserError(f"No table has a column {word} to use as {ours}; {found or 'none'}.")


def _known_keys(store: Store, seen: pa.Table) -> Sequence[str | None]:
    """Return the key of each file (N,) that has the size and time of an earlier reading."""
    numbered = seen.append_column("place", pa.array(range(seen.num_rows), pa.int64()))
    with store.registered("seen", numbered):
        keys = store.rows(
            "SELECT image_key FROM seen LEFT JOIN files USING (path, size, mtime_ns) ORDER BY place"
        )
    return [key for (key,) in keys]


def _remark_moved(store: Store, products: pa.Table) -> None:
    """Remark on products known before whose title or picture changed, and thereby their split."""
    with store.registered("given", products.select(["product_id", "split"])):
        moved = store.scalar(
            "SELECT count(*) FROM given JOIN products USING (product_id) "
            "WHERE given.split <> products.split"
        )
    if moved:
        complain(
            f"WARNING: {moved:,} products that were there before change their split, which follows "
            "from title and picture where no column split names it: figures of val and test from "
            "before do not compare. Name the split in the products' file to keep it."
        )


def _places(store: Store, sources: Sources, folders: Mapping[str, Path]) -> PictureFolders:
    """Return the folders that this call or an earlier one named."""
    images, downloaded = (
        folders.get(name) or (Path(known) if (known := store.meta(name)) else None)
        for name in ("images", "download")
    )
    is_named = images is not None
    if images is None:
        named = isinstance(sources.products, str) and Path(sources.products).exists()
        images = Path(str(sources.products)).resolve().parent if named else Path.cwd()
    return PictureFolders(
        images,
        picture_folder(store),
        downloaded,
        fetch=sources.download is not None,
        is_named=is_named,
    )


def picture_folder(store: Store) -> Path:
    """Return where pictures that come as bytes are written: beside the database."""
    base = Path.cwd() if store.path == MEMORY else Path(store.path).resolve().parent
    return base / "pictures"


def _relative(image: str, root: Path) -> str:
    """A picture that was found keeps its place below the root when both moved together."""
    if not Path(image).is_absolute() or Path(image).is_relative_to(root):
        return image
    parts = Path(image).parts
    if root.name in parts:
        below = parts[len(parts) - parts[::-1].index(root.name) :]
        return str(Path(*below)) if below else image
    return image
