"""Writer of docs/commands.md from the commands' --help texts: `python docs/write_commands.py`."""

from __future__ import annotations

import html
import re
from importlib import import_module
from pathlib import Path

import typer.main
from typer.cli import get_docs_for_click

HEAD = """\
# Commands

Every command and option of genfilt and trainer. Answers go to standard output, remarks and progress
to standard error. Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but some items failed (they
are in the table `failures`); 130 interrupted. This page is generated from the commands' --help:
`python docs/write_commands.py`.

"""


def describe_commands() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for name in ("genfilt", "trainer"):
        command = typer.main.get_command(import_module(f"{name}.cli.app").app)
        with typer.Context(command, info_name=name) as context:
            text = get_docs_for_click(obj=command, ctx=context, name=name)
        # typer escapes for HTML, but the page shows options as code and examples as text.
        text = re.sub(r"^(#+)", r"#\1", html.unescape(text), flags=re.MULTILINE)
        parts.append(re.sub(r"(?<!\n)\n\n\n+", "\n\n", text).strip() + "\n\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("commands.md").write_text(describe_commands(), encoding="utf-8")
