"""The number of requests in flight to a server of unknown limits, and pauses between retries."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass


class BusyError(Exception):
    """The server could not answer now: 429, 5xx, a time-out, a broken connection."""

    def __init__(
        self, reason: str, retry_after: float = 0.0, weight: int = 1, *, garbled: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after  # seconds that the server asked for
        self.weight = weight  # of how many attempts it uses up: a time-out is a long wait
        self.garbled = garbled  # the server answered, though not with a chat completion


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a server that cannot answer is asked again."""

    attempts: int = 10  # for one item, while others are answered
    silence: float = 60.0  # seconds without one answer, after which the last server is given up
    others_silence: float = 10.0  # the same where another server has answered since
    first_pause: float = 0.25  # seconds, doubled at each attempt
    longest_pause: float = 20.0
    garbled_pause: float = 4.0  # at most after a garbled answer: ten of them end before `silence`

    def pause(self, attempt: int, busy: BusyError) -> float:
        """Return the seconds before the next attempt, spread so that retries do not meet."""
        longest = self.garbled_pause if busy.garbled else self.longest_pause
        pause = min(longest, self.longest_pause, self.first_pause * 2.0**attempt)
        return max(busy.retry_after, pause * random.uniform(0.5, 1.0))


class RequestWindow:
    """How many requests are in flight to one server.

    It doubles while that brings more answers a second, and then stays. Trouble halves it, once for
    all the requests that were in flight when it came, and from there it grows by one for each
    window of answers.
    """

    def __init__(self, size: int = 32, smallest: int = 2, largest: int = 512) -> None:
        self.size = size
        self.mark = 0  # how often it was cut
        self._smallest, self._largest = smallest, largest
        self._answers = 0
        self._since: float | None = None  # when the measured round began
        self._best = 0.0  # answers per second
        self._settled = False

    def answered(self, full: bool) -> None:
        """Count an answer; those that come when no more is sent are not measured."""
        if not full:
            self._answers, self._since = 0, None
            return
        self._answers += 1
        if self._settled:
            if self._answers >= self.size and self.mark and self.size < self._largest:
                self.size, self._answers = self.size + 1, 0
        elif self._since is None:  # a first round lets a changed window fill
            if self._answers >= self.size:
                self._answers, self._since = 0, time.monotonic()
        elif self._answers >= 2 * self.size:
            self._adapt(self._answers / max(time.monotonic() - self._since, 1e-9))

    def trouble(self, mark: int) -> None:
        """Halve the window, unless that was done since the request was sent at `mark`."""
        if mark == self.mark:
            self.mark += 1
            self.size = max(self._smallest, self.size // 2)
            self._settled, self._answers = True, 0

    def _adapt(self, rate: float) -> None:
        self._settled = rate < 1.05 * self._best or self.size >= self._largest
        self._best = max(self._best, rate)
        if not self._settled:
            self.size = min(2 * self.size, self._largest)
        self._answers, self._since = 0, None
