"""Running a command-line app: every failure ends in one sentence and an exit code."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer
import typer.main

from genfilt.common.console import complain, is_verbose, say, set_level
from genfilt.common.errors import UsageError, UserError
from genfilt.common.interrupts import INTERRUPTED, interruptible, is_interrupt
from genfilt.common.output import OutputClosedError

FAILED, WRONG_USAGE, SOME_FAILED = 1, 2, 3
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHOWN_DURATION = 1.0  # seconds; a shorter run is not worth a line

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print the answer and errors alone, no remarks.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print the time taken, and where an error arose.")
]


def _print_version(context: typer.Context, wanted: bool) -> None:
    from importlib.metadata import version

    if wanted:
        typer.echo(f"{context.info_name} {version('genfilt')}")  # one distribution has both
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
]


def make_app(summary: str) -> typer.Typer:
    """Return an app with --version, -h and shell completion; `register` adds its commands."""
    app = typer.Typer(
        help=summary,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(help=summary)
    def options(version: Version = False) -> None:
        pass

    return app


def register(
    app: typer.Typer, function: Callable[..., None], *examples: str, name: str | None = None
) -> None:
    """Add a command with its examples, and with the options --quiet and --verbose.

    Args:
        app: the app, or a group of it.
        function: the command; its parameters are the command's, its docstring is the help.
        examples: command lines that the help shows.
        name: the command's name, where it is not the function's.
    """

    @functools.wraps(function)
    def command(*, quiet: bool, verbose: bool, **options: object) -> None:
        set_level(quiet=quiet, verbose=verbose)
        started = time.monotonic()
        function(**options)
        if verbose and (taken := time.monotonic() - started) >= SHOWN_DURATION:
            say(f"took {duration(taken)}")

    common = {"quiet": Quiet, "verbose": Verbose}
    own = inspect.signature(function, eval_str=True).parameters.values()
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in common.items()
    ]
    command.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    command.__annotations__ = function.__annotations__ | common
    epilog = "\n\n".join(["Example:" if len(examples) == 1 else "Examples:", *examples])
    app.command(name, epilog=epilog)(command)


def duration(seconds: float) -> str:
    """Return a time span in the units that a person would use."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def run_command(app: typer.Typer, name: str) -> None:
    """Run an app on the process's arguments and exit with its code; never with a traceback.

    Exit codes: 0 done (also where the reader of the output closed it early), 1 failed, 2 wrong
    usage, 3 some items failed, 130 interrupted. Errors that are faults of the program, not of what
    it was given, are raised.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if f"_{name.upper()}_COMPLETE" in os.environ:
        app(prog_name=name)  # prints completions for the shell, and exits
    try:
        with interruptible():
            code = _run(app, name)
    except (KeyboardInterrupt, typer.Abort):
        with suppress(KeyboardInterrupt):  # a second one, or the one that DuckDB reported first
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        complain(f"{name}: interrupted; what was finished is kept.")
        code = INTERRUPTED
    _discard_unwritten_output()
    sys.exit(code)


def _run(app: typer.Typer, name: str) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context(name, sys.argv[1:]) as context:
            command.invoke(context)
    except OutputClosedError:
        return 0
    except typer.Exit as error:
        return error.exit_code
    except typer.Abort:
        raise
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich ends so, which prints the help
            return 0
        raise
    except Exception as error:
        outcome = explain(error)
        if outcome is None:
            raise
        if isinstance(error, BrokenPipeError) and _output_is_closed():
            return 0
        if is_verbose():
            traceback.print_exception(error)
        code, sentence = outcome
        complain(f"{name}: {sentence}")
        return code
    return 0


def explain(error: Exception) -> tuple[int, str] | None:
    """Return the exit code and the sentence of an error, None for a fault of the program.

    Raises:
        KeyboardInterrupt: the error is DuckDB's report of one.
    """
    if is_interrupt(error):
        raise KeyboardInterrupt from error
    if isinstance(error, UserError):
        return (WRONG_USAGE if isinstance(error, UsageError) else FAILED), str(error)
    if hasattr(error, "format_message"):  # of Click, and of Typer's own copy of it
        return int(getattr(error, "exit_code", WRONG_USAGE)), _wrong_usage(error)
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return FAILED, (
            f"Memory is exhausted ({_first_line(error)}); close other programs, or give smaller "
            "batches or less data."
        )
    if getattr(error, "errno", None) in DISK_FULL or _names_full_disk(error):
        return FAILED, (
            f"The disk is full, or a limit on file sizes is reached ({_first_line(error)}); free "
            "some space and run the command again. What was finished is kept."
        )
    if isinstance(error, OSError):
        return FAILED, _system_error(error)
    import duckdb

    if isinstance(error, duckdb.Error):
        return FAILED, (
            f"The database reports an error ({_first_line(error)}); check the disk and the file "
            "named with --db."
        )
    return None


def _wrong_usage(error: Exception) -> str:
    message = str(error.format_message()).strip()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if context is None or "\n" in message:  # the whole help, where there were no arguments
        return message
    end = "" if message.endswith((".", "?")) else "."
    return f"{message}{end} See {context.command_path} --help."


def _system_error(error: OSError) -> str:
    if error.filename is None:
        return f"The system reports an error ({error.strerror or _first_line(error)})."
    return f"{error.filename} cannot be opened or written ({error.strerror})."


def _names_full_disk(error: Exception) -> bool:
    """Tell whether a library's error quotes the system's: DuckDB and Arrow do so in words."""
    return any(os.strerror(number) in str(error) for number in DISK_FULL)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _output_is_closed() -> bool:
    """Tell whether the reader of standard output closed it before all was written."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # there is none, or it is no file
        return False


def _discard_unwritten_output() -> None:
    """Keep the interpreter from failing at its end on output that nobody can take."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
