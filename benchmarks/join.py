"""Exact threshold joins side by side: FAISS, torch, sentence-transformers, genfilt.

    python benchmarks/join.py                        25,000 x 40,000 at four thresholds
    python benchmarks/join.py --growth 10000 160000  our own growth on look-alike vectors

Each run is a process of its own with the same number of threads; contenders alternate, medians are
printed, and ratios only after the pair sets were compared. A run loads the vectors and joins 2,000
rows a side first, so that compilation and thread pools are ready; neither is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from vectors import look_alikes, real

Vectors = npt.NDArray[np.float32]
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

EDGE = 2e-6  # of the threshold: float32 scores may fall on either side
WARM = 2000
MOST_HITS = 8_000_000  # semantic_search makes a dict of every hit


def faiss_range_search(left: Vectors, right: Vectors, threshold: float) -> Pairs:
    """The peer: an exact index, all scores above a radius."""
    import faiss

    index = faiss.IndexFlatIP(left.shape[1])
    index.add(right)
    limits, _, labels = index.range_search(left, threshold)
    return np.repeat(np.arange(len(left)), np.diff(limits.astype(np.int64))), labels


def torch_blocks(left: Vectors, right: Vectors, threshold: float) -> Pairs:
    """What one writes by hand."""
    import torch

    a, b = torch.from_numpy(left), torch.from_numpy(right)
    found = []
    for start in range(0, len(a), 1024):
        pairs = (a[start : start + 1024] @ b.T >= threshold).nonzero()
        pairs[:, 0] += start
        found.append(pairs)
    i, j = torch.cat(found).T
    return i.numpy(), j.numpy()


def semantic_search(left: Vectors, right: Vectors, threshold: float) -> Pairs:
    """The best of each row, enough of them, then the threshold."""
    import torch
    from sentence_transformers import util

    top = min(int(os.environ["BENCHMARK_TOP_K"]), len(right))
    hits = util.semantic_search(
        torch.from_numpy(left), torch.from_numpy(right), top_k=top, score_function=util.dot_score
    )
    pairs = [
        (row, hit["corpus_id"])
        for row, found in enumerate(hits)
        for hit in found
        if hit["score"] >= threshold
    ]
    i, j = np.array(pairs, np.int64).reshape(-1, 2).T
    return i, j


def genfilt(left: Vectors, right: Vectors, threshold: float) -> Pairs:
    """Ours."""
    from genfilt.join.threshold_join import threshold_join

    batches = list(threshold_join(left, right, threshold, device="cpu"))
    empty = (np.zeros(0, np.int64),) * 2
    i, j = (
        zip(*(batch[:2] for batch in batches), strict=True) if batches else (empty[:1], empty[:1])
    )
    return np.concatenate(i), np.concatenate(j)


def genfilt_without_bytes(left: Vectors, right: Vectors, threshold: float) -> Pairs:
    """Ours on a processor without AVX512_VNNI: the codes are multiplied as float32."""
    from genfilt.join import llvm_tiles

    llvm_tiles.multiplies_bytes = lambda: False
    return genfilt(left, right, threshold)


CONTENDERS: dict[str, Callable[[Vectors, Vectors, float], Pairs]] = {
    "FAISS IndexFlatIP.range_search": faiss_range_search,
    "torch float32 blocks": torch_blocks,
    "sentence-transformers semantic_search": semantic_search,
    "genfilt threshold_join": genfilt,
    "genfilt without byte products": genfilt_without_bytes,
}


def processor_features() -> str:
    """Return the features of the processor that decide the speed of a product; Linux only."""
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "features unknown"
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return " ".join(name for name in wanted if name in flags) or "none of AVX2, AVX-512, AMX"


def resident(field: str, reset: bool = False) -> float:
    """Resident memory in MiB, now (VmRSS) or the peak since the last reset (VmHWM); Linux only."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


def worker(name: str, threshold: float, rows: int, out: Path) -> None:
    """One run in this process: times and peak memory as JSON, pairs beside it."""
    left, right = real() if not rows else look_alikes(rows, rows)
    join = CONTENDERS[name]
    join(left[:WARM], right[:WARM], threshold)
    before = resident("VmRSS", reset=True)
    wall, cpu = time.perf_counter(), time.process_time()
    i, j = join(left, right, threshold)
    result = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": resident("VmHWM") - before,
        "pairs": len(i),
    }
    np.save(out.with_suffix(".npy"), np.sort(i * len(right) + j))
    out.write_text(json.dumps(result))


def run(
    name: str, threshold: float, threads: int, top: int = 1, rows: int = 0
) -> tuple[dict[str, float], npt.NDArray[np.int64]]:
    """Start a worker with its own thread settings and read what it found."""
    settings = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads
    )
    environment = {**os.environ, **{k: str(v) for k, v in settings.items()}}
    environment |= {"BENCHMARK_TOP_K": str(top), "OMP_WAIT_POLICY": "passive"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, __file__, "--worker", name, str(threshold), str(rows), str(out)]
        subprocess.run(command, check=True, env=environment)
        return json.loads(out.read_text()), np.load(out.with_suffix(".npy"))


def differing(
    ours: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64], threshold: float
) -> tuple[int, int]:
    """Pairs that only one side found: near the threshold, and elsewhere."""
    left, right = real()
    keys = np.setxor1d(ours, theirs)
    i, j = np.divmod(keys, len(right))
    scores = np.einsum("nd,nd->n", left[i].astype(np.float64), right[j].astype(np.float64))
    near = int((np.abs(scores - threshold) <= EDGE).sum())
    return near, len(keys) - near


def compare(thresholds: list[float], threads: int, rounds: int) -> None:
    """Print the table, a block for each threshold."""
    for threshold in thresholds:
        _, reference = run("genfilt threshold_join", threshold, threads)
        rows = np.bincount(reference // real()[1].shape[0], minlength=1)
        top = int(rows.max(initial=1)) + 1
        names = [n for n in CONTENDERS if "semantic" not in n or top * 25_000 <= MOST_HITS]
        results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                result, pairs = run(name, threshold, threads, top)
                near, wrong = differing(reference, pairs, threshold)
                if wrong:
                    sys.exit(f"{name} at {threshold}: {wrong} pairs differ away from the threshold")
                results[name].append({**result, "near": near})
        middle = {
            name: {key: statistics.median(part[key] for part in found) for key in found[0]}
            for name, found in results.items()
        }
        base = middle["FAISS IndexFlatIP.range_search"]
        print(f"\nsigma {threshold}, {len(reference):,} pairs, load {os.getloadavg()[0]:.1f}")
        print(
            f"{'':38} {'wall s':>8} {'ratio':>7} {'CPU s':>8} {'ratio':>7} {'MiB':>7} {'edge':>5}"
        )
        for name, part in middle.items():
            print(
                f"{name:38} {part['wall']:8.3f} {base['wall'] / part['wall']:7.1f} "
                f"{part['cpu']:8.3f} {base['cpu'] / part['cpu']:7.1f} "
                f"{part['memory']:7.0f} {part['near']:5.0f}",
                flush=True,
            )
        if len(names) < len(CONTENDERS):
            print(f"semantic_search left out: top_k={top} would make {top * 25_000:,} dicts")


def growth(least: int, most: int, threshold: float, threads: int, rounds: int) -> None:
    """Print time and peak memory of our own join, doubling both sides."""
    print(f"\nlook-alike vectors, sigma {threshold}")
    print(
        f"{'rows a side':>12} {'pairs':>12} {'wall s':>8} {'CPU s':>8} {'MiB':>7} {'Gpairs/s':>9}"
    )
    rows = least
    while rows <= most:
        name = "genfilt threshold_join"
        found = [run(name, threshold, threads, rows=rows)[0] for _ in range(rounds)]
        part = {key: statistics.median(one[key] for one in found) for key in found[0]}
        print(
            f"{rows:12,} {part['pairs']:12,.0f} {part['wall']:8.2f} {part['cpu']:8.2f} "
            f"{part['memory']:7.0f} {rows * rows / part['wall'] / 1e9:9.2f}",
            flush=True,
        )
        rows *= 2


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--sigma", type=float, nargs="+", default=[0.95, 0.9, 0.8, 0.7])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", type=int, nargs=2, metavar=("LEAST", "MOST"))
    options = parser.parse_args()
    if options.worker:
        name, threshold, rows, out = options.worker
        worker(name, float(threshold), int(rows), Path(out))
        return
    import torch

    print(f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, ", end="")
    print(processor_features())
    print(f"{options.threads} threads, medians of {options.rounds}, {time.strftime('%Y-%m-%d')}")
    if options.growth:
        growth(*options.growth, options.sigma[0], options.threads, options.rounds)
    else:
        compare(options.sigma, options.threads, options.rounds)


if __name__ == "__main__":
    main()
