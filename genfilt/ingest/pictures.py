"""Finding the picture files that rows name, and nothing outside the folder that was given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from genfilt.common.console import track
from genfilt.generators.protocols import Failure
from genfilt.store.keys import bytes_key, file_key

HASHING_THREADS = 8  # reading waits for the disk, and hashing lets go of the interpreter
OUR_NAME = re.compile("[0-9a-f]{32}")

Picture = tuple[str, str]  # absolute path, image key
Fetched = Mapping[str, "Path | Failure"]  # by address


@dataclass(frozen=True)
class PictureFolders:
    """Where a catalogue's pictures lie.

    Attributes:
        root: the folder that the user named; of the user's paths nothing outside it is read.
        embedded: where pictures that came as bytes are written, each named by its key.
        downloaded: where pictures that came as addresses lie, each named by its address's key.
        fetch: whether those that are not there yet are downloaded.
    """

    root: Path
    embedded: Path
    downloaded: Path | None = None
    fetch: bool = False


@dataclass(frozen=True)
class Found:
    """Path and key of each product's picture, and why some have none, by id."""

    paths: list[str | None]  # as it was named, where nothing was found
    keys: list[str | None]
    failures: list[tuple[str, Failure]] = field(default_factory=list)


def find_pictures(
    ids: Sequence[str], images: Sequence[str | None], places: PictureFolders
) -> Found:
    """Find each product's picture and its key, downloading what is to be fetched."""
    fetched = _fetch(images, places) if places.fetch else {}
    found = Found(list(images), [None] * len(ids))
    look = partial(fingerprint, places=places, fetched=fetched)
    with ThreadPoolExecutor(HASHING_THREADS) as pool, track("pictures", len(ids)) as advance:
        for row, result in enumerate(pool.map(look, images)):
            if isinstance(result, Failure):
                found.failures.append((ids[row], result))
            elif result is not None:
                found.paths[row], found.keys[row] = result
            advance(1)
    return found


def _fetch(images: Sequence[str | None], places: PictureFolders) -> Fetched:
    from genfilt.ingest.download import download

    assert places.downloaded is not None
    urls = list(dict.fromkeys(image for image in images if image and is_url(image)))
    with track("download", len(urls)) as advance:
        return dict(_counted(download(urls, places.downloaded), advance))


def _counted(results: Iterator[Any], advance: Any) -> Iterator[Any]:
    for result in results:
        yield result
        advance(1)


def fingerprint(
    image: str | None, places: PictureFolders, fetched: Fetched | None = None
) -> Picture | Failure | None:
    """Return (absolute path, image key), why there is none, or None where no picture is named."""
    if not image:
        return None
    if is_url(image):
        path = _downloaded(image, places, fetched or {})
    elif _is_ours(image, places):
        path = Path(image)
    else:
        path = locate(image, places.root)
    if isinstance(path, Failure):
        return path
    try:
        return str(path), file_key(path)
    except OSError as error:
        return Failure("unreadable picture", f"{path}: {error}")


def is_url(image: str) -> bool:
    """Tell whether a picture is named by an address."""
    return image.lower().startswith(("http://", "https://"))


def _downloaded(url: str, places: PictureFolders, fetched: Fetched) -> Path | Failure:
    if url in fetched:
        return fetched[url]
    if places.downloaded is not None:
        from genfilt.ingest.download import local_file

        path = local_file(url, places.downloaded)
        if path.is_file():
            return path
    return Failure("picture not downloaded", f"{url[:500]}: give --download DIR")


def _is_ours(image: str, places: PictureFolders) -> bool:
    """Tell whether it is a file that an earlier call wrote: named by a key, in a folder of ours."""
    path = Path(image)
    return path.parent in (places.embedded, places.downloaded) and bool(
        OUR_NAME.fullmatch(path.name)
    )


def locate(image: str, root: Path) -> Path | Failure:
    """Return the file that `image` names below `root`.

    A first folder that is root's own name may be repeated: with images/a.jpg both the folder
    that holds images/ and images/ itself are found.
    """
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
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(content)
        unfinished.replace(path)
    return str(path)
