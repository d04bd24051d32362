from __future__ import annotations

import pytest

from genfilt.store.relation_names import CURATED, closest, in_order
from genfilt.store.schema import expected_columns

NAMES = (*expected_columns(), *CURATED, "qp_corrections", "it_corrections")


def test_curated_views_come_first() -> None:
    ordered = in_order(NAMES)
    assert ordered[: len(CURATED)] == list(CURATED)
    assert ordered[len(CURATED) :] == sorted(set(NAMES) - set(CURATED))


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("corrections", "query_product_corrections"),
        ("query_product_correction", "query_product_corrections"),
        ("image_title", "image_title_corrections"),
        ("positive", "positives"),
        ("verdict", "verdicts"),
        ("current_caption", "current_captions"),
        ("produts", "products"),
        ("click", "clicks"),
        ("xyzzy", None),
    ],
)
def test_the_name_that_was_meant(word: str, meant: str | None) -> None:
    assert closest(word, NAMES) == meant
