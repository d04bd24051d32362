"""Self-contained HTML from catalogue text, which is hostile input: everything is escaped."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

THUMBNAIL_SIDE = 200  # pixels
THUMBNAIL_QUALITY = 72
PIXELS = 40_000_000  # a larger picture is not opened
JOINERS = "\u200c\u200d"  # of which emoji and some scripts are made


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a template of this package filled in, every value escaped.

    Args:
        template: its file name.
        values: what it names; a name that it uses and does not find is an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("genfilt", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    environment.filters["count"] = _count
    return environment.get_template(template).render(values)


def write_page(path: Path, text: str) -> None:
    """Write a page whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def plain(text: object, limit: int = 300) -> str:
    """Return a text without control characters and turns of direction, cut to `limit`."""
    kept = "".join(
        c if c in JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co") else " "
        for c in str(text)[: 4 * limit]
    )
    words = " ".join(kept.split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def thumbnail(path: str | None) -> str | None:
    """Return a picture as a small data URL, None where there is none that can be shown."""
    from PIL import Image

    from genfilt.generators.picture import open_rgb

    if not path:
        return None
    try:
        with Image.open(path) as header:
            if header.width * header.height > PIXELS:
                return None
        picture = open_rgb(Path(path), THUMBNAIL_SIDE)
        held = BytesIO()
        picture.save(held, "JPEG", quality=THUMBNAIL_QUALITY, optimize=True)
    except Exception:  # Pillow's readers raise whatever a broken file leads to
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode('ascii')}"
