"""What the abbreviations in the trainer's output stand for."""

from __future__ import annotations

from collections.abc import Iterable

ABBREVIATIONS = {
    "itc": "image-title contrastive loss, eq. 1: a picture and its title are drawn together",
    "itm": "image-title matching loss, eq. 3: do a picture and a title belong together",
    "qic": "query-image contrastive loss, eq. 2 on pictures",
    "qtc": "query-title contrastive loss, eq. 2 on titles",
    "qmc": "query-product contrastive loss, eq. 2 on the fused vector M of title and picture",
    "qmm": "query-product matching loss, eq. 3: does a fused product answer a query",
    "qmx": "query-product contrastive loss across queries; not in the paper",
    "qma": "query-modal alignment: qic, qtc and qmc (and qmx)",
    "qmf": "query-modal fusion: itm and qmm",
    "auc": "share of (relevant, irrelevant) label pairs that are in the right order; 0.5 is chance",
    "gauc": "group AUC: the AUC within each query, averaged over queries by their labels",
    "recall@k": "share of relevant products among the first k of their candidate list",
    "_ci": "95 % interval, from drawing whole queries anew",
    "Q->T": "score of query and title alone",
    "Q->I": "score of query and picture alone",
    "Q->T+Q->I": "sum of both",
    "Q->M": "score of query and fused product: the model's own",
}


def legend(names: Iterable[str]) -> list[str]:
    """Return "name: meaning" for those names that are abbreviations, each once, in their order."""
    found: dict[str, None] = {}
    for name in names:
        for key in (name, name.lower(), "recall@k" if name.lower().startswith("recall@") else ""):
            if key in ABBREVIATIONS:
                found[key] = None
                break
    return [f"{key}: {ABBREVIATIONS[key]}" for key in found]
