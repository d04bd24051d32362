"""Starting a server of our own: what it is asked, what is said when it does not come up."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path

import httpx
import pytest

from genfilt.common.errors import UserError
from genfilt.generators.llm.vllm_server import VllmServer, installed_build, server_options

# An interpreter that has vLLM's CPU build by its own account, and does this when it shall serve.
PYTHON = """#!/bin/sh
case "$*" in
*find_spec*) echo cpu ;;
*) {order} ;;
esac
"""
HEALTHY = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

port = int(sys.argv[sys.argv.index("--port") + 1])
HTTPServer(("127.0.0.1", port), Healthy).serve_forever()
"""


def interpreter(folder: Path, order: str) -> str:
    script = folder / "python"
    script.write_text(PYTHON.format(order=order))
    script.chmod(0o755)
    return str(script)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_server_that_dies_shows_its_own_words(tmp_path: Path) -> None:
    python = interpreter(tmp_path, "echo 'no kernel image for this device' >&2; exit 7")
    with pytest.raises(UserError, match=r"(?s)code 7\. .*no kernel image for this device"):
        VllmServer("some/model", python=python).start()


def test_a_server_that_is_killed_is_said_to_be(tmp_path: Path) -> None:
    python = interpreter(tmp_path, "kill -9 $$")
    with pytest.raises(UserError, match=r"ended by SIGKILL \(Linux .* memory runs out\)"):
        VllmServer("some/model", python=python).start()


def test_a_traceback_is_left_to_the_log(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text("import pathlib\npathlib.Path('/no/such/weights').read_bytes()\n")
    python = interpreter(tmp_path, f"exec {sys.executable} {script}")
    with pytest.raises(UserError, match=r"FileNotFoundError: .*/no/such/weights") as caught:
        VllmServer("some/model", python=python).start()
    assert "File " not in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_folder_without_a_model_is_noticed_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder /no/such/model"):
        VllmServer("/no/such/model", python="/no/such/python").start()
    with pytest.raises(UserError, match=r"holds no model: it has no config\.json"):
        VllmServer(str(tmp_path), python="/no/such/python").start()


def test_a_server_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    python = interpreter(tmp_path, f"echo $$ > {tmp_path}/pid; echo still loading; sleep 60")
    with pytest.raises(UserError, match=r"(?s)not ready after 1 s.*still loading"):
        VllmServer("some/model", python=python, startup=1.0).start()
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_server_lives_as_long_as_its_context(tmp_path: Path) -> None:
    (tmp_path / "healthy.py").write_text(HEALTHY)
    order = f"exec {sys.executable} {tmp_path}/healthy.py $*"
    with VllmServer("some/model", python=interpreter(tmp_path, order)) as server:
        assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200
        server.check()
        pid = server.pid
        assert pid is not None
    assert server.pid is None
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_vllm_that_is_not_there_is_named_with_its_install_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pip install 'genfilt\[vllm\]'"):
        installed_build(sys.executable)
    with pytest.raises(UserError, match="cannot be run"):
        installed_build(str(tmp_path / "none"))


def test_the_settings_suit_short_prompts_with_one_beginning() -> None:
    options = server_options("some/model", 1234, cpu=False)
    settings = dict(itertools.pairwise(options))
    assert settings["--host"] == "127.0.0.1"
    assert settings["--served-model-name"] == "some/model"
    assert "--enable-prefix-caching" in options
    assert json.loads(settings["--structured-outputs-config"])["disable_any_whitespace"] is True
    assert "--kv-cache-memory-bytes" not in options
    assert "--kv-cache-memory-bytes" in server_options("some/model", 1234, cpu=True)
