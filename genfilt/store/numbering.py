"""The numbers q, p and f of queries, products and feature texts: given once, placed, forgotten.

A number stands for content: equal queries share a q, equal listings a p, equal texts an f. Contents
that nothing has any more are forgotten, and their numbers are not given again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from genfilt.store.named_statements import named_statements
from genfilt.store.store import Store


def number_products(store: Store) -> None:
    """Give every new pair of title and picture its p, and every product the p of its content."""
    _give(store, "p", "number_products")
    _run(store, "place_products")


@contextmanager
def numbered_queries(store: Store) -> Iterator[None]:
    """Number the queries that the block writes: every new content a q, every query that of its own.

    Where the block changes which spelling stands for a content, that content gets a new number.
    """
    _run(store, "remember_spellings")
    yield
    _run(store, "forget_changed_spellings")
    _give(store, "q", "number_queries")
    _run(store, "place_queries")


def number_described(store: Store) -> None:
    """Give every new combination of texts its f, and every product the f of its texts.

    The temporary table `described` has a row for each product number: p, written (the title as the
    source has it), title_text, image_text (NULL without a caption). Texts and queries that nothing
    has any more are forgotten.
    """
    _give(store, "f", "number_features")
    _run(store, "place_features")
    _run(store, "forget_features")
    _run(store, "forget_queries")


def forget_candidates(store: Store) -> None:
    """Delete the candidates whose numbers stand for nothing any more."""
    _run(store, "forget_query_candidates")
    _run(store, "forget_title_candidates")


def _give(store: Store, kind: str, name: str) -> None:
    """Run an INSERT that numbers new content from $last + 1 on, and remember the last number."""
    last = max(int(store.meta(f"last_{kind}") or -1), _largest(store, kind))
    store.connection.execute(_statement(name), {"last": last})
    store.set_meta(f"last_{kind}", str(max(last, _largest(store, kind))))


def _largest(store: Store, kind: str) -> int:
    largest = store.scalar(_statement(f"last_{kind}"))
    return -1 if largest is None else int(largest)


def _run(store: Store, name: str) -> None:
    store.connection.execute(_statement(name))


def _statement(name: str) -> str:
    return named_statements("genfilt.store", "numbering.sql")[name]
