"""Texts a second of a sentence encoder: ours by equal lengths, and sentence-transformers' encode.

    python benchmarks/embedding.py --texts 4000

The same model, texts and thread in one process, in turns; processor seconds, the median of the
rounds. Then how far the cosines of all pairs of texts are from sentence-transformers'.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from join import processor_features
from sentence_transformers import SentenceTransformer
from vectors import Vectors, texts

from genfilt.features.embedder import BFLOAT16, DEFAULT_EMBEDDER, Embedder

PEER = "sentence-transformers, float32"


def encoders(words: list[str]) -> dict[str, Callable[[], Vectors]]:
    """Return what embeds the words, by name, each with its model loaded."""
    ours, fast = Embedder(DEFAULT_EMBEDDER), Embedder(DEFAULT_EMBEDDER + BFLOAT16)
    for embedder in (ours, fast):
        embedder.encode(["warm"])
    model = SentenceTransformer(ours.path)  # its own: ours multiplies by oneDNN
    return {
        PEER: lambda: np.asarray(
            model.encode(words, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
        ),
        "equal lengths, float32": lambda: ours.encode(words),
        "equal lengths, bfloat16": lambda: fast.encode(words),
    }


def measure(words: list[str], rounds: int) -> tuple[dict[str, float], dict[str, Vectors]]:
    """Return the texts a processor second and the vectors of each encoder."""
    seconds: dict[str, list[float]] = {}
    vectors: dict[str, Vectors] = {}
    run = encoders(words)
    for _ in range(rounds):
        for name, encode in run.items():
            began = time.process_time()
            vectors[name] = encode()
            seconds.setdefault(name, []).append(time.process_time() - began)
    return {name: len(words) / statistics.median(took) for name, took in seconds.items()}, vectors


def main() -> None:
    """Measure the encoders and print rates, ratios and differences of cosines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    titles, queries = texts(options.texts * 3 // 4, options.texts // 4)
    rates, vectors = measure(titles + queries, options.rounds)
    own = vectors[PEER] @ vectors[PEER].T
    print(f"{processor_features()}; {options.texts:,} texts, one thread, {options.rounds} rounds\n")
    print("| | texts/CPU s | ratio | cosines differ: mean | 99.9 % within | at most |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, rate in rates.items():
        apart = np.abs(vectors[name] @ vectors[name].T - own)
        print(
            f"| {name} | {rate:,.0f} | {rate / rates[PEER]:.2f} | {apart.mean():.1e} "
            f"| {np.quantile(apart, 0.999):.1e} | {apart.max():.1e} |"
        )


if __name__ == "__main__":
    main()
