"""Tables in object storage, s3://, gs:// and abfs://: copied to a temporary file and read there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from genfilt.common.errors import UserError

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss")
BYTES_AT_A_TIME = 1 << 22


def is_object(source: str) -> bool:
    """Return whether a source is the address of an object."""
    return urlsplit(source).scheme in SCHEMES


@contextmanager
def copied(source: str) -> Iterator[Path]:
    """Give a local copy of an object, under its own name, until the block ends.

    Credentials and endpoints are those of the cloud's own tools (AWS_ACCESS_KEY_ID,
    GOOGLE_APPLICATION_CREDENTIALS and the like), or stand in the address, as pyarrow reads it:
    s3://bucket/key?region=eu-west-1&endpoint_override=host:port&scheme=http.

    Args:
        source: the address.

    Raises:
        UserError: the object is missing or cannot be reached.
    """
    import pyarrow as pa
    from pyarrow import fs

    name = Path(urlsplit(source).path).name
    with TemporaryDirectory(prefix="genfilt-") as folder:
        path = Path(folder) / (name or "object")
        try:
            system, key = fs.FileSystem.from_uri(source)
            with system.open_input_stream(key) as remote, path.open("wb") as local:
                shutil.copyfileobj(remote, local, BYTES_AT_A_TIME)
        except (pa.ArrowException, OSError) as error:
            raise UserError(
                f"{source} cannot be read ({str(error).splitlines()[0]}); check the address, the "
                "credentials and the region."
            ) from error
        yield path
