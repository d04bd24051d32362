"""Cards: what a reviewer sees of a pair, from train verdicts and train products alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import quote

from genfilt.common.errors import UserError
from genfilt.common.html import plain
from genfilt.inspect.wording import ATTRIBUTE_NAMES, reasons_in_words
from genfilt.store.store import Store


@dataclass(frozen=True)
class KnownProduct:
    """A product that a train click or label calls relevant to the query."""

    product_id: str
    title: str
    has_picture: bool
    source: str
    clicks: int


@dataclass(frozen=True)
class ReviewCard:
    """A pair with its texts, scores and reasons.

    Attributes:
        attributes: (name, value) read from the title.
        caption: text read from the picture, or None.
        q_i, q_t: cosines of the query with picture and title; None without a caption.
        score: what sigma is compared with; None for a pair that was not stored.
        reasons: what speaks for the pair and against it, in a merchandiser's words.
        known: products that train clicks or labels call relevant to the query.
        link: the product's page in the shop, or None.
    """

    query_id: str
    product_id: str
    query: str
    title: str
    category: str
    has_picture: bool
    attributes: list[tuple[str, str]]
    caption: str | None
    q_i: float | None
    q_t: float | None
    score: float | None
    reasons: list[str]
    known: list[KnownProduct]
    link: str | None

    @property
    def shown_products(self) -> list[str]:
        """Return the ids of all products on the card."""
        return [self.product_id, *(other.product_id for other in self.known)]


def load_card(store: Store, query_id: str, product_id: str, link: str | None) -> ReviewCard:
    """Return the card of a pair.

    Args:
        store: the tables.
        query_id: of the query.
        product_id: of the product.
        link: address of a product's page with {product_id} in it, or None.

    Raises:
        UserError: the database has no such query or product.
    """
    rows = store.arrow(_sql("card"), {"query_id": query_id, "product_id": product_id}).to_pylist()
    if not rows:
        raise UserError(f"The database has no query {query_id!r} or no product {product_id!r}.")
    row = rows[0]
    known = store.arrow(_sql("known_products"), {"q": row["q"]}).to_pylist()
    return ReviewCard(
        query_id=query_id,
        product_id=product_id,
        query=plain(row["query"]),
        title=plain(row["title"], 500),
        category=plain(row["category"]),
        has_picture=row["has_picture"],
        attributes=[(name, plain(row[key])) for key, name in ATTRIBUTE_NAMES.items() if row[key]],
        caption=plain(row["caption"]) if row["caption"] else None,
        q_i=row["q_i"],
        q_t=row["q_t"],
        score=row["score"],
        reasons=reasons_in_words(row["reasons"]),
        known=[_known(other) for other in known if other["product_id"] != product_id],
        link=_link(link, product_id),
    )


def picture_paths(store: Store, product_ids: Sequence[str]) -> dict[str, str]:
    """Return the picture files of products by id, of those that have one."""
    sql = (
        "SELECT product_id, image FROM products "
        "WHERE image_key IS NOT NULL AND product_id IN (SELECT unnest($ids::VARCHAR[]))"
    )
    return dict(store.rows(sql, {"ids": list(product_ids)}))


def _known(row: dict[str, object]) -> KnownProduct:
    return KnownProduct(
        product_id=str(row["product_id"]),
        title=plain(row["title"]),
        has_picture=bool(row["has_picture"]),
        source=str(row["source"]),
        clicks=int(str(row["clicks"])),
    )


def _link(template: str | None, product_id: str) -> str | None:
    return template.replace("{product_id}", quote(product_id, safe="")) if template else None


def _sql(name: str) -> str:
    return (files("genfilt.review") / f"{name}.sql").read_text("utf-8")
