"""Step 2a: a language model or an embedded reader reads each distinct title into attributes."""

from __future__ import annotations

from itertools import islice

from genfilt.extract.estimate import SAMPLE, estimate
from genfilt.extract.missing import Step, StepCounts, clear_absent_failures
from genfilt.generators.protocols import FIELDS, AttributeReader, Attributes
from genfilt.store.store import Store, now

STEP = "extract"

MISSING = """
SELECT title_key, any_value(title) AS title FROM products
WHERE NOT EXISTS (FROM attributes a WHERE a.title_key = products.title_key
                  AND (a.prompt_key = $prompt_key AND a.generator = $generator
                       OR a.generator = 'given'))
  AND ($retry OR NOT EXISTS (FROM failures f WHERE f.step = $step AND f.generator = $generator
                             AND f.item_key = products.title_key))
GROUP BY title_key ORDER BY title_key
"""

ITEM_KEYS = "SELECT title_key FROM products UNION SELECT query_key FROM queries"
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
        clear_absent_failures(store, STEP, ITEM_KEYS)
        store.set_meta("llm", reader.name)
        store.set_meta("llm_prompt_key", reader.prompt_key)
    return counts


def extract_queries(
    store: Store, reader: AttributeReader, *, retry_failed: bool = False
) -> StepCounts:
    """Read every query that this reader has not read yet, as if it were a title.

    The calibrated rule compares the attributes of queries with those of products. Rows of
    `attributes` are keyed by content, so a query's stand beside the titles'.
    """
    names = _names(reader, retry_failed)
    missing = dict(store.rows(MISSING_QUERIES, names))
    there = store.scalar("SELECT count(DISTINCT query_key) FROM queries") - len(missing)
    return _step(reader).run(store, missing, int(there))


def _names(reader: AttributeReader, retry_failed: bool) -> dict[str, object]:
    return {
        "prompt_key": reader.prompt_key,
        "generator": reader.name,
        "step": STEP,
        "retry": retry_failed,
    }


def _step(reader: AttributeReader) -> Step[str, Attributes]:
    def to_row(title_key: str, found: Attributes) -> dict[str, object]:
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
) -> dict[str, object]:
    """Read a sample of the missing titles and return what the rest will take, as one row.

    The sample is kept: no title is paid for twice.

    Args:
        store: the tables.
        reader: reads titles.
        prices: of a million tokens in and out.
    """
    missing = missing_titles(store, reader)
    # By key, which is a hash: as good as drawn at random.
    sample = dict(islice(missing.items(), SAMPLE))
    found = estimate(reader, sample)
    _step(reader).write(store, found.results)
    rest = found.scaled(len(missing) - found.items)
    row: dict[str, object] = {
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
) -> dict[str, str]:
    """Return title key -> title of the titles that this reader has not read."""
    names = _names(reader, retry_failed)
    return dict(store.rows(MISSING, names))
