"""Self-contained HTML pages from catalogue text, which is hostile input: everything is escaped."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Mapping

from genfilt.common.photos import thumbnail

SKELETONS = "genfilt.common.local_page"  # the package of the pages that others extend
JOINERS = "\u200c\u200d"  # of which emoji and some scripts are made
HIDDEN = ("Cc", "Cf", "Cs", "Co")  # Unicode categories of control and formatting characters


def render(package: str, template: str, values: Mapping[str, object]) -> str:
    """Return a template filled in, every value escaped.

    Templates may extend those of `genfilt.common.local_page`. They know the filters `plain` (text
    without control characters), `count` (a number with separators) and `thumbnail` (a picture's
    path as a data URL).

    Args:
        package: the package whose folder `templates` holds the template.
        template: its file name.
        values: the values it names; a name that is missing is an error.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in (package, SKELETONS)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": plain, "count": _count, "thumbnail": thumbnail}
    return environment.get_template(template).render(values)


def plain(text: object, limit: int = 300) -> str:
    """Return a text without control and direction characters, cut to `limit` characters.

    None is the empty text.
    """
    if text is None:
        return ""
    kept = "".join(
        c if c in JOINERS or unicodedata.category(c) not in HIDDEN else " "
        for c in str(text)[: 4 * limit]
    )
    words = " ".join(kept.split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def content_hash(text: str) -> str:
    """Return the source by which a Content-Security-Policy allows an inline script or style."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
