"""The product export of Shopify: a row a variant or picture, a product a handle."""

from __future__ import annotations

import pyarrow as pa

from genfilt.common.errors import UserError
from genfilt.ingest.columns import clean_column
from genfilt.ingest.readers import read_source, require_columns
from genfilt.ingest.sources import Sources

CATEGORIES = ("Type", "Product Type", "Product Category", "Standard Product Type")
PICTURES = ("Image Src", "Product image URL", "Variant Image")
HANDLES = ("Handle", "URL handle")
KNOWN = ("Handle", "URL handle", "Title", *CATEGORIES, *PICTURES)


def read(source: str, given: Sources) -> Sources:
    """Read an export; of each product the first title, picture and type count.

    Rows with a blank title are variants or further pictures of the product above.

    Raises:
        UserError: a column is missing, or a handle has two titles.
    """
    table = read_source(source, delimiter=given.delimiter, encoding=given.encoding, known=KNOWN)
    handle = next((name for name in HANDLES if name in table.column_names), HANDLES[0])
    require_columns(table, [handle, "Title"], source, mapped=False)
    columns = {
        "title": _text(table, ("Title",), "title", source),
        "image": _text(table, PICTURES, "image", source),
        "category": _text(table, CATEGORIES, "category", source),
    }
    handles = _text(table, (handle,), "product_id", source)
    products: dict[str, dict[str, str]] = {}
    above: str | None = None
    for row, name in enumerate(handles):
        above = name or above
        if above is None:
            if any(values[row] for values in columns.values()):
                raise UserError(f"{source} has no {handle} in data row {row + 1}; fill it in.")
            continue
        product = products.setdefault(above, {})
        title = columns["title"][row]
        if title and product.get("title", title) != title:
            raise UserError(
                f"{source} gives {handle} {above} two titles, {product['title']!r} and {title!r} "
                f"in data row {row + 1}; keep one."
            )
        for column, values in columns.items():
            if (value := values[row]) is not None:
                product.setdefault(column, value)
    rows = [{"product_id": name, **product} for name, product in products.items()]
    schema = pa.schema([(name, pa.string()) for name in ("product_id", *columns)])
    return Sources(products=pa.Table.from_pylist(rows, schema))


def _text(table: pa.Table, names: tuple[str, ...], ours: str, source: str) -> list[str | None]:
    """Return the first of the columns that is there (N,), cleaned as our column is."""
    name = next((name for name in names if name in table.column_names), None)
    if name is None:
        return [None] * table.num_rows
    values: list[str | None] = clean_column(pa.table({ours: table[name]}), ours, source).to_pylist()
    return values
