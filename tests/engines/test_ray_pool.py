"""The Ray engine on a cluster of two nodes: each item once, whatever ends meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genfilt.common.errors import UserError
from genfilt.engines import ray_pool
from genfilt.engines.choice import EngineChoice, EngineName, open_engine
from genfilt.engines.protocol import Engine, Lost
from tests.engines.ray_work import Doubling, doubled, numbers

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster


def run(engine: Engine, work: Doubling, count: int, batch: int = 16) -> dict[str, object]:
    found: list[tuple[str, object]] = list(engine.map(work, numbers(count), batch=batch))
    made = dict(found)
    assert len(made) == len(found), "an item came twice"
    return made


@pytest.mark.parametrize("count", [0, 1, 500])
def test_each_item_comes_once(engine: Engine, count: int) -> None:
    assert run(engine, Doubling(), count) == doubled(count)


def test_a_worker_that_is_killed_costs_no_item(engine: Engine, tmp_path: Path) -> None:
    mark = tmp_path / "killed"
    assert run(engine, Doubling(killed_once_by=100, mark=mark), 300) == doubled(300)
    assert mark.exists()


def test_an_item_that_ends_its_worker_each_time_is_lost_alone(engine: Engine) -> None:
    made = run(engine, Doubling(killed_by=21), 100)
    lost = made.pop("21")
    assert isinstance(lost, Lost)
    assert "died" in lost.detail
    assert made == {key: value for key, value in doubled(100).items() if key != "21"}


def test_an_item_that_raises_each_time_is_lost_alone(engine: Engine) -> None:
    made = run(engine, Doubling(raised_by=21), 100)
    assert made.pop("21") == Lost("ValueError: 21 is odd")
    assert made == {key: value for key, value in doubled(100).items() if key != "21"}


def test_a_node_that_is_removed_costs_no_item(cluster: Cluster) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    with open_engine(EngineChoice(EngineName.ray, cluster.address, 3)) as engine:
        found: list[tuple[str, object]] = []
        for pair in engine.map(Doubling(seconds=0.02), numbers(300), batch=8):
            found.append(pair)
            if len(found) == 80:
                cluster.remove_node(node)
    assert len(found) == 300
    assert dict(found) == doubled(300)


def test_work_that_no_worker_can_do_is_one_sentence_and_keeps_what_was_done(
    engine: Engine,
) -> None:
    results = engine.map(Doubling(refused_from=40), numbers(100), batch=16)
    found: list[str] = []
    with pytest.raises(UserError, match=r"^The model is gone; start it again\.$"):
        found.extend(key for key, _ in results)
    assert sorted(map(int, found)) == list(range(40))


def test_a_worker_of_other_versions_is_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pool, "versions", lambda: {"Python": "3.0.1"})
    with pytest.raises(UserError, match=r"^The worker on \S+ has Python 3\.\d+\.\d+, and the d"):
        run(engine, Doubling(), 10)


def test_workers_that_end_one_after_another_end_the_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pool, "DEATHS_IN_A_ROW", 0)
    with pytest.raises(UserError, match=r"^2 workers ended one after another"):
        run(engine, Doubling(killed_by=0), 1)


def test_items_are_taken_as_workers_need_them(engine: Engine) -> None:
    taken = done = most = 0

    def counted() -> Iterator[tuple[str, int]]:
        nonlocal taken
        for pair in numbers(400):
            taken += 1
            yield pair

    for _ in engine.map(Doubling(seconds=0.001), counted(), batch=8):
        most = max(most, taken - done)
        done += 1
    assert done == 400
    # two batches for each of two workers, and one whose results are being yielded
    assert most <= (2 * ray_pool.IN_FLIGHT + 1) * 8
