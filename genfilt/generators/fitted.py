"""The embedded generators, fitted to the catalogue once and stored, until --refit."""

from __future__ import annotations

from pathlib import Path

from genfilt.common.console import say, track
from genfilt.common.errors import UserError
from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.neighbours.neighbours import Neighbours
from genfilt.generators.tagger.tagger import Tagger
from genfilt.store.store import Store, now

MAX_STATE_BYTES = 256 << 20  # twenty times the state of a catalogue with all references
TRAIN_TITLES = "SELECT DISTINCT title FROM products WHERE split = 'train' ORDER BY title"
TRAIN_PICTURES = """
SELECT image_key, min(image) AS image, list(DISTINCT title ORDER BY title) AS titles
FROM products WHERE split = 'train' AND image_key IS NOT NULL
GROUP BY image_key ORDER BY image_key
"""


def fitted_lexicon(store: Store, *, refit: bool = False) -> Lexicon:
    """Return the lexicon fitted to the train split's titles; a first call fits and stores it."""
    state = None if refit else _stored(store, "lexicon-")
    if state is not None:
        return Lexicon.from_state(state)
    lexicon = Lexicon.fit(_train_titles(store, "lexicon"))
    _store(store, lexicon.name, lexicon.state())
    return lexicon


def fitted_tagger(store: Store, *, refit: bool = False) -> Tagger:
    """Return the tagger with the brands of the train split; a first call fits and stores it."""
    state = None if refit else _stored(store, "tagger-")
    if state is not None:
        return Tagger.from_state(state)
    tagger = Tagger.fit(_train_titles(store, "tagger"))
    _store(store, tagger.name, tagger.state())
    return tagger


def _train_titles(store: Store, reader: str) -> list[str]:
    titles = [title for (title,) in store.rows(TRAIN_TITLES)]
    if not titles:
        raise UserError(
            f"{store.path} has no train titles to fit the {reader} to; ingest --products first."
        )
    say(f"{reader}: learning brands from {len(titles):,} train titles")
    return titles


def fitted_neighbours(store: Store, *, refit: bool = False) -> Neighbours:
    """Return the captioner fitted to the train split's pictures and their titles.

    Without pictures it knows nothing and is not stored: they may come later.
    """
    state = None if refit else _stored(store, "neighbours-")
    if state:  # earlier versions stored the state of a catalogue without pictures, which is empty
        return Neighbours.from_state(state)
    rows = store.rows(TRAIN_PICTURES)
    if not rows:
        return Neighbours(None)
    pictures = {key: Path(image) for key, image, _ in rows}
    titles = {key: list(names) for key, _, names in rows}
    say(f"neighbours: learning from {len(pictures):,} train pictures")
    with track("fit neighbours", len(pictures)) as advance:
        neighbours = Neighbours.fit(pictures, titles, fitted_lexicon(store), advance)
    _store(store, neighbours.name, neighbours.state())
    return neighbours


def _stored(store: Store, prefix: str) -> bytes | None:
    """Return the newest state of a kind of generator; its size is checked before it is read."""
    found = store.rows(
        "SELECT generator, octet_length(state) FROM generator_states "
        "WHERE starts_with(generator, ?) ORDER BY created_at DESC LIMIT 1",
        [prefix],
    )
    if not found:
        return None
    generator, size = found[0]
    if size > MAX_STATE_BYTES:
        raise UserError(
            f"The stored state of {generator} has {size:,} bytes and must have at most "
            f"{MAX_STATE_BYTES:,}; run extract --refit."
        )
    state = store.scalar("SELECT state FROM generator_states WHERE generator = ?", [generator])
    return bytes(state)


def _store(store: Store, generator: str, state: bytes) -> None:
    store.connection.execute(
        "INSERT OR REPLACE INTO generator_states "
        "SELECT ?, ?, count(*), ? FROM products WHERE split = 'train'",
        [generator, state, now()],
    )
