"""Every captioner takes a picture of ten thousand million pixels for a failure, at once."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genfilt.generators.llm.served import VllmCaptioner
from genfilt.generators.neighbours.neighbours import Neighbours
from genfilt.generators.protocols import Caption, Failure
from genfilt.generators.vlm.instructblip import InstructBlipCaptioner
from genfilt.generators.vlm.lavis.lavis_worker import PHOTOS, _load_file, serve
from tests.generators.huge_png import save_huge_png
from tests.generators.llm.chat_peer import ChatPeer, completion
from tests.models.small_models import save_instructblip


@pytest.fixture
def huge(tmp_path: Path) -> dict[str, Path]:
    return {"huge": save_huge_png(tmp_path / "huge.png")}


def check(result: Caption | Failure, started: float) -> None:
    assert isinstance(result, Failure)
    assert result.reason == "unreadable picture"
    assert "pixels" in result.detail
    assert time.monotonic() - started < 30


def test_the_embedded_captioner(huge: dict[str, Path]) -> None:
    started = time.monotonic()
    ((_, result),) = Neighbours.from_state(b"").describe(huge)
    check(result, started)


def test_a_served_model_is_not_asked(huge: dict[str, Path]) -> None:
    started = time.monotonic()
    with ChatPeer(lambda n, body: completion("A coat.")) as peer, VllmCaptioner(peer.url) as see:
        ((_, result),) = see.describe(huge)
        assert peer.bodies == []
    check(result, started)


def test_instructblip(huge: dict[str, Path], tmp_path: Path) -> None:
    with InstructBlipCaptioner(str(save_instructblip(tmp_path, "t5"))) as captioner:
        _ = captioner._loaded
        started = time.monotonic()
        ((_, result),) = captioner.describe(huge)
    check(result, started)


def test_the_lavis_worker(huge: dict[str, Path]) -> None:
    """It loads the one way to open pictures by its path, for genfilt is not installed there."""
    open_photo = _load_file(PHOTOS).open_photo
    out = io.StringIO()
    batch = json.dumps({"pictures": {key: str(path) for key, path in huge.items()}})
    serve([batch], out, lambda path: open_photo(Path(path)), lambda pictures: [])
    answer, done = (json.loads(line) for line in out.getvalue().splitlines())
    assert answer["reason"] == "unreadable picture"
    assert "pixels" in answer["detail"]
    assert done == {"done": 1}


def test_the_way_to_open_pictures_needs_nothing_of_genfilt(tmp_path: Path) -> None:
    code = (
        "import sys, importlib.util as u; s = u.spec_from_file_location('photos', sys.argv[1]); "
        "m = u.module_from_spec(s); s.loader.exec_module(m); "
        "print(any(name.startswith('genfilt') for name in sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", code, str(PHOTOS)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert found.stdout.strip() == "False"
