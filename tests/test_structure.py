"""The structure of the packages: sizes, cycles, names, `Any`, documents, mirrored tests."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from genfilt.store.store import Store
from tests.test_repo import APPS, ROOT, commands

PACKAGES = ("genfilt", "trainer")
MAX_FILE_LINES = 300
MAX_BODY_LINES = 40
MAX_PARAMETERS = 8
MAX_FILES_PER_FOLDER = 16
MAX_ANY_PER_1000_LINES = 3.0

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            yield node


def body_lines(function: Function) -> int:
    """Return the lines from the first statement after the docstring to the last."""
    body = function.body
    first = body[1] if ast.get_docstring(function) is not None and len(body) > 1 else body[0]
    return (function.body[-1].end_lineno or 0) - first.lineno + 1


def is_command(function: Function) -> bool:
    """Tell whether typer reads the function's parameters as a command's options."""
    return "typer.Option" in ast.unparse(function.args)


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in files(*PACKAGES, "benchmarks", "examples", "tests")
        if (lines := len(path.read_text("utf-8").splitlines())) > MAX_FILE_LINES
    }
    assert not long


def test_bodies_are_short() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{function.name}": body_lines(function)
        for path in files(*PACKAGES)
        for function in functions(path)
        if body_lines(function) > MAX_BODY_LINES
    }
    assert not long


def test_functions_take_few_parameters() -> None:
    many = {}
    for path in files(*PACKAGES):
        for function in functions(path):
            given = function.args
            names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls", "context")])
            # numba hands every intrinsic a context in front of its own parameters
            if count > MAX_PARAMETERS and not is_command(function):
                many[f"{path.relative_to(ROOT)}:{function.name}"] = count
    assert not many


def test_folders_are_narrow() -> None:
    width = Counter(path.parent for path in files(*PACKAGES, "tests"))
    wide = {str(f.relative_to(ROOT)): n for f, n in width.items() if n > MAX_FILES_PER_FOLDER}
    assert not wide


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_name_occurs_twice(package: str) -> None:
    places = defaultdict(list)
    for path in files(package):
        if path.stem != "__init__":
            places[path.stem].append(str(path.relative_to(ROOT)))
    assert not {stem: found for stem, found in places.items() if len(found) > 1}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_class_name_occurs_twice(package: str) -> None:
    places = defaultdict(list)
    for path in files(package):
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_any_is_rare() -> None:
    texts = [path.read_text("utf-8") for path in files(*PACKAGES)]
    uses = sum(len(re.findall(r"\bAny\b", text)) for text in texts)
    lines = sum(len(text.splitlines()) for text in texts)
    assert 1000 * uses / lines <= MAX_ANY_PER_1000_LINES, f"{uses} in {lines} lines"


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports(path: Path, known: set[str]) -> set[str]:
    """Return the modules of ours that a file imports at run time, in functions too."""
    found = set()
    type_checking = {
        id(inner)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree(path)):
        if id(node) in type_checking:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found & known


def test_no_module_imports_itself_through_others() -> None:
    names = {module_name(path): path for path in files(*PACKAGES)}
    graph = {name: imports(path, set(names)) - {name} for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name in done:
            return
        for other in sorted(graph[name]):
            visit(other, (*trail, name))
        done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_tests_stand_in_the_folders_of_what_they_test() -> None:
    # the heavy environments of make test-models, and what is no package: the pages, the examples
    mirrored = {"models", "docs", "examples"}
    for package, root in (("genfilt", ROOT / "tests"), ("trainer", ROOT / "tests" / "trainer")):
        for folder in (p for p in root.rglob("*") if p.is_dir() and any(p.glob("test_*.py"))):
            parts = folder.relative_to(root).parts
            if parts and parts[0] not in {*mirrored, "trainer"}:
                assert (ROOT / package).joinpath(*parts).is_dir(), folder
        rooms = {p.name for p in (ROOT / package).iterdir() if any(p.glob("*.py"))}
        tested = {p.name for p in root.iterdir() if p.is_dir() and any(p.rglob("test_*.py"))}
        assert rooms <= tested, f"{package}: no tests of {sorted(rooms - tested)}"


@pytest.mark.parametrize("name", APPS)
def test_the_manual_lists_every_command(name: str) -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    for command in commands(name):
        assert f"{name} {command}" in page, f"{name} {command}"


def test_the_manual_lists_every_table() -> None:
    page = (ROOT / "docs" / "tables.md").read_text("utf-8")
    with Store() as store:
        tables = store.rows(
            "SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views() "
            "WHERE NOT internal"
        )
    for (table,) in tables:
        assert f"`{table}`" in page, table


def test_the_page_of_commands_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import write_commands as w; print(w.describe_commands(), end='')"],
        cwd=ROOT / "docs",
        capture_output=True,
        text=True,
        check=True,
    )
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert done.stdout == page, "run: python docs/write_commands.py"
