"""Records of a stage's run: progress, the losses of each batch, skipped products, the summary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

from genfilt.common.atomic import write_text
from genfilt.common.console import say
from genfilt.common.errors import UserError
from trainer.training.checkpoint import current

LOG, SUMMARY, SKIPPED = "log.jsonl", "summary.json", "skipped.json"


@dataclass
class Progress:
    """Where a run stands: all that is needed to go on, beside weights and optimiser."""

    step: int = 0  # batches done
    seconds: float = 0.0
    rows: int = 0  # rows seen
    positives: int = 0  # their positives, summed
    skipped: dict[str, str] = field(default_factory=dict)  # product id -> reason
    best_epoch: int = 0  # with `keep` best: the epoch whose weights are kept so far
    best_auc: float = 0.0  # its AUC on val
    losses: dict[str, float] = field(default_factory=dict)  # the last batch's

    @property
    def positives_a_row(self) -> float:
        """How many columns of the batch were positive for a row, on average."""
        return self.positives / max(self.rows, 1)

    @classmethod
    def from_state(cls, state: Mapping[str, object]) -> Progress:
        """Undo `vars`, after JSON."""
        progress = cls()
        for name, value in state.items():
            setattr(progress, name, value)
        return progress


@dataclass(frozen=True)
class Summary:
    """Result of a finished stage, as it is printed."""

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
    best_epoch: int | None = None  # by val; None where the last epoch's weights are kept

    @property
    def comparison(self) -> str:
        """Corrections in the stage's masks and positives a row, or that there were none."""
        used = self.image_title_corrections  # the only ones that the losses of stage 1 mask
        if self.stage > 1:
            used += self.query_product_corrections
        if not used and "genfilt" not in self.without:
            return f"no corrections: not a comparison; {self.positives_a_row:.2f} positives a row"
        parts = f" without {', '.join(self.without)}" if self.without else ""
        return f"trained{parts} with {used} corrections, {self.positives_a_row:.2f} positives a row"

    def write(self, run: Path) -> None:
        """Keep the summary in a run's folder.

        Raises:
            UserError: the file cannot be written.
        """
        write_text(run / SUMMARY, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, folder: Path) -> Summary:
        """Return the summary of a stage's or run's folder.

        Raises:
            UserError: there is none, or it is of another version.
        """
        path = current(folder) / SUMMARY
        try:
            values = json.loads(path.read_text("utf-8"))
            return cls(**values | {"without": tuple(values.get("without", ()))})
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path} cannot be read ({error}); train the stage anew.") from error


class LossLog:
    """One JSON line a batch in the run's folder; a resumed run goes on where it stood.

    Args:
        run: the run's folder.
        step: the batch to go on from; what was logged from it on is dropped.
        write: False in all processes but the first.
    """

    def __init__(self, run: Path, step: int, *, write: bool = True) -> None:
        self.path = run / LOG
        self.write = write
        if write:
            kept = self.path.read_text("utf-8").splitlines()[:step] if self.path.exists() else []
            self._file = self.path.open("w", encoding="utf-8", buffering=1)
            self._file.writelines(f"{line}\n" for line in kept)

    def __enter__(self) -> LossLog:
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


def report_skipped(progress: Progress, unread: Sequence[tuple[str, str]]) -> None:
    """Add products whose pictures could not be read, (id, reason), and print the new ones."""
    for product_id, reason in unread:
        if product_id not in progress.skipped:
            progress.skipped[product_id] = reason
            say(f"The picture of {product_id} is skipped: {reason}.")


def write_skipped(run: Path, skipped: Mapping[str, str]) -> None:
    """List the skipped products, id -> reason, in the run's folder, where there are some.

    Raises:
        UserError: the file cannot be written.
    """
    path = run / SKIPPED
    path.unlink(missing_ok=True)
    if skipped:
        write_text(path, json.dumps(dict(skipped), indent=1, ensure_ascii=False))
        say(f"{len(skipped)} products were skipped for their pictures; {path} lists them.")
