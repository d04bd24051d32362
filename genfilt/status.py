"""What a database holds, what is missing and what looks wrong."""

from __future__ import annotations

from typing import Any

from genfilt.store import Store

TABLES = ("products", "queries", "clicks", "labels", "reviews", "attributes", "captions")

COVERAGE = {
    "titles without attributes": (
        "SELECT count(DISTINCT title_key) FROM products ANTI JOIN current_attributes USING (title_key)"
    ),
    "pictures without a caption": (
        "SELECT count(DISTINCT image_key) FROM products ANTI JOIN current_captions USING (image_key) "
        "WHERE image_key IS NOT NULL"
    ),
    "products without a picture": "SELECT count(*) FROM products WHERE image_key IS NULL",
    "products that no correction can reach": (
        "SELECT count(*) FROM products ANTI JOIN current_captions USING (image_key)"
    ),
    "attributes that no title says (invented)": (
        "SELECT count(*) FROM current_attributes "
        "WHERE raw LIKE '{%' AND json_array_length(raw::JSON, '$.invented') > 0"
    ),
    "query-product corrections": "SELECT count(*) FROM query_product_corrections",
    "image-title corrections": "SELECT count(*) FROM image_title_corrections",
}


def status(store: Store) -> list[dict[str, Any]]:
    """Return rows of {"what", "count", "detail"}."""
    rows = [_row(name, store.scalar(f"SELECT count(*) FROM {name}")) for name in TABLES]
    rows += [_row(name, store.scalar(sql)) for name, sql in COVERAGE.items()]
    rows += [
        _row(f"failures of {step}", count, f"{reason} ({generator})" if generator else reason)
        for step, reason, generator, count in store.rows(
            "SELECT step, reason, generator, count(*) FROM failures GROUP BY ALL ORDER BY ALL"
        )
    ]
    for name in ("llm", "captioner"):
        rows.append(_row(name, None, store.meta(name) or "none yet: run genfilt extract"))
    current = store.rows("SELECT rule, sigma, floor, embedder FROM filters WHERE current")
    detail = "none yet: run genfilt filter"
    if current:
        rule, sigma, floor, embedder = current[0]
        detail = f"rule {rule}, sigma {sigma:g}, floor {floor:g}, embedder {embedder}"
    return [*rows, _row("filter", None, detail)]


def _row(what: str, count: int | None, detail: str = "") -> dict[str, Any]:
    return {"what": what, "count": count, "detail": detail}
