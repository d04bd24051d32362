"""The HTML of a page on which people judge items: served in parts, or one file that works offline.

A page has a script of its own, which defines what an item is and how it is drawn (`task`), and the
script `page.js` of all pages: keys, answers, undo, progress.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

from genfilt.common.html import content_hash, render

# Characters that could end the script element that holds the data.
JSON_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def skeleton_files() -> dict[str, str]:
    """Return the script and the style of all pages by name."""
    folder = files("genfilt.common.local_page") / "static"
    return {name: (folder / name).read_text("utf-8") for name in ("page.js", "page.css")}


def served_page(package: str, name: str, values: Mapping[str, object]) -> str:
    """Return a page whose scripts and styles a `PageServer` sends.

    Args:
        package: has the templates and static files of the page.
        name: of its template, and of its script.
        values: that the template names.
    """
    parts = {"scripts": (f"{name}.js", "page.js"), "script": None, "style": None, "data": None}
    return render(package, f"{name}.html.jinja", {**values, **parts, "policy": None})


def offline_page(
    package: str, name: str, values: Mapping[str, object], data: Mapping[str, object]
) -> str:
    """Return a page as one file that needs no network; its only script is allowed by its hash.

    Args:
        package: has the templates and static files of the page.
        name: of its template, and of its script.
        values: that the template names.
        data: what a server would answer, for the script.
    """
    shared = skeleton_files()
    script, style = f"{script_of(package, name)}\n{shared['page.js']}", shared["page.css"]
    parts = {
        "scripts": (),
        "script": script,
        "style": style,
        "data": json.dumps(data, ensure_ascii=False, default=str).translate(JSON_ESCAPES),
        "policy": (
            f"default-src 'none'; img-src data:; script-src {content_hash(script)}; "
            f"style-src {content_hash(style)}; base-uri 'none'; form-action 'none'"
        ),
    }
    return render(package, f"{name}.html.jinja", {**values, **parts})


def script_of(package: str, name: str) -> str:
    """Return the text of a page's own script."""
    return (files(package) / "static" / f"{name}.js").read_text("utf-8")
