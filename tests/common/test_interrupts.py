from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import duckdb
import pytest

from genfilt.common.interrupts import SECONDS_BETWEEN_PRESSES, interruptible, is_interrupt, watch

ENDLESS = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 8"


def run_endlessly(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute(ENDLESS)
    except (duckdb.InterruptException, RuntimeError) as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from error
        raise


def test_a_signal_interrupts_a_statement() -> None:
    connection = duckdb.connect()
    watch(connection)
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    started = time.monotonic()
    timer.start()
    with interruptible(), pytest.raises(KeyboardInterrupt):
        run_endlessly(connection)
    assert time.monotonic() - started < 20
    timer.join()
    assert signal.set_wakeup_fd(before) == before
    assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_other_errors_are_no_interrupts() -> None:
    assert is_interrupt(KeyboardInterrupt())
    assert is_interrupt(RuntimeError("Query interrupted"))
    assert not is_interrupt(RuntimeError("other"))
    assert not is_interrupt(duckdb.IOException("IO Error"))


def test_closed_and_collected_connections_are_passed_over() -> None:
    closed = duckdb.connect()
    watch(closed)
    closed.close()
    watch(duckdb.connect())
    with interruptible(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


BUSY = """
import signal, time
from genfilt.common.interrupts import interruptible
signal.signal(signal.SIGINT, lambda *_: print("not heeded", flush=True))
with interruptible():
    print("started", flush=True)
    while True:
        time.sleep(60)
"""


def test_a_second_signal_ends_a_process_that_does_not_heed_the_first() -> None:
    line = [sys.executable, "-c", BUSY]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as busy:
        assert busy.stdout is not None
        assert busy.stderr is not None
        assert busy.stdout.readline() == "started\n"
        busy.send_signal(signal.SIGINT)
        assert busy.stdout.readline() == "not heeded\n"
        time.sleep(SECONDS_BETWEEN_PRESSES + 0.5)
        assert busy.poll() is None
        busy.send_signal(signal.SIGINT)
        assert busy.wait(60) == 130
        assert "Interrupted twice" in busy.stderr.read()
