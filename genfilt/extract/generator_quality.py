"""Counts of what the current generators gave: grounded and dropped fields, captions without a kind.

Printed by `genfilt status` and the report.
"""

from __future__ import annotations

from dataclasses import dataclass

from genfilt.generators.protocols import FIELDS
from genfilt.store.store import Store

# A language model's raw text is a JSON object that lists the fields which lost a value; an embedded
# reader's has no such list, since its values are words of the title.
GROUNDING = """
WITH replies AS (
    SELECT *, CASE WHEN json_valid(raw) THEN raw::JSON END AS envelope FROM current_attributes
)
SELECT count(*) FILTER (dropped IS NOT TRUE AND value IS NOT NULL),
       count(*) FILTER (dropped), count(*) FILTER (dropped IS NOT TRUE AND value IS NULL)
FROM (SELECT {field} AS value,
             list_contains(json_extract_string(envelope, '$.dropped[*]'), '{field}') AS dropped
      FROM replies)
"""
ABSTENTIONS = """
SELECT count(*), count(*) FILTER (NOT (raw::JSON ->> '$.named')::BOOLEAN)
FROM current_captions
WHERE starts_with(generator, 'neighbours-') AND json_valid(raw)
"""


@dataclass(frozen=True)
class FieldGrounding:
    """What the current reader gave for one field, in titles.

    Attributes:
        field: the field's name.
        grounded: titles whose value the title holds.
        dropped: titles where the model gave a value that the title does not hold.
        null: titles without a value.
    """

    field: str
    grounded: int
    dropped: int
    null: int


@dataclass(frozen=True)
class Abstentions:
    """Captions of the embedded captioner, and those of them that name no kind of product."""

    captions: int
    without_kind: int

    @property
    def share(self) -> float:
        """The share of captions that name no kind; 0 where there are none."""
        return self.without_kind / self.captions if self.captions else 0.0


def grounding(store: Store) -> list[FieldGrounding]:
    """Return the counts of each field over the current attributes."""
    return [
        FieldGrounding(field, *map(int, store.rows(GROUNDING.format(field=field))[0]))
        for field in FIELDS
    ]


def abstentions(store: Store) -> Abstentions:
    """Return how often the embedded captioner named no kind of product."""
    captions, without_kind = store.rows(ABSTENTIONS)[0]
    return Abstentions(int(captions), int(without_kind))


def abstention_advice(store: Store) -> str | None:
    """Return what to do where the embedded captioner names no kind for half of the pictures."""
    found = abstentions(store)
    if found.share < 0.5:
        return None
    return (
        f"the embedded captioner names no kind of product for {found.without_kind:,} of "
        f"{found.captions:,} pictures: run genfilt extract --captioner instructblip "
        "--captioner-model Salesforce/instructblip-flan-t5-xl, or --captioner vllm"
    )
