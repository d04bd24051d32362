"""Training until val no longer gains keeps the best epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from genfilt.common.arrays import Floats, Integers
from trainer.baselines.baseline import Material
from trainer.baselines.convergence import MAX_ROUNDS, PATIENCE, ROWS_OF_ROUND, until_converged
from trainer.evaluation.scorers import Scorer


class Dial(nn.Module):
    """A model whose one weight is the number of the round."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


def run(material: Material, best: int) -> tuple[Dial, list[int], int]:
    """Train a model that is right in round `best` and the less the farther from it.

    Returns the model, the epochs that were run, and how many a round has.
    """
    model, epochs = Dial(), []
    a_round = -(-ROWS_OF_ROUND // len(material.train))

    def scorers(judged: Material) -> list[Scorer]:
        labels = judged.benchmark
        assert len(labels.candidate_query) == 0
        noise = np.random.default_rng(0).normal(size=len(labels.positive))
        share = 1 / (1 + abs(int(model.weight) - best))

        def score(queries: Integers, products: Integers) -> Floats:
            assert len(queries) == len(labels.positive)
            return share * labels.positive + (1 - share) * noise

        return [score]

    for epoch in until_converged("a model", model, material, scorers):
        epochs.append(epoch)
        with torch.no_grad():
            model.weight.fill_(epoch // a_round)
    return model, epochs, a_round


def test_the_best_round_is_kept_and_training_ends_after_it(explicit: Material) -> None:
    model, epochs, a_round = run(explicit, best=3)
    assert int(model.weight) == 3
    assert epochs == list(range((3 + PATIENCE + 1) * a_round))
    assert model.training


def test_without_labels_of_both_kinds_all_rounds_are_run(explicit: Material) -> None:
    assert explicit.val is not None
    ones = replace(explicit.val, positive=np.ones_like(explicit.val.positive))
    for val in (None, ones):
        model, epochs, a_round = run(replace(explicit, val=val), best=3)
        assert epochs == list(range(MAX_ROUNDS * a_round))
        assert int(model.weight) == MAX_ROUNDS - 1
