"""Exceptions for faults that the user can mend."""

from __future__ import annotations


class UserError(Exception):
    """A fault in what the user gave: one plain sentence with value, place and remedy."""


class LockedError(UserError):
    """Another process has the database file open."""


class UsageError(UserError):
    """A fault in the command line itself (exit code 2), rather than in the data."""
