"""Ctrl-C during a long DuckDB statement, which by itself would end only after the statement."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from weakref import WeakSet

import duckdb

from genfilt.common.console import complain

INTERRUPTED = 128 + signal.SIGINT  # the exit code, as shells report it
# A parent that forwards the terminal's signal sends the same press a second time, but at once.
SECONDS_BETWEEN_PRESSES = 1.0

_open: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()


def watch(connection: duckdb.DuckDBPyConnection) -> None:
    """Let Ctrl-C interrupt the statements of a connection, within `interruptible`."""
    _open.add(connection)


def is_interrupt(error: BaseException) -> bool:
    """Tell whether an error is a Ctrl-C, as Python or as DuckDB reports it."""
    if isinstance(error, RuntimeError) and str(error) == "Query interrupted":
        return True  # DuckDB has run Python's signal handler itself, and hidden its exception
    return isinstance(error, KeyboardInterrupt | duckdb.InterruptException)


@contextmanager
def interruptible() -> Iterator[None]:
    """Interrupt the statements of all watched connections when SIGINT arrives in the block.

    Python handles a signal in the main thread alone, between two bytecodes, hence not while DuckDB
    computes. The interpreter writes the signal's number into a socket at once, and a thread that
    reads it interrupts DuckDB, so that the main thread goes on to its KeyboardInterrupt. Within
    one call of a function DuckDB looks for no interrupt: repeat('a', 2000000000) takes minutes. A
    second SIGINT therefore ends the process at once, which leaves files as a kill does, whole.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_interrupt_all, args=(reader,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()  # ends the thread
        thread.join()
        reader.close()


def _interrupt_all(reader: socket.socket) -> None:
    first = None
    while arrived := reader.recv(64):
        if signal.SIGINT in arrived:
            if first is not None and time.monotonic() - first > SECONDS_BETWEEN_PRESSES:
                complain("Interrupted twice: the command ends at once.")
                os._exit(INTERRUPTED)
            first = time.monotonic() if first is None else first
            for connection in list(_open):
                with suppress(duckdb.Error):  # it was closed
                    connection.interrupt()
