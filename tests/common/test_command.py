"""Every failure of a command is one sentence and an exit code, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genfilt.common.command import duration

APP = '''
import errno, sys, time
import duckdb, typer
from genfilt.common.command import make_app, register, run_command
from genfilt.common.console import say
from genfilt.common.errors import UsageError, UserError
from genfilt.common.output import show
from genfilt.common.duckdb_file import MEMORY, open_file

app = make_app("Test.")

def fail(kind: str) -> None:
    """Fail."""
    say("a remark")
    if kind == "user":
        raise UserError("The file is\\x1b[31m empty.")
    if kind == "usage":
        raise UsageError("--n must be positive, got 0.")
    if kind == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "out.bin")
    if kind == "duckdb disk":
        raise duckdb.IOException("IO Error: Could not write file \\"x\\": No space left on device")
    if kind == "folder":
        open("/proc/version/x")
    if kind == "memory":
        raise MemoryError
    if kind == "duckdb memory":
        connection = duckdb.connect(config={"memory_limit": "1MB", "temp_directory": ""})
        connection.execute("SELECT list(range) FROM range(10000000)").fetchall()
    if kind == "pipe":
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    if kind == "bug":
        raise KeyError("bug")

def rows(number: int = 5) -> None:
    """Print rows."""
    show([{"n": n, "text": "x" * 50} for n in range(number)])

def slow() -> None:
    """Compute for minutes inside DuckDB."""
    connection = open_file(MEMORY, read_only=False)
    print("started", flush=True)
    connection.execute(
        "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 8")

def sleep() -> None:
    """Wait."""
    print("started", flush=True)
    time.sleep(60)

register(app, fail, "test fail user")
register(app, rows, "test rows", "test rows --number 3")
register(app, slow)
register(app, sleep)
run_command(app, "test")
'''


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    path = tmp_path / "app.py"
    path.write_text(APP)
    return [sys.executable, str(path)]


def run(command: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("user", 1, "The file is"),
        ("usage", 2, "--n must be positive, got 0."),
        ("disk", 1, "The disk is full"),
        ("duckdb disk", 1, "The disk is full"),
        ("folder", 1, "/proc/version/x cannot be opened or written (Not a directory)."),
        ("memory", 1, "Memory is exhausted"),
        ("duckdb memory", 1, "Memory is exhausted"),
        ("pipe", 1, "The system reports an error (Broken pipe)"),
    ],
)
def test_an_error_is_one_sentence(command: list[str], kind: str, code: int, words: str) -> None:
    done = run(command, "fail", kind, "--quiet")
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith(f"test: {words}")
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr


def test_a_fault_of_the_program_keeps_its_traceback(command: list[str]) -> None:
    done = run(command, "fail", "bug")
    assert done.returncode == 1
    assert "KeyError: 'bug'" in done.stderr


def test_quiet_leaves_remarks_out_and_verbose_shows_where_an_error_arose(
    command: list[str],
) -> None:
    assert "a remark" in run(command, "fail", "user").stderr
    assert "a remark" not in run(command, "fail", "user", "-q").stderr
    assert "Traceback" not in run(command, "fail", "user").stderr
    assert "in fail" in run(command, "fail", "user", "-v").stderr


@pytest.mark.parametrize("words", [["--no-such"], ["rows", "--numbr", "1"], ["row"], ["fail"]])
def test_wrong_usage_is_one_sentence_that_names_the_help(
    command: list[str], words: list[str]
) -> None:
    done = run(command, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.endswith("--help.\n")


def test_help_shows_the_examples_and_version_the_version(command: list[str]) -> None:
    for option in ("-h", "--help"):
        done = run(command, "rows", option)
        assert done.returncode == 0
        assert "test rows --number 3" in done.stdout
    assert run(command, "--version").stdout.startswith("test 0.")


def test_completions_are_printed_for_a_shell(command: list[str]) -> None:
    environment = {**os.environ, "_TEST_COMPLETE": "complete_bash", "COMP_WORDS": "test s",
                   "COMP_CWORD": "1"}  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == ["slow", "sleep"]


def test_a_reader_that_has_enough_ends_the_command_quietly(command: list[str]) -> None:
    line = f"{' '.join(command)} rows --number 100000 | head -2; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


def test_a_full_standard_output_is_an_error_and_a_full_standard_error_none(
    command: list[str],
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "rows"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
        assert done.returncode == 1
        assert done.stderr.startswith("test: The answer cannot be written to standard output")
        assert done.stderr.count("\n") == 1
        done = subprocess.run(
            [*command, "fail", "none"], stderr=full, stdout=subprocess.PIPE, check=False
        )
        assert done.returncode == 0


def test_closed_streams_stop_nothing(command: list[str]) -> None:
    line = f"{' '.join(command)} rows >&- 2>&-; echo $?"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


@pytest.mark.parametrize("name", ["sleep", "slow"])
def test_ctrl_c_ends_a_command_at_once(command: list[str], name: str) -> None:
    with subprocess.Popen(
        [*command, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(0.5)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert time.monotonic() - started < 10
    assert process.returncode == 130
    assert errors == "test: interrupted; what was finished is kept.\n"


def test_durations_are_in_units_that_people_use() -> None:
    assert [duration(s) for s in (0.25, 59, 61, 3599, 3600, 9000)] == [
        "0.2 s", "59.0 s", "1 min", "1 h 0 min", "1 h 0 min", "2 h 30 min"]  # fmt: skip
