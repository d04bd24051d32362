"""The one exception that a user can cause."""

from __future__ import annotations


class GenfiltError(Exception):
    """A fault in what the user gave: a plain sentence with value, place and remedy."""


class UsageError(GenfiltError):
    """The command itself was wrong (exit code 2), rather than the data it was given."""
