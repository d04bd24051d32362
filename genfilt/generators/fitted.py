"""The embedded generators as this catalogue fitted them: once, until --refit."""

from __future__ import annotations

from pathlib import Path

from genfilt.common.console import say, track
from genfilt.common.errors import UserError
from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.neighbours.neighbours import Neighbours
from genfilt.store.store import Store, now

TRAIN_TITLES = "SELECT DISTINCT title FROM products WHERE split = 'train' ORDER BY title"
TRAIN_PICTURES = """
SELECT image_key, min(image) AS image, list(DISTINCT title ORDER BY title) AS titles
FROM products WHERE split = 'train' AND image_key IS NOT NULL
GROUP BY image_key ORDER BY image_key
"""


def fitted_lexicon(store: Store, *, refit: bool = False) -> Lexicon:
    """Return the lexicon fitted to the train split's titles, fitting and storing it at need."""
    state = None if refit else _stored(store, "lexicon-")
    if state is not None:
        return Lexicon.from_state(state)
    titles = [title for (title,) in store.rows(TRAIN_TITLES)]
    if not titles:
        raise UserError(f"{store.path} has no train titles to learn from; ingest --products first.")
    say(f"lexicon: learning brands from {len(titles):,} train titles")
    lexicon = Lexicon.fit(titles)
    _keep(store, lexicon.name, lexicon.state())
    return lexicon


def fitted_neighbours(store: Store, *, refit: bool = False) -> Neighbours:
    """Return the captioner fitted to the train split's pictures and what their titles say."""
    state = None if refit else _stored(store, "neighbours-")
    if state is not None:
        return Neighbours.from_state(state)
    rows = store.rows(TRAIN_PICTURES)
    pictures = {key: Path(image) for key, image, _ in rows}
    titles = {key: list(names) for key, _, names in rows}
    say(f"neighbours: learning from {len(pictures):,} train pictures")
    with track("fit neighbours", len(pictures)) as advance:
        neighbours = Neighbours.fit(pictures, titles, fitted_lexicon(store), advance)
    _keep(store, neighbours.name, neighbours.state())
    return neighbours


def _stored(store: Store, prefix: str) -> bytes | None:
    """Return the newest state of a kind of generator."""
    state = store.scalar(
        "SELECT state FROM generator_states WHERE starts_with(generator, ?) "
        "ORDER BY created_at DESC LIMIT 1",
        [prefix],
    )
    return None if state is None else bytes(state)


def _keep(store: Store, generator: str, state: bytes) -> None:
    store.connection.execute(
        "INSERT OR REPLACE INTO generator_states "
        "SELECT ?, ?, count(*), ? FROM products WHERE split = 'train'",
        [generator, state, now()],
    )
