"""Finding the picture files that rows name, and nothing outside the folder that was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from genfilt.generators.base import Failure
from genfilt.keys import bytes_key, file_key

HASHING_THREADS = 8  # reading waits for the disk, and hashing lets go of the interpreter


def locate(image: str, root: Path) -> Path | Failure:
    """Return the file that `image` names below `root`.

    A first folder that is root's own name may be repeated: with images/a.jpg both the folder
    that holds images/ and images/ itself are found.
    """
    if image.lower().startswith(("http://", "https://")):
        return Failure("picture not downloaded", f"{image}: give --download DIR")
    named = Path(image)
    choices = [root / named]
    if len(named.parts) > 1 and named.parts[0] == root.name:
        choices.append(root.parent / named)
    try:
        inside = root.resolve()
        for choice in choices:
            if choice.is_file():
                found = choice.resolve()
                if found.is_relative_to(inside):
                    return found
                return Failure("picture outside --images", f"{image} leads to {found}")
    except (OSError, ValueError) as error:  # a name too long, or with a NUL in it
        return Failure("missing picture", f"{image[:200]!r}: {error}")
    return Failure("missing picture", f"{image} is not below {root}")


def fingerprint(image: str | None, root: Path) -> tuple[str, str] | Failure | None:
    """Return (absolute path, image key), why there is none, or None where no picture is named."""
    if not image:
        return None
    path = locate(image, root)
    if isinstance(path, Failure):
        return path
    try:
        return str(path), file_key(path)
    except OSError as error:
        return Failure("unreadable picture", f"{path}: {error}")


def fingerprints(
    images: Iterable[str | None], root: Path
) -> Iterator[tuple[str, str] | Failure | None]:
    """Yield `fingerprint` of each image in order, reading several files at a time."""
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        yield from pool.map(lambda image: fingerprint(image, root), images)


def keep_embedded(image: Any, folder: Path) -> str | None:
    """Write a picture that came as bytes in its row to `folder`; return what names it.

    A datasets picture is {"bytes", "path"}; plain bytes and paths are taken as they are.
    """
    if isinstance(image, dict):
        image = image.get("bytes") or image.get("path")
    if image is None or isinstance(image, str):
        return image
    content = bytes(image)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / bytes_key(content)
    if not path.exists():
        partial = path.with_suffix(".part")
        partial.write_bytes(content)
        partial.replace(path)
    return str(path)
