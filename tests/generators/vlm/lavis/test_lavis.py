"""The LAVIS captioner against worker processes that die, hang and babble; setting it up."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.generators.protocols import Caption, Failure
from genfilt.generators.vlm.lavis.lavis import LavisCaptioner
from genfilt.generators.vlm.lavis.lavis_setup import lavis_folder, setup_lavis
from genfilt.generators.vlm.lavis.lavis_worker import serve
from genfilt.store.keys import file_key

PEER = Path(__file__).with_name("lavis_peer.py")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    folder = tmp_path / "env"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "genfilt-lavis.stamp").touch()
    return folder


def pictures(folder: Path, orders: Sequence[str]) -> dict[str, Path]:
    found = {}
    for number, order in enumerate(orders):
        found[f"key{number}"] = folder / f"{number}.jpg"
        found[f"key{number}"].write_text(order)
    return found


def opened(environment: Path, model: str = "arch:type", silence: float = 30.0) -> LavisCaptioner:
    return LavisCaptioner(model, environment=environment, worker=PEER, batch=4, silence=silence)


def test_pictures_are_described_by_key(environment: Path, tmp_path: Path) -> None:
    with opened(environment) as captioner:
        results = dict(captioner.describe(pictures(tmp_path, ["a coat"] * 6 + ["broken"])))
    assert len(results) == 7
    said = "a coat by arch:type, asked ''"
    assert results["key5"] == Caption(said, said)
    assert results["key6"] == Failure("unreadable picture", "broken")
    assert captioner.name == "lavis:arch:type"


def test_an_instructed_model_gets_the_prompt(environment: Path, tmp_path: Path) -> None:
    with opened(environment, "blip2_t5_instruct:flant5xl") as captioner:
        ((_, result),) = captioner.describe(pictures(tmp_path, ["a coat"]))
    assert isinstance(result, Caption)
    assert "asked 'Name the'" in result.caption


def test_a_worker_that_dies_once_loses_nothing(environment: Path, tmp_path: Path) -> None:
    orders = ["a coat", "a hat", "die once", "a mug", "a lamp", "a ring"]
    with opened(environment) as captioner:
        results = list(captioner.describe(pictures(tmp_path, orders)))
    assert sorted(key for key, _ in results) == [f"key{n}" for n in range(6)]
    assert all(isinstance(result, Caption) for _, result in results)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("die", "it ended with code 3; the last lines of its log:\na picture too many"),
        ("hang", "no answer for 2 s"),
        ("babble", "it wrote 'Loading weights: 100%'"),
        ("forget", "it left 1 pictures without an answer"),
    ],
)
def test_the_picture_that_ends_the_worker_fails_alone(
    order: str, words: str, environment: Path, tmp_path: Path
) -> None:
    silence = 2.0 if order == "hang" else 60.0
    with opened(environment, silence=silence) as captioner:
        found = pictures(tmp_path, ["a coat", order, "a mug"])
        results = list(captioner.describe(found))
    assert sorted(key for key, _ in results) == ["key0", "key1", "key2"]
    assert dict(results)["key1"] == Failure("worker died", words)
    assert isinstance(dict(results)["key2"], Caption)


def test_workers_that_die_one_after_the_other_stop_the_run(
    environment: Path, tmp_path: Path
) -> None:
    with (
        opened(environment) as captioner,
        pytest.raises(UserError, match=r"died 5 times without .*\n?a picture too many"),
    ):
        list(captioner.describe(pictures(tmp_path, ["die"] * 8)))


def test_what_cannot_start_says_why(environment: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run genfilt setup lavis"):
        LavisCaptioner(environment=tmp_path / "none")
    with pytest.raises(UserError, match=r"cannot load the model: KeyError: unknown"):
        next(opened(environment, "unknown:model").describe({"key": tmp_path}))
    with pytest.raises(UserError, match=r"did not start: .*\nlibcudart.so.12 is missing"):
        next(opened(environment, "dead:model").describe({"key": tmp_path}))


def test_the_workers_loop_halves_a_batch_when_memory_runs_out() -> None:
    def prepare(path: str) -> str:
        if path == "broken":
            raise OSError("no picture")
        return path

    def describe(paths: Sequence[str]) -> list[str]:
        if len(paths) > 2 or "huge" in paths:
            raise RuntimeError("CUDA out of memory")
        return [f"seen {path}" for path in paths]

    batch = {"a": "1", "b": "2", "c": "broken", "d": "huge", "e": "5"}
    out = io.StringIO()
    serve([json.dumps({"pictures": batch})] * 2, out, prepare, describe)
    messages = [json.loads(line) for line in out.getvalue().splitlines()]
    assert messages[:6] == messages[6:]
    assert messages[5] == {"done": 5}
    by_key = {message["key"]: message for message in messages[:5]}
    assert by_key["e"]["caption"] == "seen 5"
    assert by_key["c"]["reason"] == "unreadable picture"
    assert by_key["d"]["reason"] == "out of memory"


def test_a_fault_of_the_model_ends_the_worker() -> None:
    def describe(paths: Sequence[str]) -> list[str]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        serve([json.dumps({"pictures": {"a": "1"}})], io.StringIO(), str, describe)


def test_the_environment_has_one_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GENFILT_LAVIS_ENV", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert lavis_folder() == tmp_path / "genfilt" / "lavis"
    monkeypatch.setenv("GENFILT_LAVIS_ENV", str(tmp_path / "mine"))
    assert lavis_folder() == tmp_path / "mine"


def test_a_setup_that_fails_says_where(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a Python interpreter; name a Python 3.11"):
        setup_lavis(tmp_path / "env", python=str(tmp_path / "none"))
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no room on the disk' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(UserError, match=r"failed at .* -m venv .*\nno room on the disk"):
        setup_lavis(tmp_path / "env", python=str(broken))


def test_a_half_removed_environment_is_set_up_anew(tmp_path: Path) -> None:
    """Its list is right, but the interpreter is gone: a removal was cut off."""
    with as_file(files("genfilt.generators.vlm.lavis") / "lavis-requirements.txt") as frozen:
        stamp = file_key(frozen)
    where = tmp_path / "env"
    where.mkdir()
    (where / "genfilt-lavis.stamp").write_text(stamp)
    with pytest.raises(UserError, match="is not a Python interpreter"):
        setup_lavis(where, python=str(tmp_path / "none"))
    assert not (where / "genfilt-lavis.stamp").exists()
    (where / "bin").mkdir(parents=True)
    (where / "bin" / "python").touch()
    (where / "genfilt-lavis.stamp").write_text(stamp)
    assert setup_lavis(where, python=str(tmp_path / "none")) == where
