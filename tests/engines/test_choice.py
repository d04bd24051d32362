"""The choice of an engine: what is refused, in words, before anything starts."""

from __future__ import annotations

import sys

import pytest

from genfilt.common.errors import UsageError, UserError
from genfilt.engines import ray
from genfilt.engines.choice import EngineChoice, EngineName, open_engine
from genfilt.engines.ray import ADDRESS_VARIABLE
from genfilt.engines.versions import difference, versions


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": 2}, "--workers needs --engine ray"),
        ({"address": "auto", "gpus_per_worker": 1.0}, "--address, --gpus-per-worker needs"),
        ({"name": EngineName.ray, "workers": 0}, "--workers must be 1 or more, got 0"),
        ({"name": EngineName.ray, "gpus_per_worker": 1.5}, "whole number of them, got 1.5"),
        ({"name": EngineName.ray, "gpus_per_worker": -1.0}, "got -1"),
        ({"name": EngineName.ray, "address": "ray://head:10001"}, "use ray job submit"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        EngineChoice(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1", "nowhere"])
def test_a_cluster_that_is_not_there_is_one_sentence(address: str) -> None:
    choice = EngineChoice(EngineName.ray, address)
    with (
        pytest.raises(UserError, match=f"Nothing answers at --address {address} "),
        open_engine(choice),
    ):
        pass


def test_an_address_of_a_ray_client_in_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ADDRESS_VARIABLE, "ray://127.0.0.1:10001")
    with (
        pytest.raises(UserError, match=r"RAY_ADDRESS is ray://.*use ray job submit"),
        open_engine(EngineChoice(EngineName.ray)),
    ):
        pass


def test_without_ray_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UserError, match=r"run pip install 'genfilt\[ray\]'"),
        open_engine(EngineChoice(EngineName.ray)),
    ):
        pass


def test_workers_are_as_many_as_find_room_and_gpus_must_be_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster = {"CPU": 16.0, "GPU": 4.0}
    assert ray._workers(cluster, EngineChoice(EngineName.ray)) == 16
    assert ray._workers(cluster, EngineChoice(EngineName.ray, gpus_per_worker=0.5)) == 8
    assert ray._workers(cluster, EngineChoice(EngineName.ray, None, 9, 1.0)) == 9
    assert "9 workers, of which 4 find room now" in capsys.readouterr().err
    with pytest.raises(UserError, match="--gpus-per-worker is 8 and the cluster has 4 GPUs"):
        ray._workers(cluster, EngineChoice(EngineName.ray, gpus_per_worker=8.0))


def test_equal_versions_do_not_differ_and_others_are_named() -> None:
    ours = versions()
    assert difference(ours, dict(ours)) is None
    assert difference({"Python": "3.11.7", "torch": "2.13.0"}, {"Python": "3.11.7"}) == (
        "has torch none, and the driver torch 2.13.0"
    )
