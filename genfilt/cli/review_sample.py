"""The review sheet that audit --sample writes."""

from __future__ import annotations

from pathlib import Path

from genfilt.cli.options import Split, check_exists, check_output
from genfilt.common.console import say
from genfilt.join.pairs import TOLERANCE
from genfilt.store.store import Store

DRAWN_CORRECTIONS = f"""
SELECT count(*) FROM samples JOIN filters USING (filter_id)
WHERE draw = (SELECT max(draw) FROM samples) AND score >= sigma - {TOLERANCE}
"""
DEFAULT_SHEET = Path("artifacts/review.csv")


def write_sample(db: Path, size: int, split: Split, out: Path, *, overwrite: bool) -> None:
    """Draw pairs of a split, half of them below sigma, and write them as a sheet with a page.

    Raises:
        UsageError: `out` is the database or not a CSV file, or files that people made would be
            replaced without `overwrite`.
        UserError: there is nothing to review, or a file cannot be written.
    """
    from genfilt.filter.lower_candidates import lower_candidates
    from genfilt.inspect.review import draw_sample, next_draw
    from genfilt.inspect.review_sheet import check_sheet, page_of, write_sheet

    check_output(out, db)
    check_output(page_of(out), db)
    check_sheet(out, overwrite=overwrite)
    check_exists(db)
    with Store(db) as store:
        lower = lower_candidates(store, split.value, next_draw(store))
        rows = draw_sample(store, size, split=split.value, lower=lower)
        corrections = int(store.scalar(DRAWN_CORRECTIONS))
    page = write_sheet(rows, out)
    say(
        f"{corrections:,} corrections to review and {len(rows) - corrections:,} candidates below "
        f"sigma in {out}, with pictures in {page}. Fill in verdict (1 or 0) and run: "
        f"genfilt ingest --reviews {out}"
    )
