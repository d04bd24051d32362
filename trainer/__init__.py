"""Training of Query-LIFE, a relevance model of query, title and picture, on a genfilt database.

The names below load their modules on first use, so that `import trainer` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.integrations.positives import Positives
    from trainer.serving.relevance_model import RelevanceModel

_MODULES = {
    "Positives": "trainer.integrations.positives",
    "RelevanceModel": "trainer.serving.relevance_model",
}

__all__ = ["Positives", "RelevanceModel"]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
