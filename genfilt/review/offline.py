"""The review page as one file that works without a server, and saves review.csv."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path

from genfilt.common.atomic import write_text
from genfilt.common.console import track
from genfilt.common.local_page.skeleton import offline_page
from genfilt.common.photos import thumbnail
from genfilt.review.cards import load_card, picture_paths
from genfilt.review.queue import load_queue
from genfilt.review.session import ReviewSession
from genfilt.store.store import Store


def write_offline_page(session: ReviewSession, path: Path, reviewer: str = "") -> int:
    """Write the pairs of a draw as one HTML file with their pictures; return how many.

    The file needs no network: its only script is allowed by its hash, and pictures are data URLs.

    Raises:
        UserError: the file cannot be written.
    """
    with Store(session.db, read_only=True) as store:
        items = load_queue(store, session.draw, reviewer)
        cards = []
        pictures: dict[str, str | None] = {}
        with track("cards", len(items)) as advance:
            for item in items:
                card = load_card(store, item.query_id, item.product_id, session.link)
                cards.append(asdict(card))
                new = [i for i in card.shown_products if i not in pictures]
                paths = picture_paths(store, new)
                pictures |= {i: thumbnail(paths[i]) if i in paths else None for i in new}
                advance(1)
    data = {
        # Under this name the browser keeps the answers: another draw's page must not show them.
        "page": f"{session.draw}-{secrets.token_hex(8)}",
        "items": [asdict(item) for item in items],
        "cards": cards,
        "pictures": pictures,
    }
    values = {"heading": session.title, "remark": session.remark, "person": reviewer}
    write_text(path, offline_page("genfilt.review", "review", values, data))
    return len(items)
