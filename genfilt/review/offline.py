"""The review page as one file that works without a server, and saves review.csv."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from genfilt.common.atomic import write_text
from genfilt.common.console import track
from genfilt.common.html import content_hash, render
from genfilt.common.photos import thumbnail
from genfilt.review.cards import load_card, picture_paths
from genfilt.review.queue import load_queue
from genfilt.review.session import ReviewSession
from genfilt.store.store import Store

# Characters that could end the script element that holds the data.
JSON_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


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
    text = json.dumps(data, ensure_ascii=False, default=str).translate(JSON_ESCAPES)
    script, style = (
        (files("genfilt.review") / "static" / name).read_text("utf-8")
        for name in ("review.js", "review.css")
    )
    values = {
        "heading": session.title,
        "reviewer": reviewer,
        "script": script,
        "style": style,
        "data": text,
        "policy": (
            f"default-src 'none'; img-src data:; script-src {content_hash(script)}; "
            f"style-src {content_hash(style)}; base-uri 'none'; form-action 'none'"
        ),
    }
    write_text(path, render("genfilt.review", "review.html.jinja", values))
    return len(items)
