"""The separate environment that LAVIS needs: its pinned versions and ours exclude each other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path

from genfilt.common.console import say
from genfilt.common.errors import UserError
from genfilt.store.keys import file_key

FOLDER_VARIABLE = "GENFILT_LAVIS_ENV"
PYTHON_VERSION = (3, 11)  # the newest with wheels of the tokenizers that LAVIS's transformers needs
_STAMP = "genfilt-lavis.stamp"
# Some of LAVIS's dependencies build with the setuptools that is there, and need these to.
_BUILD_TOOLS = ("setuptools==80.10.2", "wheel==0.48.0", "numpy==1.26.4", "torch==2.13.0")


def lavis_folder() -> Path:
    """Return where the environment is: GENFILT_LAVIS_ENV, else the user's data folder."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "genfilt" / "lavis"


def lavis_python(folder: Path) -> Path:
    """Return the environment's interpreter; raises UserError where it was never set up."""
    python = folder / "bin" / "python"
    if not python.is_file() or not (folder / _STAMP).is_file():
        raise UserError(
            f"There is no LAVIS environment in {folder}; run genfilt setup lavis, or name one "
            f"with {FOLDER_VARIABLE}."
        )
    return python


def setup_lavis(folder: Path | None = None, *, python: str | None = None) -> Path:
    """Create the environment from the frozen list, unless it is there, and return its folder.

    Args:
        folder: where; by default `lavis_folder()`.
        python: a Python 3.11; by default our own where it is one, else `python3.11`.

    Raises:
        UserError: there is no Python 3.11, or pip fails (with its last lines).
    """
    where = folder or lavis_folder()
    with as_file(files("genfilt.generators.vlm.lavis") / "lavis-requirements.txt") as frozen:
        stamp = file_key(frozen)
        if _is_complete(where, stamp):
            say(f"LAVIS is set up in {where}.")
            return where
        base = python or _find_python()
        say(f"Setting up LAVIS in {where}; this takes some minutes and 2.5 GB.")
        (where / _STAMP).unlink(missing_ok=True)  # first: a removal that is cut off leaves no stamp
        shutil.rmtree(where, ignore_errors=True)
        _run([base, "-m", "venv", str(where)])
        pip = [str(where / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
        dependencies = ["filelock", "typing_extensions", "sympy", "mpmath", "networkx", "Jinja2"]
        pins = ["-c", str(frozen)]
        _run([*pip, *pins, *_BUILD_TOOLS, *dependencies, "MarkupSafe", "fsspec"])
        _run([*pip, "--no-build-isolation", "-r", str(frozen)])
    (where / _STAMP).write_text(stamp)
    return where


def _is_complete(folder: Path, stamp: str) -> bool:
    """Tell whether the environment was set up from the list with this key, and still has Python."""
    file = folder / _STAMP
    return (folder / "bin" / "python").is_file() and file.is_file() and file.read_text() == stamp


def _find_python() -> str:
    if sys.version_info[:2] == PYTHON_VERSION:
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        raise UserError("LAVIS needs Python 3.11; install it, or name one with --python.")
    return found


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not a Python interpreter; name a Python 3.11.") from None
    except subprocess.CalledProcessError as error:
        lines = "\n".join((error.stderr or error.stdout).splitlines()[-15:])
        raise UserError(
            f"Setting up LAVIS failed at {' '.join(command[:5])} ...:\n{lines}\n"
            "Run the same command again when that is corrected."
        ) from None
