"""Journal of answers that wait for the database file while another command has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from genfilt.common.local_page.json_lines import JsonLines, parse_lines
from genfilt.review.answers import ReviewAnswer, write_answers
from genfilt.store.store import Store


class Journal:
    """Answers in a file beside the database, one JSON object a line.

    Args:
        db: the database file.
    """

    def __init__(self, db: Path) -> None:
        self.lines = JsonLines(db.with_name(f"{db.name}.reviews.jsonl"))

    @property
    def path(self) -> Path:
        """Return the path of the file."""
        return self.lines.path

    @property
    def is_waiting(self) -> bool:
        """Tell whether there is a journal."""
        return self.path.exists()

    def append(self, answer: ReviewAnswer) -> None:
        """Add an answer; it is on disk when this returns.

        Raises:
            UserError: the file cannot be written.
        """
        self.lines.append(asdict(answer))

    def read(self) -> list[ReviewAnswer]:
        """Return the waiting answers; a line that is no answer is left out."""
        return _answers(self.lines.read())

    def apply(self, store: Store) -> int:
        """Write the waiting answers into the database, remove the journal, and return how many.

        A crash between the two is harmless: the same answers applied again change nothing.
        """
        with self.lines.locked("r+b") as file:
            if file is None:
                return 0
            answers = _answers(parse_lines(file.read()))
            write_answers(store, answers)
            self.path.unlink(missing_ok=True)
            return len(answers)


def _answers(lines: Iterable[Mapping[str, object]]) -> list[ReviewAnswer]:
    answers = []
    for values in lines:
        with suppress(ValueError, TypeError):
            answers.append(ReviewAnswer(**values))  # type: ignore[arg-type]  # it checks them
    return answers
