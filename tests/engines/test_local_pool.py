"""Processes of this host as an engine: every item once, whole where workers end or fail."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from genfilt.common.errors import UserError
from genfilt.engines import local_pool
from genfilt.engines.local_pool import LocalPool
from genfilt.engines.protocol import Lost, Work


@dataclass(frozen=True)
class Doubling:
    """Doubles numbers; ends its process at some of them, once or always."""

    folder: Path
    ends_once_at: int = -1
    ends_always_at: int = -1
    fails_at: int = -1
    refuses: bool = False

    @contextmanager
    def __call__(self) -> Iterator[Work[int, int]]:
        if self.refuses:
            raise UserError("There is no such model; give another.")
        (self.folder / f"opened-{os.getpid()}").touch()
        yield self.work
        (self.folder / f"closed-{os.getpid()}").touch()

    def work(self, items: Mapping[str, int]) -> Iterator[tuple[str, int]]:
        for key, number in items.items():
            marker = self.folder / "ended"
            if number == self.ends_once_at and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if number == self.ends_always_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if number == self.fails_at:
                raise RuntimeError("cannot double this")
            yield key, 2 * number


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_pool, "BATCHES_A_WORKER", 2)


def doubled(opener: Doubling, count: int = 30) -> dict[str, int | Lost]:
    found = list(LocalPool(2).map(opener, ((str(n), n) for n in range(count)), batch=3))
    assert len(found) == len(dict(found)), "each key once"
    return dict(found)


def test_every_item_has_its_result_and_the_workers_close(tmp_path: Path) -> None:
    assert doubled(Doubling(tmp_path)) == {str(n): 2 * n for n in range(30)}
    opened, closed = (
        {path.name.split("-")[1] for path in tmp_path.glob(f"{kind}-*")}
        for kind in ("opened", "closed")
    )
    assert len(opened) == 2
    assert closed == opened


def test_a_worker_that_ends_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    found = doubled(Doubling(tmp_path, ends_once_at=7))
    assert found == {str(n): 2 * n for n in range(30)}


@pytest.mark.parametrize(
    ("fault", "detail"),
    [("ends_always_at", "ended with code -9"), ("fails_at", "RuntimeError: cannot double this")],
)
def test_an_item_that_ends_each_worker_is_lost_alone(
    tmp_path: Path, fault: str, detail: str
) -> None:
    found = doubled(Doubling(tmp_path, **{fault: 7}))
    lost = found.pop("7")
    assert isinstance(lost, Lost)
    assert detail in lost.detail
    assert found == {str(n): 2 * n for n in range(30) if n != 7}


def test_work_that_cannot_be_opened_is_the_users_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no such model; give another"):
        doubled(Doubling(tmp_path, refuses=True))


def test_workers_end_where_nobody_takes_their_results(tmp_path: Path) -> None:
    stream = LocalPool(2).map(Doubling(tmp_path), ((str(n), n) for n in range(30)), batch=3)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    for path in tmp_path.glob("opened-*"):
        assert not Path(f"/proc/{path.name.split('-')[1]}").exists()


def test_no_item_starts_no_process(tmp_path: Path) -> None:
    assert doubled(Doubling(tmp_path), count=0) == {}
    assert not list(tmp_path.iterdir())
