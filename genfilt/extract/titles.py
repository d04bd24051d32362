"""Step 2a: the language model, or the lexicon, reads each distinct title into attributes."""

from __future__ import annotations

from typing import Any

from genfilt.extract.estimate import SAMPLE, estimate
from genfilt.extract.missing import Step, StepCounts
from genfilt.generators.protocols import FIELDS, AttributeReader, Attributes
from genfilt.store.store import Store, now

STEP = "extract"

MISSING = """
SELECT title_key, any_value(title) AS title FROM products
WHERE NOT EXISTS (FROM attributes a WHERE a.title_key = products.title_key
                  AND a.prompt_key = $prompt_key AND a.generator = $generator)
  AND ($retry OR NOT EXISTS (FROM failures f WHERE f.step = $step AND f.generator = $generator
                             AND f.item_key = products.title_key))
GROUP BY title_key ORDER BY title_key
"""


MISSING_QUERIES = """
SELECT query_key, any_value(query) AS query FROM queries
WHERE NOT EXISTS (FROM attributes a WHERE a.title_key = queries.query_key
                  AND a.prompt_key = $prompt_key AND a.generator = $generator)
  AND ($retry OR NOT EXISTS (FROM failures f WHERE f.step = $step AND f.generator = $generator
                             AND f.item_key = queries.query_key))
GROUP BY query_key ORDER BY query_key
"""


def extract_attributes(
    store: Store, reader: AttributeReader, *, retry_failed: bool = False
) -> StepCounts:
    """Read every title that this reader has not read yet, and make it the current reader."""

    missing = missing_titles(store, reader, retry_failed=retry_failed)
    there = store.scalar(
        "SELECT count(*) FROM attributes WHERE generator = ? AND prompt_key = ?",
        [reader.name, reader.prompt_key],
    )
    counts = _step(reader).run(store, missing, int(there))
    with store.transaction():
        store.set_meta("llm", reader.name)
        store.set_meta("llm_prompt_key", reader.prompt_key)
    return counts


def extract_queries(
    store: Store, reader: AttributeReader, *, retry_failed: bool = False
) -> StepCounts:
    """Read every query that this reader has not read yet, as if it were a title.

    The calibrated rule compares what queries ask for with what products are. Rows of `attributes`
    are keyed by content, so a query's stand beside the titles'.
    """
    names = _names(reader, retry_failed)
    missing = [(key, query) for key, query in store.rows(MISSING_QUERIES, names)]
    there = store.scalar("SELECT count(DISTINCT query_key) FROM queries") - len(missing)
    return _step(reader).run(store, missing, int(there))


def _names(reader: AttributeReader, retry_failed: bool) -> dict[str, Any]:
    return {
        "prompt_key": reader.prompt_key,
        "generator": reader.name,
        "step": STEP,
        "retry": retry_failed,
    }


def _step(reader: AttributeReader) -> Step[str, Attributes]:
    def to_row(title_key: str, found: Attributes) -> dict[str, Any]:
        return {
            "title_key": title_key,
            "prompt_key": reader.prompt_key,
            "generator": reader.name,
            **{field: getattr(found, field) for field in FIELDS},
            "raw": found.raw,
            "created_at": now(),
        }

    return Step(STEP, reader.name, "attributes", reader.read, to_row)


def estimate_extraction(
    store: Store, reader: AttributeReader, prices: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Read a sample of the missing titles and say what the rest will take, as one row.

    The sample is kept: what was paid for is not asked again.

    Args:
        store: the tables.
        reader: what reads titles.
        prices: of a million tokens in and out.
    """
    missing = missing_titles(store, reader)
    sample = dict(missing[:SAMPLE])  # by key, which is a hash: as good as drawn at random
    found = estimate(reader, sample)
    _step(reader).write(store, found.results)
    rest = found.scaled(len(missing) - found.items)
    row = {
        "titles read": found.items,
        "failed": found.failed,
        "seconds": round(found.seconds, 2),
        "titles left": rest.items,
        "seconds left": round(rest.seconds, 1),
        "tokens in": rest.prompt_tokens,
        "tokens out": rest.completion_tokens,
    }
    return row if prices is None else {**row, "cost": round(rest.cost(*prices), 4)}


def missing_titles(
    store: Store, reader: AttributeReader, *, retry_failed: bool = False
) -> list[tuple[str, str]]:
    """Return (title key, title) of the titles that this reader has not read."""
    names = _names(reader, retry_failed)
    return [(key, title) for key, title in store.rows(MISSING, names)]
