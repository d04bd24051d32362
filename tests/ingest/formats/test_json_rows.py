from __future__ import annotations

from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.ingest.formats.json_rows import MAX_COLUMNS, read_json


def read(path: Path, content: str | bytes) -> list[dict[str, object]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_json(path).to_pylist()  # type: ignore[no-any-return]


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    lines = '{"id": 12345678901234567890, "n": 1e400}\n\n{"id": "007", "n": 3.0, "ok": true}\n'
    assert read(tmp_path / "a.jsonl", lines) == [
        {"id": "12345678901234567890", "n": "1e400", "ok": None},
        {"id": "007", "n": "3.0", "ok": "true"},
    ]


def test_an_array_of_objects(tmp_path: Path) -> None:
    assert read(tmp_path / "a.json", ' [{"id": 1, "n": NaN}, {"id": 2}]') == [
        {"id": "1", "n": None},
        {"id": "2", "n": None},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": 1}\n{"id": 2,\n', "line 2 is not JSON"),
        ('{"id": 1}\n5\n', "line 2 is not an object"),
        ("[1, 2]", "element 1 is not an object"),
        ('{"id": "\\ud800"}\n', "half of a character"),
        ('{"id": 1, "\\ud800": 1}\n', "half of a character .* in a column's name"),
        ('{"id": ' + "[" * 100_000 + "]" * 100_000 + "}\n", "nested too deeply"),
        (b'{"id": "\xff"}\n', "is not UTF-8"),
        ("[]", "holds no rows"),
        ("", "is empty"),
    ],
)
def test_faults_are_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.jsonl", content)


def test_objects_keyed_by_an_id_are_read_in_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [f'{{"id": {n}, "k{n}": 1}}' for n in range(20_000)]
    path.write_text("\n".join([*lines, '{"title": "Mug"}']))
    table = read_json(path, known=("id", "title"))
    assert table["title"].to_pylist()[-2:] == [None, "Mug"]
    assert table["id"].to_pylist()[-2:] == ["19999", None]
    assert table.num_columns < 2 * MAX_COLUMNS
