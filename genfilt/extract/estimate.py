"""An estimate of time and tokens for the rest of a catalogue, from a sample that is read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from genfilt.generators.llm.chat_client import Usage
from genfilt.generators.protocols import AttributeReader, Attributes, Failure

SAMPLE = 200  # items


@dataclass(frozen=True)
class Estimate:
    """A sample's time, requests and tokens, with its results, which are kept."""

    items: int
    failed: int
    seconds: float
    requests: int
    prompt_tokens: int
    completion_tokens: int
    results: tuple[tuple[str, Attributes | Failure], ...] = ()

    def scaled(self, items: int) -> Estimate:
        """Return the estimate for `items` like the sample."""
        share = items / self.items if self.items else 0.0
        return Estimate(
            items,
            round(self.failed * share),
            self.seconds * share,
            round(self.requests * share),
            round(self.prompt_tokens * share),
            round(self.completion_tokens * share),
        )

    def cost(self, prompt_price: float, completion_price: float) -> float:
        """Return the cost at prices per million tokens."""
        spent = self.prompt_tokens * prompt_price + self.completion_tokens * completion_price
        return spent / 1e6


def estimate(reader: AttributeReader, titles: Mapping[str, str]) -> Estimate:
    """Read a sample of titles (title key -> title) and return what it took.

    Tokens are those that the reader counts in `usage`; a reader without a model has none.
    """
    before = _usage(reader)
    started = time.monotonic()
    results = tuple(reader.read(titles))
    after = _usage(reader)
    return Estimate(
        items=len(results),
        failed=sum(isinstance(result, Failure) for _, result in results),
        seconds=time.monotonic() - started,
        requests=after.requests - before.requests,
        prompt_tokens=after.prompt_tokens - before.prompt_tokens,
        completion_tokens=after.completion_tokens - before.completion_tokens,
        results=results,
    )


def _usage(reader: AttributeReader) -> Usage:
    return replace(getattr(reader, "usage", Usage()))
