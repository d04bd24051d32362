"""Look-up of any pair: the filter's decision on it, also where it was never stored."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock
from typing import TYPE_CHECKING

from genfilt.common.errors import UserError
from genfilt.store.store import Store

if TYPE_CHECKING:
    from genfilt.features.embed import Embedder
    from genfilt.inspect.explain import Explanation


class PairLookup:
    """Explains pairs; loads the embedder once, when a text without a vector is given.

    Args:
        reading: opens the database for as long as a pair is looked up.
    """

    def __init__(self, reading: Callable[[], AbstractContextManager[Store]]) -> None:
        self._reading = reading
        self._embedder: Embedder | None = None
        self._loading = Lock()

    def explain(self, query: str, product: str) -> Explanation:
        """Return the decision on a pair, by ids or texts.

        Raises:
            LockedError: another command has the file.
            UserError: a text is empty, or the embedder cannot be loaded.
        """
        # Here, since a review begins without torch and the filter.
        from genfilt.features.embed import KeptVectors
        from genfilt.inspect.explain import explain

        if not query.strip() or not product.strip():
            raise UserError("Give a search and a product, by id or as text.")
        with self._reading() as store:
            name = str(store.scalar("SELECT embedder FROM filters WHERE current"))
            if self._embedder is None or self._embedder.name != name:
                try:
                    return explain(store, KeptVectors(name), query, product)
                except UserError:  # a text without a vector
                    pass
        embedder = self._loaded(name)
        with self._reading() as store:
            return explain(store, embedder, query, product)

    def _loaded(self, name: str) -> Embedder:
        """Return the embedder with its model, which takes seconds; the file is free meanwhile."""
        from genfilt.features.embedder import KeptVectors, reopened

        with self._loading:
            if self._embedder is None or self._embedder.name != name:
                embedder = reopened(name)
                if not isinstance(embedder, KeptVectors):
                    embedder.encode(["warm"])
                self._embedder = embedder
            return self._embedder
