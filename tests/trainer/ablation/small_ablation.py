"""A small ablation: two shops, every model, few epochs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from genfilt.common.arrays import Floats
from trainer.ablation.compare import JudgedRun
from trainer.ablation.models import VARIANTS
from trainer.ablation.plan import AblationSettings, Unit
from trainer.ablation.run_result import MEASURED
from trainer.ablation.scores import Scores
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.scorers import pairs_of

QUICK = AblationSettings(preset="tiny", epochs=(1, 1, 1), baselines=False)


UNTRAINED = {"BM25": "bm25", "untrained all-MiniLM-L6-v2": "sentence-embeddings"}


KEYS = [variant.key for variant in VARIANTS]


def stamps(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def measures(out: Path, key: str) -> dict[str, object]:
    found = json.loads((out / "shop" / "seed-0" / key / MEASURED).read_text())
    return {name: value for name, value in found.items() if name != "minutes"}


def killed(unit: Unit) -> Iterator[None]:
    """What a process does that the system ends for its memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    yield


def benchmark_of(rng: np.random.Generator) -> Benchmark:
    return Benchmark(
        split="val",
        query=np.repeat(np.arange(40), 6).astype(np.int32),
        product=rng.integers(0, 60, 240).astype(np.int32),
        positive=rng.random(240) < 0.5,
        candidate_query=np.arange(40, dtype=np.int32),
        candidates=np.stack([rng.permutation(60)[:40] for _ in range(40)]).astype(np.int32),
        source="click",
        categories={},
    )


def judged(benchmark: Benchmark, score: Floats, group: str = "a") -> JudgedRun:
    queries, products = pairs_of(benchmark)
    return JudgedRun(Scores(queries, products, {"Q->M": score}), "Q->M", benchmark, group)
