"""Figures of Query-LIFE (arXiv 2311.14742) beside which a report's stand: Tables 2, 3 and 6.

They were measured on a data set that is not public, so they compare in direction alone.
"""

from __future__ import annotations

from trainer.ablation.models import FULL

# Table 2, Recall@5, @10, @20 and AUC by model and score.
_TABLE_2: dict[str, dict[str, tuple[float, float, float, float]]] = {
    "bert": {"Q->T": (0.142, 0.186, 0.351, 0.871)},
    "clip": {"Q->T": (0.068, 0.125, 0.272, 0.542), "Q->I": (0.068, 0.147, 0.272, 0.554)},
    "blip2": {"Q->T": (0.134, 0.204, 0.318, 0.565), "Q->I": (0.090, 0.159, 0.272, 0.575)},
    "blip2-tuned": {
        "Q->T": (0.113, 0.170, 0.272, 0.752),
        "Q->I": (0.056, 0.159, 0.316, 0.771),
        "Q->T+Q->I": (0.090, 0.181, 0.329, 0.781),  # Table 3
    },
    FULL: {
        "Q->T": (0.125, 0.215, 0.340, 0.865),
        "Q->I": (0.079, 0.204, 0.329, 0.871),
        "Q->M": (0.102, 0.215, 0.386, 0.891),
        "Q->T+Q->I": (0.079, 0.215, 0.318, 0.882),  # Table 3
    },
    "without-qma": {
        "Q->T": (0.068, 0.170, 0.318, 0.741),
        "Q->I": (0.079, 0.147, 0.306, 0.805),
        "Q->M": (0.068, 0.193, 0.329, 0.784),
    },
    "without-qmf": {
        "Q->T": (0.136, 0.207, 0.318, 0.856),
        "Q->I": (0.090, 0.147, 0.306, 0.863),
        "Q->M": (0.113, 0.193, 0.295, 0.877),
    },
    "without-genfilt": {
        "Q->T": (0.102, 0.147, 0.261, 0.816),
        "Q->I": (0.056, 0.147, 0.329, 0.835),
        "Q->M": (0.090, 0.136, 0.295, 0.849),
    },
}
_COLUMNS = {"recall@5": 0, "recall@10": 1, "recall@20": 2, "auc": 3}
# Table 6, the picture's weight in M by kind of product: the whole model, and without QMF.
IMAGE_WEIGHTS = {"dress": (0.71, 0.49), "monitor": (0.56, 0.52), "phone": (0.35, 0.51)}


def paper_figure(key: str, measure: str, figure: str) -> float | None:
    """Return the paper's "auc" or "recall@k" of a model's score; None where it gives none."""
    found = _TABLE_2.get(key, {}).get(measure)
    return None if found is None else found[_COLUMNS[figure]]


def paper_difference(first: tuple[str, str], second: tuple[str, str], figure: str) -> float | None:
    """Return how far the paper's (model, measure) is above another; None where it gives none."""
    one, other = (paper_figure(key, measure, figure) for key, measure in (first, second))
    return None if one is None or other is None else round(one - other, 3)
