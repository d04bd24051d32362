"""Text files of unknown encoding: UTF-8, UTF-16, UTF-32 or cp1252, compressed by gzip or not."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from genfilt.common.console import say
from genfilt.common.errors import UsageError, UserError

BLOCK = 1 << 20  # bytes that are decoded at a time
SHOWN = 80  # bytes of a line in a remark
START = 1 << 12  # bytes that show a file's kind
# UTF-32's mark begins like UTF-16's, so it is looked for first.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
GZIP = b"\x1f\x8b"
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods; .xls
PARQUET = b"PAR1"
ZERO_SHARE = 0.3  # of the bytes at odd or at even places: UTF-16 of European text has about 0.5
BLANK = b"\0 \t\r\n\v\f"  # in UTF-16 and UTF-32 a blank has zero bytes beside it
UNDECODABLE = re.compile("[\udc80-\udcff]")


class _GzipFile(gzip.GzipFile):
    """A gzip file whose damage is reported in one sentence."""

    def read(self, size: int | None = -1) -> bytes:
        with self._reported():
            return super().read(size)

    def read1(self, size: int = -1) -> bytes:
        with self._reported():
            return super().read1(size)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(
                f"{self.name} cannot be decompressed ({error}); copy or download it again."
            ) from error


@dataclass(frozen=True)
class TextFile:
    """A text file with its encoding found, or as the user named it.

    Attributes:
        path: the file; one that begins as gzip does is decompressed.
        named: the encoding of --encoding, None to find it.
        unicode_only: never guess cp1252; for JSON, which is Unicode by definition (RFC 8259).
    """

    path: Path
    named: str | None = None
    unicode_only: bool = False

    def start(self) -> bytes:
        """Return the first bytes of the decompressed file.

        Raises:
            UserError: the file is empty, or is a workbook or a Parquet file under a text name.
        """
        with self._binary() as file:
            first = block = file.read(START)
            mark = next((mark for mark, _ in MARKS if first.startswith(mark)), b"")
            block = block.removeprefix(mark)
            while not (filled := block.strip(BLANK)) and (block := file.read(BLOCK)):
                pass
        if not filled:
            raise UserError(f"{self.path} is empty; it needs at least a header line.")
        if first.startswith(WORKBOOKS):
            raise UserError(
                f"{self.path} is an archive or a workbook whatever its name; save the sheet as CSV."
            )
        if first.startswith(PARQUET):
            raise UserError(f"{self.path} is a Parquet file; name it .parquet.")
        return first

    @cached_property
    def encoding(self) -> str:
        """The encoding as Python names it; a guess other than by a mark is remarked on.

        Raises:
            UsageError: the encoding that was named is unknown.
            UserError: the bytes fit no encoding that is looked for.
        """
        first = self.start()
        mark = next((name for mark, name in MARKS if first.startswith(mark)), None)
        if self.named is not None:
            return _known(self.named, first)
        found = mark or _without_mark(first)
        if found is None:
            damage = self._damage()
            if damage is None:
                return "utf-8"
            found = self._single_byte(*damage)
        self._decode_all(found)
        return found

    def open(self) -> TextIO:
        """Open the text; line ends are recognised and kept as they are."""
        encoding = self.encoding  # found before the file is opened, since that may fail
        return io.TextIOWrapper(self._binary(), encoding=encoding, newline="")

    def bad_encoding(self, error: UnicodeError) -> UserError:
        """Return what to raise when reading stopped at bytes of another encoding."""
        line = self._line_of_fault(self.encoding)
        return UserError(
            f"{self.path} is not {self.encoding}: line {line} holds bytes that are none of its "
            f"characters; give the right --encoding, or save the file as UTF-8."
        )

    def _binary(self) -> BinaryIO:
        with self.path.open("rb") as file:
            packed = file.read(len(GZIP)) == GZIP
        return cast(BinaryIO, _GzipFile(self.path)) if packed else self.path.open("rb")

    def _damage(self) -> tuple[int, int, int] | None:
        """Return None for UTF-8, else (bytes that are not, characters that are, line)."""
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        bad = good = lines = line = 0
        with self._binary() as file:
            while block := file.read(BLOCK):
                text = decoder.decode(block)
                if not text.isascii():
                    wrong = UNDECODABLE.findall(text)
                    if wrong and not bad:
                        line = lines + text[: text.index(wrong[0])].count("\n") + 1
                    bad += len(wrong)
                    good += len(text) - len(text.encode("ascii", "ignore")) - len(wrong)
                lines += text.count("\n")
        tail = len(decoder.decode(b"", final=True))
        if tail and not bad:
            line = lines + 1
        return (bad + tail, good, line) if bad + tail else None

    def _single_byte(self, bad: int, good: int, line: int) -> str:
        """Return cp1252, unless the file is UTF-8 with a few broken bytes."""
        if good >= bad or self.unicode_only:
            raise UserError(
                f"{self.path} is not UTF-8: {bad:,} bytes are not, the first in line {line}; "
                f"mend them, or name the file's encoding with --encoding."
            )
        say(
            f"{self.path} is not UTF-8 and is read as cp1252; give --encoding if line {line} "
            f"looks wrong: {self._shown(line)}"
        )
        return "cp1252"

    def _shown(self, line: int) -> str:
        with self._binary() as file:
            content = next(islice(file, line - 1, line), b"")
        return content[:SHOWN].decode("cp1252", "replace").strip()

    def _decode_all(self, encoding: str) -> None:
        try:
            with io.TextIOWrapper(self._binary(), encoding=encoding, newline="") as text:
                while text.read(BLOCK):
                    pass
        except UnicodeError as error:
            line = self._line_of_fault(encoding)
            raise UserError(
                f"{self.path} is neither UTF-8 nor {encoding} (line {line}); name its encoding "
                f"with --encoding, or save it as UTF-8."
            ) from error

    def _line_of_fault(self, encoding: str) -> int:
        decoder = codecs.getincrementaldecoder(encoding)()
        line = 1
        with self._binary() as file:
            while block := file.read(BLOCK):
                try:
                    line += decoder.decode(block).count("\n")
                except UnicodeError as error:
                    start = error.start if isinstance(error, UnicodeDecodeError) else 0
                    return line + block[: max(start, 0)].count(b"\n")
        return line


def _known(name: str, first: bytes) -> str:
    """Return the named encoding, in the form that takes a byte order mark off."""
    try:
        found = codecs.lookup(name).name
        "".encode(found)
    except (LookupError, UnicodeError):  # the codec "undefined" refuses every text
        raise UsageError(
            f"--encoding must be one that Python knows, got {name}; give cp1252, say."
        ) from None
    if found == "utf-8":
        return "utf-8-sig"
    if found in ("utf-16", "utf-16-le", "utf-16-be") and first.startswith(
        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    ):
        return "utf-16"
    return "utf-16-le" if found == "utf-16" else found


def _without_mark(first: bytes) -> str | None:
    """Return UTF-16 in the byte order that its zero bytes show, None for anything else."""
    even, odd = first[::2].count(0), first[1::2].count(0)
    limit = ZERO_SHARE * len(first) / 2
    if odd > limit > even:
        return "utf-16-le"
    return "utf-16-be" if even > limit > odd else None
