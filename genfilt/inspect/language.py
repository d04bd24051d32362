"""Whether titles are English, which the lexicon and the default embedder take for granted."""

from __future__ import annotations

import re
from collections.abc import Iterable

WORD = re.compile(r"[^\W\d_]{3,}")
WORDS = 2000  # enough to tell, and quickly looked up
# Of English titles seven words in ten are in the dictionary, brands are not; of German, Spanish,
# French or Turkish ones one to four in ten, of other scripts none.
ENGLISH_SHARE = 0.55


def english_share(titles: Iterable[str]) -> float | None:
    """Return the share of words that are in an English dictionary, None without any word."""
    from simplemma import is_known

    words = [word for title in titles for word in WORD.findall(title)][:WORDS]
    if not words:
        return None
    known = {word: is_known(word.casefold(), lang="en") for word in set(words)}
    return sum(known[word] for word in words) / len(words)
