"""The snippets of docs/serving.md, run as they are written on an exported model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

from tests.docs.pages import blocks
from tests.trainer.shop import toy_shop
from trainer.config import preset
from trainer.model.query_life import QueryLife
from trainer.serving.relevance_model import RelevanceModel
from trainer.serving.vectors import write_vectors

SNIPPETS = {name: found[0] for name, found in blocks("docs/serving.md", "python").items()}
FIRST = "Serving: vectors in your search engine"
Best = list[tuple[str, float]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with artifacts/model and artifacts/vectors.parquet of a small shop."""
    folder = tmp_path_factory.mktemp("serving")
    torch.manual_seed(0)
    model = RelevanceModel(QueryLife.build(preset("tiny", 2).model))
    model.save_pretrained(folder / "artifacts" / "model")
    write_vectors(model, toy_shop(folder), folder / "artifacts" / "vectors.parquet")
    return folder


@pytest.fixture(scope="module")
def started(folder: Path) -> dict[str, object]:
    """What the first snippet leaves behind for the others."""
    names: dict[str, object] = {}
    with chdir(folder):
        exec(SNIPPETS[FIRST], names)
    return names


def run(started: dict[str, object], name: str) -> Best:
    """Return what a snippet finds."""
    names = dict(started)
    exec(SNIPPETS[name], names)
    best = names["best"]
    assert isinstance(best, list)
    return [(name, float(score)) for name, score in best]


@pytest.fixture(scope="module")
def nearest(folder: Path) -> Best:
    """The ten best products by a plain product of matrices."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "artifacts" / "vectors.parquet")
    vectors = np.array(table["vector"].to_pylist(), dtype=np.float32)
    model = RelevanceModel.from_pretrained(folder / "artifacts" / "model")
    scores = vectors @ model.encode_query(["red hoodie"])[0]
    order = np.argsort(-scores, kind="stable")[:10]
    return [(table["product_id"][int(row)].as_py(), float(scores[row])) for row in order]


def check(best: Best, nearest: Best) -> None:
    """Hold scores, which equal products share, against those of the plain product."""
    assert len(best) == len(nearest) == 10
    scores = [score for _, score in best]
    np.testing.assert_allclose(scores, [score for _, score in nearest], atol=1e-5)
    assert scores == sorted(scores, reverse=True)


def test_faiss_finds_the_nearest(started: dict[str, object], nearest: Best) -> None:
    check(run(started, "FAISS"), nearest)


@pytest.mark.skipif(
    find_spec("pgserver") is None or find_spec("psycopg") is None,
    reason="pip install pgserver 'psycopg[binary]' brings a PostgreSQL with pgvector",
)
def test_pgvector_finds_the_nearest(
    started: dict[str, object],
    nearest: Best,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # without one, importing pgserver warns
    import pgserver

    server = pgserver.get_server(tmp_path / "postgres", cleanup_mode="delete")
    try:
        monkeypatch.setenv("DATABASE_URL", server.get_uri())
        check(run(started, "PostgreSQL with pgvector"), nearest)
    finally:
        server.cleanup()


class Recorder(BaseHTTPRequestHandler):
    """Keeps what it is sent and finds the documents that it was given, the first ten."""

    requests: list[tuple[str, str, object]]

    def _answer(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        lines = [json.loads(line) for line in text.splitlines()]
        body = lines if self.path.endswith("_bulk") else (lines or [None])[0]
        self.requests.append((self.command, self.path, body))
        hits = [{"_id": f"p{n}", "_score": 1.0 - n / 10} for n in range(10)]
        children = [
            {"fields": {"product_id": hit["_id"]}, "relevance": hit["_score"]} for hit in hits
        ]
        answer = {"errors": False, "hits": {"hits": hits}, "root": {"children": children}}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_POST = _answer  # noqa: N815, the names that the base class calls

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@contextmanager
def recorder() -> Iterator[tuple[str, list[tuple[str, str, object]]]]:
    requests: list[tuple[str, str, object]] = []
    handler = type("Handler", (Recorder,), {"requests": requests})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "variable"), [("OpenSearch", "OPENSEARCH_URL"), ("Elasticsearch", "ELASTICSEARCH_URL")]
)
def test_bulk_requests_hold_every_product(
    started: dict[str, object], name: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorder() as (address, requests):
        monkeypatch.setenv(variable, address)
        best = run(started, name)
    (_, created, mapping), *bulk, _, (_, searched, question) = requests
    assert (created, searched) == ("/products", "/products/_search")
    assert '"vector"' in json.dumps(mapping)
    assert sum(len(body) for _, _, body in bulk if isinstance(body, list)) == 2 * len(
        names_of(started)
    )
    vector = mapping["mappings"]["properties"]["vector"]  # type: ignore[index]
    asked = json.dumps(question)
    assert (
        vector.get("dimension", vector.get("dims")) == len(json.loads(list_of_numbers(asked))) == 32
    )
    assert [name for name, _ in best] == [f"p{n}" for n in range(10)]


def test_vespa_requests_hold_every_product(
    started: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorder() as (address, requests):
        monkeypatch.setenv("VESPA_URL", address)
        run(started, "Vespa")
    *fed, (_, searched, question) = requests
    assert searched == "/search/"
    assert len(fed) == len(names_of(started))
    assert all(len(body["fields"]["vector"]["values"]) == 32 for _, _, body in fed)  # type: ignore[index]
    assert len(question["input.query(q)"]) == 32  # type: ignore[index]


def names_of(started: dict[str, object]) -> list[str]:
    ids = started["ids"]
    assert isinstance(ids, list)
    return ids


def list_of_numbers(text: str) -> str:
    """Return the one list of numbers in a request."""
    return text[text.index("[") : text.index("]") + 1]
