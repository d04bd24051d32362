"""The threshold join on a GPU, beside blocks of a matrix product by hand on the same GPU.

`python benchmarks/join_gpu.py --rows 200000 200000` joins look-alike vectors (384 dimensions) at
several thresholds; pair sets are compared, apart from scores within a float32's error of the
threshold, before a ratio is printed. Each contender runs once to warm up.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from vectors import Vectors, look_alikes

from genfilt.join.threshold_join import threshold_join

EDGE = 2e-6  # scores so near the threshold may fall on either side in float32
BLOCK = 16384
Codes = npt.NDArray[np.int64]
Contender = Callable[[Vectors, Vectors, float], tuple[Codes, int]]


def by_hand(left: Vectors, right: Vectors, threshold: float) -> tuple[Codes, int]:
    """Full float32 products, block by block, both sides on the GPU; float32 scores."""
    a, b = (torch.from_numpy(side).cuda() for side in (left, right))
    found = []
    for start in range(0, len(a), BLOCK):
        for first in range(0, len(b), BLOCK):
            near = a[start : start + BLOCK] @ b[first : first + BLOCK].T
            i, j = (near >= threshold - EDGE).nonzero().T
            found.append(((i + start) * len(b) + j + first).cpu().numpy())
    return np.concatenate(found), sum(map(len, found))


def ours(left: Vectors, right: Vectors, threshold: float) -> tuple[Codes, int]:
    """The exact join; scores in float64."""
    batches = list(threshold_join(left, right, threshold, device="cuda", memory=8 << 30))
    codes = [i * len(right) + j for i, j, _ in batches]
    return np.concatenate(codes) if codes else np.empty(0, dtype=np.int64), sum(map(len, codes))


def seconds(contender: Contender, left: Vectors, right: Vectors, threshold: float) -> float:
    """Wall seconds of one run that ends on the host."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    contender(left, right, threshold)
    torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    """Compare the contenders and print a row for each threshold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs=2, default=(200_000, 200_000))
    parser.add_argument("--sigma", type=float, nargs="+", default=[0.95, 0.9, 0.8])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    left, right = look_alikes(*given.rows)
    torch.backends.cuda.matmul.allow_tf32 = False
    print(torch.cuda.get_device_name(), "torch", torch.__version__, given.rows, flush=True)
    for sigma in given.sigma:
        mine, count = ours(left, right, sigma)
        peers, _ = by_hand(left, right, sigma)
        missed = np.setdiff1d(mine, peers).size
        times = {
            name: sorted(seconds(run, left, right, sigma) for _ in range(given.rounds))
            for name, run in (("genfilt", ours), ("by hand", by_hand))
        }
        middle = {name: row[len(row) // 2] for name, row in times.items()}
        pairs = given.rows[0] * given.rows[1]
        row = {
            "sigma": sigma,
            "pairs": count,
            "missing in the product by hand": missed,
            "more there, within its error": len(peers) - count + missed,
            "seconds": {name: round(value, 3) for name, value in middle.items()},
            "1e9 pairs a second": {n: round(pairs / v / 1e9, 1) for n, v in middle.items()},
            "ratio": round(middle["by hand"] / middle["genfilt"], 2),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
