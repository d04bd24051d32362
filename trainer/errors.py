"""The one exception that a user can cause."""

from __future__ import annotations


class TrainerError(Exception):
    """A fault in what the user gave: a plain sentence with value, place and remedy."""


class UsageError(TrainerError):
    """The command itself was wrong (exit code 2), rather than the data it was given."""
