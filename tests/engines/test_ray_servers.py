"""Model servers of Ray workers: each starts its own, from the driver's settings, and ends it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from genfilt.engines.protocol import Engine
from genfilt.extract.titles import extract_attributes
from genfilt.generators import spread
from genfilt.generators.llm.vllm_server import PYTHON_VARIABLE
from genfilt.generators.registry import GeneratorChoice, Llm, open_reader
from tests.engines.test_ray_steps import catalogue, titles

ROOT = Path(__file__).parents[2]
# An interpreter that has vLLM by its own account, and serves titles' last words.
PYTHON = f"""#!/bin/sh
case "$*" in
*find_spec*) echo cpu ;;
*) PYTHONPATH={ROOT} exec {sys.executable} FOLDER/serve.py "$@" ;;
esac
"""
SERVE = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tests.generators.llm.chat_peer import attributes

class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        self.answer(200, {"data": [{"id": "some/model"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            status, found, _ = attributes(body)
        except (IndexError, ValueError):  # the probe for grammars has no title
            status, found = 400, {}
        self.answer(status, found)

    def log_message(self, *words):
        pass

Path(__file__).with_name(f"{os.getpid()}.pid").touch()
port = int(sys.argv[sys.argv.index("--port") + 1])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def test_each_worker_starts_a_server_and_ends_it(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "REQUESTS_PER_BATCH", 20)
    python = tmp_path / "python"
    python.write_text(PYTHON.replace("FOLDER", str(tmp_path)))
    python.chmod(0o755)
    (tmp_path / "serve.py").write_text(SERVE)
    monkeypatch.setenv(PYTHON_VARIABLE, str(python))
    with catalogue(":memory:", titles(120)) as store:
        choice = GeneratorChoice(Llm.vllm, model="some/model")
        with open_reader(store, choice) as reader:
            counts = extract_attributes(store, spread.spread_reader(reader, choice, engine))
        assert (counts.done, counts.failed) == (120, 0)
    servers = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert len(servers) == 2
    deadline = time.monotonic() + 20
    while any(map(is_alive, servers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_alive, servers))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
