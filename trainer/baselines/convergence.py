"""Training of a baseline until it converges: the weights that are best on val are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Protocol, Self

import numpy as np
from torch import Tensor

from genfilt.common.console import say
from genfilt.common.statistics import Roc
from trainer.baselines.baseline import Material
from trainer.evaluation.candidates import Benchmark
from trainer.evaluation.scorers import Scorer

MAX_ROUNDS = 40
PATIENCE = 5  # rounds without a better one, after which training ends
ROWS_OF_ROUND = 800  # at least; a few rows are passed over several times between two looks at val


class Trained(Protocol):
    """A model of torch, or one in its manner."""

    def train(self) -> Self:
        """Go to training mode."""

    def eval(self) -> Self:
        """Go to evaluation mode."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights by name."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> object:
        """Take weights by name."""


def until_converged(
    name: str,
    model: Trained,
    material: Material,
    scorers: Callable[[Material], Collection[Scorer]],
) -> Iterator[int]:
    """Yield the numbers of epochs from 0 on, until val has not gained for PATIENCE rounds.

    A round is one epoch, or as many as have ROWS_OF_ROUND rows; after each the mean AUC of the
    scores on val is taken. In the end the model has the weights of the best round. Where val has
    no labels of both kinds there are MAX_ROUNDS, and the last weights stay.

    Args:
        name: of the model, in remarks.
        model: what is trained between two numbers.
        material: with the val labels that a round is judged by.
        scorers: returns the model's scores of a material as they are now.
    """
    judged = _labels_of_val(material)
    epochs = -(-ROWS_OF_ROUND // max(1, len(material.train)))
    best, best_round, weights = float("-inf"), 0, dict[str, Tensor]()
    for number in range(MAX_ROUNDS):
        yield from range(number * epochs, (number + 1) * epochs)
        if judged is None:
            continue
        model.eval()
        auc = _mean_auc(scorers(judged), judged.benchmark)
        model.train()
        if auc > best:
            best, best_round = auc, number
            weights = {key: value.cpu().clone() for key, value in model.state_dict().items()}
        elif number - best_round >= PATIENCE:
            break
    if judged is not None and not weights:
        say(f"{name}: its scores on val are not numbers; it did not converge")
    if weights:
        model.load_state_dict(weights)
        kept, run = ((one + 1) * epochs for one in (best_round, number))
        say(f"{name}: mean AUC on val {best:.3f} after {kept} of {run} epochs")


def _mean_auc(scorers: Collection[Scorer], labels: Benchmark) -> float:
    """Return the mean AUC of some scores; minus infinity where one is not a number."""
    scores = [score(labels.query, labels.product) for score in scorers]
    if not all(np.isfinite(one).all() for one in scores):
        return float("-inf")
    return float(np.mean([Roc(one, labels.positive).auc() for one in scores]))


def _labels_of_val(material: Material) -> Material | None:
    """Return the material whose benchmark is val's labels alone; None without both kinds."""
    val = material.val
    if val is None or len(np.unique(val.positive)) < 2:
        return None
    none = np.empty(0, dtype=np.int32)
    lists = none.reshape(0, 1)
    return replace(
        material,
        benchmark=replace(val, candidate_query=none, candidates=lists, categories={}),
    )
