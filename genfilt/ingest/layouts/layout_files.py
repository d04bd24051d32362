"""Finding the files of a layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genfilt.common.errors import UserError


def find(folder: Path, names: Sequence[str], below: Sequence[str] = ("",)) -> Path | None:
    """Return the first of `names` in `folder` or in one of its subfolders `below`."""
    choices = [folder / inner / name for name in names for inner in below]
    return next((path for path in choices if path.is_file()), None)


def find_required(folder: Path, name: str, below: Sequence[str] = ("",)) -> Path:
    """Return the file `name` as `find` does.

    Raises:
        UserError: it is not there.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; name the one that holds {name}.")
    path = find(folder, [name], below)
    if path is None:
        raise UserError(f"{folder} has no {name}; name the folder that holds it.")
    return path
