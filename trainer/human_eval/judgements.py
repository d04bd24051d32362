"""Judges' grades of a sheet's rows in a file beside it, to which the served page appends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from genfilt.common.errors import UserError
from genfilt.common.local_page.json_lines import JsonLines
from trainer.human_eval.sheet import GRADES, Judgement

MAX_JUDGE = 80  # characters of a judge's name


class Judgements:
    """Grades by judge and row; the latest of a judge counts, and None withdraws it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._lines = JsonLines(path)

    def append(self, row: str, judge: str, grade: int | None) -> None:
        """Add a grade, as a place in GRADES; it is on disk when this returns.

        Raises:
            UserError: the judge has no name or a long one, or the file cannot be written.
        """
        if not judge:
            raise UserError("Enter your name first: grades of different judges are compared.")
        if len(judge) > MAX_JUDGE:
            raise UserError(f"A judge's name has at most {MAX_JUDGE} characters.")
        word = None if grade is None else GRADES[grade]
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._lines.append({"row": row, "judge": judge, "verdict": word, "at": at})

    def latest(self) -> dict[str, dict[str, int]]:
        """Return the grades that count, by judge and row."""
        found: dict[str, dict[str, int]] = {}
        for row, judge, grade in _grades(self._lines.read()):
            if grade is None:
                found.get(judge, {}).pop(row, None)
            else:
                found.setdefault(judge, {})[row] = grade
        return {judge: grades for judge, grades in found.items() if grades}


def read_judgements(path: Path) -> list[Judgement]:
    """Return the grades that count of a file that the served page wrote.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    if not path.is_file():
        raise UserError(f"There are no judgements in {path}; trainer judge serve writes them.")
    return [
        Judgement(row, judge, grade, f"{path}, row {row}")
        for judge, grades in Judgements(path).latest().items()
        for row, grade in grades.items()
    ]


def _grades(lines: list[dict[str, object]]) -> Iterator[tuple[str, str, int | None]]:
    """Give row, judge and grade of the lines; what is none is left out."""
    places = {name: place for place, name in enumerate(GRADES)}
    for line in lines:
        row, judge, word = line.get("row"), line.get("judge"), line.get("verdict")
        if isinstance(row, str) and isinstance(judge, str) and word in (None, *places):
            yield row, judge, None if word is None else places[str(word)]
