"""Steps on a Ray cluster of two nodes: the tables of a local run, whatever ends meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from genfilt.common.errors import UserError
from genfilt.engines.local import LocalEngine
from genfilt.engines.protocol import Engine
from genfilt.extract.captions import caption_pictures
from genfilt.extract.titles import extract_attributes
from genfilt.features import embed
from genfilt.features.vector_file import save_vectors
from genfilt.filter import join_work
from genfilt.filter.filter import FilterSettings, filter_pairs
from genfilt.generators import spread
from genfilt.generators.fitted import fitted_lexicon, fitted_neighbours, fitted_tagger
from genfilt.generators.registry import GeneratorChoice, Llm, Vlm, open_reader
from genfilt.join.blocks import BlockJoin, read_pairs
from genfilt.join.spread_blocks import write_blocks
from genfilt.join.threshold_join import threshold_join
from genfilt.store.keys import file_key, text_key
from genfilt.store.store import Store
from tests.described_shop import described_shop
from tests.engines.lossy_openers import POISON, KilledOpener
from tests.generators.llm.chat_peer import Answer, Body, ChatPeer, attributes
from tests.shop_files import draw

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

COLORS = ("red", "navy", "gray", "green", "black", "white")
KINDS = ("Hoodie", "Mug", "Kettle", "Backpack", "Lamp", "Tank")
READ = "SELECT * EXCLUDE created_at FROM attributes ORDER BY ALL"
SEEN = "SELECT * EXCLUDE created_at FROM captions ORDER BY ALL"


def titles(count: int) -> list[str]:
    return [f"Acme {COLORS[n % 6].title()} Cotton {KINDS[n // 6 % 6]} {n} L" for n in range(count)]


def catalogue(path: Path | str, names: list[str], pictures: Path | None = None) -> Store:
    store = Store(path)
    for number, title in enumerate(names):
        image = key = None
        if pictures is not None:
            file = draw(pictures / f"{number}.png", COLORS[number % 6], 40 + number)
            image, key = str(file), file_key(file)
        store.connection.execute(
            "INSERT INTO products VALUES (?, ?, ?, NULL, 'train', ?, ?)",
            [str(number), title, image, text_key(title), key],
        )
    return store


@pytest.mark.parametrize("kind", [Llm.lexicon, Llm.tagger])
def test_titles_are_read_as_on_one_host(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: Llm
) -> None:
    monkeypatch.setattr(spread, "TITLES_PER_BATCH", 16)
    choice = GeneratorChoice(kind)
    fitted = fitted_lexicon if kind is Llm.lexicon else fitted_tagger
    with catalogue(":memory:", titles(100)) as here, catalogue(":memory:", titles(100)) as there:
        extract_attributes(here, fitted(here))
        counts = extract_attributes(there, spread.spread_reader(fitted(there), choice, engine))
        assert (counts.done, counts.failed) == (100, 0)
        assert there.rows(READ) == here.rows(READ)


def test_pictures_are_described_as_on_one_host(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(spread, "PICTURES_PER_BATCH", 4)
    choice = GeneratorChoice(Vlm.neighbours)
    names = titles(36)
    with (
        catalogue(":memory:", names, tmp_path) as here,
        catalogue(":memory:", names, tmp_path) as there,
    ):
        (tmp_path / "7.png").write_text("no picture")
        caption_pictures(here, fitted_neighbours(here))
        remote = spread.spread_captioner(fitted_neighbours(there), choice, engine)
        counts = caption_pictures(there, remote)
        assert (counts.done, counts.failed) == (35, 1)
        assert there.rows(SEEN) == here.rows(SEEN)


def test_a_title_that_kills_is_a_failure_and_the_rest_is_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "TITLES_PER_BATCH", 8)
    monkeypatch.setattr(spread, "ReaderOpener", KilledOpener)
    with catalogue(":memory:", [*titles(40), POISON]) as store:
        reader = spread.spread_reader(fitted_lexicon(store), GeneratorChoice(Llm.lexicon), engine)
        counts = extract_attributes(store, reader)
        assert (counts.done, counts.failed) == (40, 1)
        ((step, key, reason, attempts),) = store.rows(
            "SELECT step, item_key, reason, attempts FROM failures"
        )
        assert (step, key, reason, attempts) == ("extract", text_key(POISON), spread.LOST, 1)


def test_one_of_two_model_servers_dies(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "REQUESTS_PER_BATCH", 40)

    def slow(number: int, body: Body) -> Answer:
        time.sleep(0.01)
        return attributes(body)

    def dies(number: int, body: Body) -> Answer | None:
        if number == 30:
            dead.kill()
        return slow(number, body)

    names = titles(200)
    with ChatPeer(dies) as dead, ChatPeer(slow) as alive, catalogue(":memory:", names) as store:
        choice = GeneratorChoice(Llm.vllm, urls=(dead.url, alive.url))
        with open_reader(store, choice) as reader:
            counts = extract_attributes(store, spread.spread_reader(reader, choice, engine))
        assert (counts.done, counts.failed) == (200, 0)
        assert store.scalar("SELECT count(DISTINCT title_key) FROM attributes") == 200
        assert 20 <= len(dead.bodies) < 200 < len(dead.bodies) + len(alive.bodies)


def test_a_killed_driver_loses_nothing_that_was_written(
    cluster: Cluster, engine: Engine, tmp_path: Path
) -> None:
    db = tmp_path / "shop.duckdb"
    catalogue(db, titles(120)).close()
    command = [sys.executable, "-m", "tests.engines.lossy_openers", str(db), cluster.address, "5"]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Store(db) as store, catalogue(":memory:", titles(120)) as here:
        reader = spread.spread_reader(fitted_lexicon(store), GeneratorChoice(Llm.lexicon), engine)
        counts = extract_attributes(store, reader)
        assert counts.there >= 40
        assert counts.there + counts.done == 120
        extract_attributes(here, fitted_lexicon(here))
        assert store.rows(READ) == here.rows(READ)


def test_an_interrupted_driver_frees_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    import ray

    db = tmp_path / "shop.duckdb"
    catalogue(db, titles(500)).close()
    command = [sys.executable, "-m", "tests.engines.lossy_openers", str(db), cluster.address, "-1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert "wrote\n" in iter(run.stderr.readline, "")
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    with Store(db) as store:
        assert 8 <= store.scalar("SELECT count(*) FROM attributes") < 500
    ray.init(cluster.address, logging_level="error", log_to_driver=False)
    try:
        deadline = time.monotonic() + 30
        while ray.available_resources().get("CPU") != 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert ray.available_resources()["CPU"] == 2
    finally:
        ray.shutdown()


def test_texts_are_embedded_as_on_one_host(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(embed, "TEXTS_PER_WRITE", 16)
    names, threads = titles(40), torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker of one processor: sums in one order
    try:
        with Store() as here, Store() as there:
            ours = embed.embed(here, embed.Embedder(), names)
            theirs = embed.embed(there, embed.Embedder(None, engine), names)
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(ours, theirs)


def test_a_join_is_the_same_on_an_engine(engine: Engine, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    left, right = (random.standard_normal((n, 24)).astype(np.float32) for n in (700, 900))
    files = tmp_path / "left.npy", tmp_path / "right.npy"
    save_vectors(files[0], left)
    save_vectors(files[1], right)
    expected = sorted(
        pair for a, b, s in threshold_join(left, right, 9.0) for pair in zip(a, b, s, strict=True)
    )
    assert expected
    for name, runner in (("here", LocalEngine()), ("there", engine)):
        join = BlockJoin(*files, 9.0, tmp_path / name, block_rows=256)
        written = list(write_blocks(join, runner))
        assert len(written) == len(set(written)) == 3 * 4
        assert join.missing() == []
        found = sorted(pair for file in written for pair in zip(*read_pairs(file), strict=True))
        assert found == expected


def test_a_filter_is_the_same_on_an_engine(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, embedder: embed.Embedder
) -> None:
    monkeypatch.setattr(join_work, "BLOCK_ROWS", 2)
    settings = FilterSettings(0.2, rule="paper")
    with described_shop() as here, described_shop() as there:
        filter_pairs(here, settings, embedder)
        monkeypatch.setattr(embedder, "engine", engine)
        filter_pairs(there, settings, embedder)
        for table in ("qp_candidates", "it_candidates"):
            rows = here.rows(f"FROM {table} ORDER BY ALL")
            assert rows
            assert there.rows(f"FROM {table} ORDER BY ALL") == rows


def test_a_worker_that_does_not_see_the_pictures_is_refused(tmp_path: Path) -> None:
    opener = spread.CaptionerOpener(
        GeneratorChoice(Vlm.neighbours), "name", "key", b"", tmp_path / "missing.png"
    )
    with (
        pytest.raises(UserError, match=r"does not see .*missing\.png; mount the pictures"),
        opener(),
    ):
        pass


def test_a_worker_with_other_rules_is_refused() -> None:
    with catalogue(":memory:", titles(20)) as store:
        lexicon = fitted_lexicon(store)
    opener = spread.ReaderOpener(
        GeneratorChoice(Llm.lexicon), lexicon.name, "other rules", lexicon.state()
    )
    with pytest.raises(UserError, match=r"with rules .* and the driver .* other rules"), opener():
        pass
