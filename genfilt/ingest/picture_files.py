"""Picture files by the names that rows give them, and nothing outside the folder that was given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from genfilt.store.failures import Failure

OUR_NAME = re.compile("[0-9a-f]{32}")
DRIVE = re.compile(r"^[A-Za-z]:(?=[\\/])")
LIST_SEPARATORS = "\n|,;"

Fetched = Mapping[str, "Path | Failure"]  # by address


@dataclass(frozen=True)
class PictureFolders:
    """Where a catalogue's pictures lie.

    Attributes:
        root: the folder that the user named; of the user's paths nothing outside it is read.
        embedded: where pictures that came as bytes are written, each named by its key.
        downloaded: where pictures that came as addresses lie, each named by its address's key.
        fetch: whether those that are not there yet are downloaded.
        is_named: whether the user named `root`, where it is not the folder of the catalogue.
    """

    root: Path
    embedded: Path
    downloaded: Path | None = None
    fetch: bool = False
    is_named: bool = False


def picture_path(
    image: str | None, places: PictureFolders, fetched: Fetched | None = None
) -> Path | Failure | None:
    """Return a picture's file, why there is none, or None where no picture is named."""
    if not image:
        return None
    if is_url(image):
        return _downloaded(image, places, fetched or {})
    if _is_ours(image, places):
        return Path(image)
    return locate(image, places.root)


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
    remedy = "give --download DIR, or --images DIR with a file of that name"
    return Failure("picture not downloaded", f"{url[:500]}: {remedy}")


def files_of_addresses(images: pa.ChunkedArray, root: Path) -> dict[str, Path]:
    """Return the files below a folder that have the names at the end of addresses, by address.

    Shops that export addresses often have the files too. A name at the end of two addresses says
    nothing of which file is meant and is left out.

    Args:
        images: (N,) names of pictures, addresses among them.
        root: the folder that the user named.
    """
    addresses = [image for image in pc.unique(images).to_pylist() if image and is_url(image)]
    paths = {address: PurePosixPath(_as_path(urlsplit(address).path)) for address in addresses}
    times = Counter(path.name for path in set(paths.values()))
    found = {}
    for address, path in paths.items():
        file = locate(path.name, root) if path.name and times[path.name] == 1 else None
        if isinstance(file, Path):
            found[address] = file
    return found


def _is_ours(image: str, places: PictureFolders) -> bool:
    """Tell whether it is a file that an earlier call wrote: named by a key, in a folder of ours."""
    path = Path(image)
    return path.parent in (places.embedded, places.downloaded) and bool(
        OUR_NAME.fullmatch(path.name)
    )


def locate(image: str, root: Path) -> Path | Failure:
    """Return the file that `image` names below `root`.

    The name is tried as it stands, then as shops export it: with a slash in front, a query
    string, backslashes or %20, and the first of several. A first folder that is root's own name
    may be repeated: with images/a.jpg both the folder that holds images/ and images/ itself are
    found.
    """
    outside: Path | None = None
    fault: Exception | None = None
    for spelling in dict.fromkeys(_spellings(image)):
        named = Path(spelling)
        choices = [root / named]
        if len(named.parts) > 1 and named.parts[0] == root.name:
            choices.append(root.parent / named)
        for choice in choices:
            try:
                if not choice.is_file():
                    continue
                found = choice.resolve()
                if found.is_relative_to(root.resolve()):
                    return found
                outside = outside or found
            except (OSError, ValueError) as error:  # a name too long, or with a NUL in it
                fault = error
    if outside is not None:
        return Failure("picture outside --images", f"{image[:200]} leads to {outside}")
    if fault is not None:
        reason = fault.strerror if isinstance(fault, OSError) else fault
        return Failure("missing picture", f"{image[:200]!r}: {reason}")
    return Failure("missing picture", f"{image[:200]} is not below {root}")


def _spellings(image: str) -> Iterator[str]:
    yield image
    yield _as_path(image)
    for separator in LIST_SEPARATORS:
        pieces = [piece.strip() for piece in image.split(separator)]
        first = next((piece for piece in pieces if piece), None)
        if len(pieces) > 1 and first is not None:
            yield first
            yield _as_path(first)


def _as_path(name: str) -> str:
    """Return a name in a shop's export as a relative path."""
    path = DRIVE.sub("", name).replace("\\", "/")
    path = unquote(re.split(r"[?#]", path, maxsplit=1)[0])
    return str(PurePosixPath(path.lstrip("/")))
