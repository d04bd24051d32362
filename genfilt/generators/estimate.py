"""What the rest of the catalogue will take, from a sample that is really read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from genfilt.generators.base import AttributeReader, Attributes, Failure
from genfilt.generators.vllm_client import Usage

SAMPLE = 200  # items


class CountingReader(AttributeReader, Protocol):
    """A reader that counts what it asks of its model."""

    @property
    def usage(self) -> Usage:
        """What was asked of the model so far."""
        ...


@dataclass(frozen=True)
class Estimate:
    """A sample's cost; the results are kept so that nothing is paid for twice."""

    items: int
    failed: int
    seconds: float
    requests: int
    prompt_tokens: int
    completion_tokens: int
    results: tuple[tuple[str, Attributes | Failure], ...] = ()

    def scaled(self, items: int) -> Estimate:
        """Return what `items` like the sample will take."""
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


def estimate(reader: CountingReader, titles: Mapping[str, str]) -> Estimate:
    """Read a sample of titles (title key -> title) and return what that took."""
    before = Usage(
        reader.usage.requests, reader.usage.prompt_tokens, reader.usage.completion_tokens
    )
    started = time.monotonic()
    results = tuple(reader.read(titles))
    return Estimate(
        items=len(results),
        failed=sum(isinstance(result, Failure) for _, result in results),
        seconds=time.monotonic() - started,
        requests=reader.usage.requests - before.requests,
        prompt_tokens=reader.usage.prompt_tokens - before.prompt_tokens,
        completion_tokens=reader.usage.completion_tokens - before.completion_tokens,
        results=results,
    )
