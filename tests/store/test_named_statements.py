"""The statements of an SQL file by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from genfilt.store.named_statements import named_statements

SQL = """\
-- A comment on the file.
-- name: first
-- A comment on the statement.
SELECT 1;

-- name: both
DELETE FROM a;
DELETE FROM b;
"""


def test_each_statement_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_of_statements"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "some.sql").write_text(SQL, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert named_statements("package_of_statements", "some.sql") == {
        "first": "-- A comment on the statement.\nSELECT 1",
        "both": "DELETE FROM a;\nDELETE FROM b",
    }
