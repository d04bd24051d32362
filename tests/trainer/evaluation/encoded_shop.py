"""A trained run and its encoded benchmark."""

from __future__ import annotations

import numpy as np

from trainer.evaluation.scorers import NumberedVectors

ROWS = ("Q->T", "Q->I", "Q->T+Q->I", "Q->M")


def unit(rng: np.random.Generator, size: int) -> NumberedVectors:
    values = rng.normal(size=(size, 6)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return NumberedVectors(np.arange(size, dtype=np.int32) * 3, values)
