"""What the pages promise is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import genfilt.cli.app
import trainer.cli.app

ROOT = Path(__file__).parent.parent
APPS = {"genfilt": genfilt.cli.app.app, "trainer": trainer.cli.app.app}


def commands(name: str) -> dict[str, set[str]]:
    """Return the options of each command; a group's commands are named with a blank."""
    found: dict[str, set[str]] = {}

    def visit(command: object, path: str) -> None:
        for child_name, child in getattr(command, "commands", {}).items():
            visit(child, f"{path} {child_name}".strip())
        if not getattr(command, "commands", {}):
            found[path] = {option for p in command.params for option in p.opts}  # type: ignore[attr-defined]

    visit(typer.main.get_command(APPS[name]), "")
    return found


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_every_command_line_on_a_page_is_understood(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    known = {name: commands(name) for name in APPS}
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    found = "\n".join(blocks).replace("\\\n", " ")
    lines = re.findall(r"^\s*((?:genfilt|trainer) [a-z].*)$", found, flags=re.MULTILINE)
    assert lines or page != "README.md"
    for line in lines:
        name, *words = line.split("#")[0].split('"')[0].split()
        named = " ".join(words)
        command = next((c for c in known[name] if f"{named} ".startswith(f"{c} ")), None)
        assert command is not None, line
        for option in re.findall(r"(?<!\S)--[a-z-]+", line):
            assert option in known[name][command] or option == "--help", line


@pytest.mark.parametrize("name", APPS)
def test_every_command_says_what_it_does(name: str) -> None:
    group = typer.main.get_command(APPS[name])
    for child in group.commands.values():  # type: ignore[attr-defined]
        assert child.help or getattr(child, "commands", None)


def test_links_between_pages_lead_somewhere() -> None:
    for page in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "benchmarks").rglob("*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("name", APPS)
def test_help_needs_no_heavy_import(name: str) -> None:
    code = (
        f"import sys; from {name}.cli import app\n"
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'skimage', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "imported"),
    [("genfilt", "Store, threshold_join"), ("trainer", "RelevanceModel, Positives")],
)
def test_names_of_a_package_load_on_first_use(name: str, imported: str) -> None:
    code = (
        f"import sys, {name}\n"
        "light = {'torch', 'duckdb', 'numpy'} & set(sys.modules)\n"
        f"from {name} import {imported}\n"
        f"print(sorted(light), sorted(n for n in {name}.__all__ if not hasattr({name}, n)), "
        f"*({imported},))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] [] <class '")


def test_every_dependency_is_held_by_a_constraint() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dev"], *extras["benchmarks"]]
    held = {
        re.split(r"[=<>]", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    }
    for requirement in wanted:
        assert re.split(r"[=<>\[]", requirement)[0].lower().replace("_", "-") in held, requirement
