"""Two real vLLM servers share the titles; one is killed and the other answers the rest."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.generators.llm.chat_client import ChatServer
from genfilt.generators.llm.served import VllmReader
from genfilt.generators.llm.vllm_server import VllmServer
from genfilt.generators.protocols import Failure

pytestmark = pytest.mark.models

TITLES = {f"key{n}": f"Acme No. {n} red wool coat size {n % 50}" for n in range(240)}
BEFORE = 30  # answers of the server that is killed


def test_what_a_killed_server_owes_is_asked_at_the_other(llama: Path, server: VllmServer) -> None:
    with VllmServer(str(llama)) as second, VllmReader([second.url, server.url]) as reader:
        assert second.pid is not None
        killed, other = reader._servers
        killer = threading.Thread(target=_kill_after, args=(second.pid, killed, BEFORE))
        killer.start()
        results = dict(reader.read(TITLES))
        killer.join()
        with pytest.raises(UserError, match="ended by SIGKILL"):
            second.check()
        assert BEFORE <= killed.usage.requests < len(TITLES)
        assert other.usage.requests >= len(TITLES) - killed.usage.requests
    assert results.keys() == TITLES.keys()
    reasons = {found.reason for found in results.values() if isinstance(found, Failure)}
    assert reasons <= {"repeated text"}  # of the random words; none is lost with the server


def _kill_after(process: int, server: ChatServer, requests: int) -> None:
    while server.usage.requests < requests:
        threading.Event().wait(0.05)
    os.killpg(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # a large process takes a moment to die
