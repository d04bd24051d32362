"""Fixtures of the tests that run real vLLM and LAVIS; `make test-models` builds what they need."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from genfilt.generators.llm.vllm_server import PYTHON_VARIABLE, VllmServer
from tests.models.environments import LAVIS, SMOLLM2, VLLM_PYTHON
from tests.models.small_models import save_llama

HERE = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def _environments() -> Iterator[None]:
    """Point the code at vLLM's environment; one that is missing is a failure, not a skip."""
    _need(VLLM_PYTHON)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PYTHON_VARIABLE, str(VLLM_PYTHON))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Llama with random weights."""
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def server(llama: Path, _environments: None) -> Iterator[VllmServer]:
    """The small Llama, served."""
    with VllmServer(str(llama)) as running:
        yield running


@pytest.fixture(scope="session")
def smollm2(_environments: None) -> Iterator[VllmServer]:
    """SmolLM2-135M-Instruct with its real weights, served."""
    _need(SMOLLM2 / "config.json")
    with VllmServer(str(SMOLLM2)) as running:
        yield running


@pytest.fixture(scope="session")
def small_lavis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a small BLIP-2 of LAVIS."""
    folder = tmp_path_factory.mktemp("lavis")
    python = LAVIS / "bin" / "python"
    _need(python)
    run([str(python), str(HERE / "build_small_lavis.py"), str(folder)])
    return folder / "config.yaml"


def _need(path: Path) -> None:
    if not path.exists():
        pytest.fail(f"{path} is missing; run make test-models, which builds it")


def run(command: list[str], **more: str) -> str:
    """Run a command and return what it prints; its errors show where it fails."""
    ran = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **more}, check=False
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
    return ran.stdout


def last_json(text: str) -> dict:
    """The JSON object on a text's last line."""
    return json.loads(text.strip().splitlines()[-1])
