"""Step 2b: a vision-language model or the embedded captioner describes each distinct picture."""

from __future__ import annotations

from pathlib import Path

from genfilt.extract.missing import Step, StepCounts, clear_absent_failures
from genfilt.generators.protocols import Caption, Captioner
from genfilt.store.store import Store, now

STEP = "caption"
ITEM_KEYS = "SELECT image_key FROM products WHERE image_key IS NOT NULL"

MISSING = """
SELECT image_key, min(image) AS image FROM products
WHERE image_key IS NOT NULL
  AND NOT EXISTS (FROM captions c WHERE c.image_key = products.image_key
                  AND (c.prompt_key = $prompt_key AND c.generator = $generator
                       OR c.generator = 'given'))
  AND ($retry OR NOT EXISTS (FROM failures f WHERE f.step = $step AND f.generator = $generator
                             AND f.item_key = products.image_key))
GROUP BY image_key ORDER BY image_key
"""


def caption_pictures(
    store: Store, captioner: Captioner, *, retry_failed: bool = False
) -> StepCounts:
    """Describe every picture that this captioner has not described, and make it the current one."""

    def to_row(image_key: str, found: Caption) -> dict[str, object]:
        return {
            "image_key": image_key,
            "prompt_key": captioner.prompt_key,
            "generator": captioner.name,
            "caption": found.caption,
            "raw": found.raw,
            "created_at": now(),
        }

    missing = missing_pictures(store, captioner, retry_failed=retry_failed)
    there = store.scalar(
        "SELECT count(*) FROM captions WHERE generator = ? AND prompt_key = ?",
        [captioner.name, captioner.prompt_key],
    )
    step = Step(STEP, captioner.name, "captions", captioner.describe, to_row)
    counts = step.run(store, missing, int(there))
    with store.transaction():
        clear_absent_failures(store, STEP, ITEM_KEYS)
        store.set_meta("captioner", captioner.name)
        store.set_meta("captioner_prompt_key", captioner.prompt_key)
    return counts


def missing_pictures(
    store: Store, captioner: Captioner, *, retry_failed: bool = False
) -> dict[str, Path]:
    """Return image key -> file of the pictures that this captioner has not described."""
    names = {
        "prompt_key": captioner.prompt_key,
        "generator": captioner.name,
        "step": STEP,
        "retry": retry_failed,
    }
    return {key: Path(image) for key, image in store.rows(MISSING, names)}
