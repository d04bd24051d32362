from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from genfilt.common.errors import UsageError, UserError
from genfilt.ingest.formats.text_files import BLOCK, TextFile

TEXT = "product_id,title\n1,Café 5 €, weiß\n"


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("cp1252", ""),
        ("utf-16", ""),
        ("utf-32", ""),
        ("utf-16-le", ""),
        ("utf-16-be", ""),
        ("utf-16-be", "\ufeff"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_encoding_is_found(tmp_path: Path, encoding: str, mark: str, packed: bool) -> None:
    content = f"{mark}{TEXT}".encode(encoding)
    path = tmp_path / "p.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    with TextFile(path).open() as text:
        assert text.read() == TEXT


def test_a_guess_is_remarked_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(b"a\n" * BLOCK + "Café".encode("cp1252"))
    assert TextFile(path).encoding == "cp1252"
    assert f"--encoding if line {BLOCK + 1} looks wrong: Caf\u00e9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\xff\xfe\n\0", "is empty"),
        ("Café Größe ä\n".encode() + b"bad \xe9 byte\n", "1 bytes are not, the first in line 2"),
        (b"\x81\x8d\x8f mug", "neither UTF-8 nor cp1252"),
        (b"PK\x03\x04 and more", "workbook"),
        (b"PAR1 and more", "Parquet"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        TextFile(path).open().close()


def test_a_table_after_thousands_of_blank_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("\n" * 10_000 + TEXT, "utf-8")
    with TextFile(path).open() as text:
        assert text.read().endswith(TEXT)


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    packed = gzip.compress("".join(f"{n},Mug {n * n}\n" for n in range(5000)).encode())
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    for content in (packed[: len(packed) // 2], bytes(flipped), packed[:5]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="p.csv cannot be decompressed .*download it again"):
            TextFile(path).open().read()


@pytest.mark.parametrize("name", ["undefined", "hex", "", "klingon"])
def test_an_encoding_that_decodes_no_text_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "p.csv").write_text(TEXT, "utf-8")
    with pytest.raises(UsageError, match="--encoding must be"):
        TextFile(tmp_path / "p.csv", name).open().close()
