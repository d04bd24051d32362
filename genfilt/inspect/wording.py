"""Attribute names and reasons of the filter in the words of a merchandiser."""

from __future__ import annotations

import re

from genfilt.common.html import plain
from genfilt.filter.audit import TITLE_ALONE

# Columns of the attributes of a title.
ATTRIBUTE_NAMES = {
    "core_word": "kind",
    "brand": "brand",
    "color": "colour",
    "material": "material",
    "model_parameters": "sizes and models",
}
# Names of what a query requests, as the filter writes them, and in a merchandiser's words.
KINDS = {
    "type": "kind of product",
    "parameter": "size or model",
    "audience": "made for",
}
JUDGED_BY_TITLE = "judged by the title alone, since nothing was read from a picture"
CLICKS = {
    "its clicks": "shoppers' clicks",
    "clicks on such titles": "shoppers' clicks on products with such titles",
}
BY_CLICKS = re.compile(
    r"(?P<name>[^:]+): (?P<value>.+), (?P<how>by|unlike) "
    r"(?P<whose>its clicks|clicks on such titles)"
)
BY_TEXT = re.compile(
    r"(?P<name>[^:]+): (?P<value>.+?)(?: = (?P<same>.+?)|, not (?P<other>.+?))?"
    r"(?P<picture>, from the picture)?"
)


def reasons_in_words(reasons: str | None) -> list[str]:
    """Return the reasons of a candidate, one sentence each, without control characters.

    "type: cushion, by its clicks" becomes "kind of product: cushion (shoppers' clicks say so)".
    What has another form stays as it is.

    Args:
        reasons: the column of that name, separated by semicolons; None for none.
    """
    parts = (plain(part) for part in (reasons or "").split(";"))
    return [_in_words(part) for part in parts if part]


def _in_words(reason: str) -> str:
    if reason == TITLE_ALONE:
        return JUDGED_BY_TITLE
    if match := BY_CLICKS.fullmatch(reason):
        clicks = CLICKS[match["whose"]]
        end = f" ({clicks} say so)" if match["how"] == "by" else f", but {clicks} speak against it"
        return f"{_kind(match['name'])}: {match['value']}{end}"
    if match := BY_TEXT.fullmatch(reason):
        place = "picture" if match["picture"] else "title"
        wanted = f"{_kind(match['name'])}: {match['value']}"
        if match["other"]:
            return f"{wanted}, but {match['other']} in the {place}"
        shown = f"{match['same']} " if match["same"] else ""
        return f"{wanted} ({shown}in the {place})"
    return reason


def _kind(name: str) -> str:
    return KINDS.get(name, name)
