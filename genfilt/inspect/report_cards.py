"""The corrections that a report shows, with their pictures: of train products alone."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from genfilt.common.photos import thumbnail
from genfilt.inspect.wording import ATTRIBUTE_NAMES, reasons_in_words
from genfilt.store.named_statements import named_statements
from genfilt.store.store import Store

CARDS = 2000  # corrections on the page: about 3 MB of text
PICTURES = 200  # of them with a picture, half the surest and half the least sure: about 2 MB
CARDS_FROM = 40_000  # corrections that they are chosen from
TITLE_CARDS = 8  # image-title corrections
MAX_KINDS = 12  # of reasons to filter by, and of categories

Card = dict[str, object]


def card_statement(name: str) -> str:
    """Return the SQL statement of report_cards.sql that has this name."""
    return named_statements("genfilt.inspect", "report_cards.sql")[name]


def correction_cards(store: Store, corrections: int) -> list[Card]:
    """Return up to CARDS corrections, from the highest score to the lowest.

    Args:
        store: the tables.
        corrections: the number of corrections of train products.
    """
    everything = corrections <= CARDS
    parameters = {
        "part": 1 if everything else max(1, corrections // CARDS_FROM),
        "each": corrections if everything else -(-CARDS // 5),
        "cards": CARDS,
    }
    rows = store.arrow(card_statement("corrections"), parameters)
    known = _known_titles(store, rows)
    cards: list[Card] = []
    for at, row in enumerate(rows.to_pylist()):
        pictured = at < PICTURES // 2 or at >= rows.num_rows - PICTURES // 2
        reasons = reasons_in_words(row["reasons"])
        cards.append(
            {
                **row,
                "thumbnail": thumbnail(row["image"]) if pictured else None,
                "attributes": [
                    (name, row[key]) for key, name in ATTRIBUTE_NAMES.items() if row[key]
                ],
                "reasons": reasons,
                "kinds": list(dict.fromkeys(map(_kind, reasons))),
                "known": known.get(row["query_id"], []),
            }
        )
    return cards


def card_choices(cards: list[Card], name: str) -> list[str]:
    """Return the most frequent values that the cards can be filtered by.

    Args:
        cards: of `correction_cards`.
        name: "kinds" or "category".
    """
    values: Counter[str] = Counter()
    for card in cards:
        value = card[name]
        values.update(map(str, value) if isinstance(value, list) else [str(value)] * bool(value))
    return sorted(value for value, _ in values.most_common(MAX_KINDS))


def title_cards(store: Store) -> list[Card]:
    """Return up to TITLE_CARDS image-title corrections."""
    parameters = {"some": 50 * TITLE_CARDS, "cards": TITLE_CARDS}
    rows = store.arrow(card_statement("titles"), parameters).to_pylist()
    return [{**row, "thumbnail": thumbnail(row["image"])} for row in rows]


def _known_titles(store: Store, rows: pa.Table) -> dict[str, list[str]]:
    with store.registered("shown", rows.select(["query_id"])):
        return dict(store.rows(card_statement("known")))


def _kind(reason: str) -> str:
    """Return what a reason is about: "colour" of "colour: red (in the title)"."""
    name, found, _ = reason.partition(":")
    return name if found else "title alone"
