"""The review sheet that audit --sample writes."""

from __future__ import annotations

from pathlib import Path

from genfilt.cli.options import Split, check_exists, check_output
from genfilt.common.console import say
from genfilt.store.store import Store

DEFAULT_SHEET = Path("artifacts/review.csv")


def write_sample(db: Path, size: int, split: Split, out: Path, *, overwrite: bool) -> None:
    """Draw corrections of a split and write them as a sheet with a page of pictures beside it.

    Raises:
        UsageError: `out` is the database or not a CSV file, or files that people made would be
            replaced without `overwrite`.
        UserError: there is nothing to review, or a file cannot be written.
    """
    from genfilt.inspect.review import draw_sample
    from genfilt.inspect.review_sheet import check_sheet, page_of, write_sheet

    check_output(out, db)
    check_output(page_of(out), db)
    check_sheet(out, overwrite=overwrite)
    check_exists(db)
    with Store(db) as store:
        rows = draw_sample(store, size, split=split.value)
    page = write_sheet(rows, out)
    say(
        f"{len(rows):,} corrections to review in {out}, with pictures in {page}. Fill in verdict "
        f"(1 or 0) and run: genfilt ingest --reviews {out}"
    )
