"""What a stage writes down: how far it has come, each batch's losses, what it ended with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

LOG, SUMMARY = "log.jsonl", "summary.json"


@dataclass
class Progress:
    """Where a stage stands: all that is needed to go on, beside weights and optimiser."""

    step: int = 0  # batches done
    seconds: float = 0.0
    rows: int = 0  # rows seen
    positives: int = 0  # their positives, summed
    skipped: dict[str, str] = field(default_factory=dict)  # product id -> reason

    @property
    def positives_a_row(self) -> float:
        """How many columns of the batch were positive for a row, on average."""
        return self.positives / max(self.rows, 1)


@dataclass(frozen=True)
class Summary:
    """What a finished stage says of itself; an answer on standard output."""

    stage: int
    folder: str
    rows: int
    steps: int
    query_product_corrections: int
    image_title_corrections: int
    positives_a_row: float
    losses: dict[str, float]
    minutes: float
    peak_memory_gib: float
    skipped: int
    without: tuple[str, ...] = ()

    @property
    def comparison(self) -> str:
        """Corrections used and positives a row, or that there were none to compare."""
        used = self.query_product_corrections + self.image_title_corrections
        if not used and "genfilt" not in self.without:
            return f"no corrections: not a comparison; {self.positives_a_row:.2f} positives a row"
        parts = f" without {', '.join(self.without)}" if self.without else ""
        return f"trained{parts} with {used} corrections, {self.positives_a_row:.2f} positives a row"

    def write(self, folder: Path) -> None:
        """Keep the summary in the stage's folder."""
        (folder / SUMMARY).write_text(json.dumps(asdict(self), indent=1), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Summary:
        """Return what `write` kept."""
        values = json.loads((folder / SUMMARY).read_text("utf-8"))
        return cls(**values | {"without": tuple(values.get("without", ()))})


class Log:
    """One JSON line a batch in the stage's folder; a resumed stage goes on where it stood.

    Args:
        folder: the stage's.
        step: the batch to go on from; what was logged from it on is dropped.
        write: False in all processes but the first.
    """

    def __init__(self, folder: Path, step: int, *, write: bool = True) -> None:
        self.path = folder / LOG
        self.write = write
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            kept = self.path.read_text("utf-8").splitlines()[:step] if self.path.exists() else []
            self._file = self.path.open("w", encoding="utf-8", buffering=1)
            self._file.writelines(f"{line}\n" for line in kept)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.write:
            self._file.close()

    def __call__(self, batch: int, values: Mapping[str, float]) -> None:
        """Write a batch's number and values."""
        if self.write:
            rounded = {name: round(value, 6) for name, value in values.items()}
            self._file.write(json.dumps({"batch": batch, **rounded}) + "\n")
