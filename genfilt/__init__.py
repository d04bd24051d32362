"""Finding false negatives in e-commerce click logs before contrastive training.

The names below load their modules on first use, so that `import genfilt` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genfilt.common.errors import UsageError, UserError
    from genfilt.features.embed import Embedder
    from genfilt.filter.filter import FilterSettings, filter_pairs
    from genfilt.ingest.sources import Sources
    from genfilt.inspect.export import export_positives
    from genfilt.inspect.report import write_report
    from genfilt.join.threshold_join import threshold_join
    from genfilt.store.store import Store
    from genfilt.synth import synthesize

_MODULES = {
    "Embedder": "genfilt.features.embed",
    "FilterSettings": "genfilt.filter.filter",
    "Sources": "genfilt.ingest.sources",
    "Store": "genfilt.store.store",
    "UsageError": "genfilt.common.errors",
    "UserError": "genfilt.common.errors",
    "export_positives": "genfilt.inspect.export",
    "filter_pairs": "genfilt.filter.filter",
    "synthesize": "genfilt.synth",
    "threshold_join": "genfilt.join.threshold_join",
    "write_report": "genfilt.inspect.report",
}

__all__ = [
    "Embedder",
    "FilterSettings",
    "Sources",
    "Store",
    "UsageError",
    "UserError",
    "export_positives",
    "filter_pairs",
    "synthesize",
    "threshold_join",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
