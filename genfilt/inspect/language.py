"""Whether titles are in the language and the words that the embedded readers know."""

from __future__ import annotations

import re
from collections.abc import Iterable

from genfilt.features.embedder import BFLOAT16, DEFAULT_EMBEDDER
from genfilt.store.store import Store
from genfilt.vocabulary.terms import core_term

WORD = re.compile(r"[^\W\d_]{3,}")
WORDS = 2000  # enough to tell, and quickly looked up
# Of English titles seven words in ten are in the dictionary, brands are not; of German, Spanish,
# French or Turkish ones one to four in ten, of other scripts none.
ENGLISH_SHARE = 0.55
# Of the titles of shops that the word lists were made for 83 to 99 in a hundred have a kind of
# product in them, of titles of other departments 60; there the tagger reads twice as many right.
LISTED_SHARE = 0.75
LISTED_TITLES = """
SELECT a.core_word FROM (SELECT DISTINCT title_key FROM products ORDER BY title_key LIMIT 1000)
JOIN current_attributes a USING (title_key)
"""


def english_share(titles: Iterable[str]) -> float | None:
    """Return the share of words that are in an English dictionary, None without any word."""
    from simplemma import is_known

    words = [word for title in titles for word in WORD.findall(title)][:WORDS]
    if not words:
        return None
    known = {word: is_known(word.casefold(), lang="en") for word in set(words)}
    return sum(known[word] for word in words) / len(words)


def unreadable_titles(store: Store) -> list[str]:
    """Return a remark where titles are of a language or of products that their reader lacks."""
    return foreign_titles(store) or _unlisted_titles(store)


def foreign_titles(store: Store) -> list[str]:
    """Return a remark where titles are not English and what reads or embeds them knows no other."""
    english = []
    reader = _reader(store)
    if reader in ("lexicon", "tagger"):
        english.append(f"the {reader} (give extract --llm-model or --llm-url)")
    embedder = store.scalar("SELECT embedder FROM filters WHERE current")
    if str(embedder).removesuffix(BFLOAT16) == DEFAULT_EMBEDDER:
        english.append(f"{DEFAULT_EMBEDDER} (give filter --embedder a multilingual model)")
    if not english:
        return []
    titles = store.rows("SELECT title FROM products ORDER BY title_key LIMIT 500")
    share = english_share(title for (title,) in titles)
    if share is None or share >= ENGLISH_SHARE:
        return []
    return [
        f"an English dictionary knows {share:.0%} of the titles' words, and these read English "
        f"alone: {', '.join(english)}"
    ]


def _unlisted_titles(store: Store) -> list[str]:
    """Return a remark where the lexicon reads titles of products that its lists do not have."""
    if _reader(store) != "lexicon":
        return []
    found = [word for (word,) in store.rows(LISTED_TITLES)]
    listed = sum(word is not None and core_term(word) is not None for word in found)
    if not found or listed >= LISTED_SHARE * len(found):
        return []
    return [
        f"the lexicon's lists have the kind of product of {listed / len(found):.0%} of the titles; "
        "extract --llm tagger reads others"
    ]


def _reader(store: Store) -> str:
    """Return the kind of what reads titles: lexicon, tagger or a model's name."""
    return (store.meta("llm") or "").partition("-")[0]
