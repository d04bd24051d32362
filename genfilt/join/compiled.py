"""Compilation of the join's loops by numba; machine code is kept on disk by its source's content.

numba keys kept machine code by the file that holds the compiled function. The inner loops call
instruction generators of another file (llvm_tiles.py), whose edits numba does not see; it would run
the old machine code. Here a digest of every source file that goes in is part of the key.
"""

# numba carries no types
# mypy: disable-error-code="import-untyped, no-untyped-call, misc"

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.resources import files

from numba import njit
from numba.core.caching import FunctionCache

from genfilt.join.llvm_values import Untyped

SOURCES = (
    "codes.py",
    "compiled.py",
    "cpu_loops.py",
    "llvm_scores.py",
    "llvm_tiles.py",
    "llvm_values.py",
    "pairs.py",
)


def compiled(*, fastmath: set[str] | bool = False) -> Callable[[Callable[..., Untyped]], Untyped]:
    """Return a decorator that compiles a loop on first use, without Python's global lock.

    The machine code is kept beside the source or in the user's cache folder, where one of them can
    be written.

    Args:
        fastmath: which liberties LLVM may take with float sums.
    """

    def compile_loop(function: Callable[..., Untyped]) -> Untyped:
        dispatcher = njit(nogil=True, fastmath=fastmath)(function)
        with suppress(RuntimeError):  # no folder can be written: each process compiles for itself
            dispatcher._cache = _SourceKeyedCache(function)  # type: ignore[attr-defined]
        return dispatcher

    return compile_loop


@cache
def source_digest() -> str:
    """Return a digest of all source files that decide the machine code."""
    folder = files("genfilt.join")
    digest = hashlib.blake2b(digest_size=16)
    for name in SOURCES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


class _SourceKeyedCache(FunctionCache):
    def _index_key(self, sig: object, codegen: object) -> tuple[object, ...]:
        return (*super()._index_key(sig, codegen), source_digest())
