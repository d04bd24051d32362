"""The fitted state of the captioner as bytes: safetensors, never pickled, never compressed.

A database from elsewhere is untrusted, so every size is checked before an array is used: what is
computed from a state is bounded by the limits below, not by the state.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from genfilt.common.errors import UserError
from genfilt.generators.neighbours.metric import BLOCK_COMPONENTS, DIMENSIONS, Basis
from genfilt.generators.neighbours.type_votes import FOLDS, MAX_REFERENCES, References

MAX_FEATURES = 1 << 16  # numbers that describe a picture
MAX_BLOCKS = 8  # of features, each with BLOCK_COMPONENTS principal components at most
MAX_KNOWN = 1 << 28  # pictures whose titles were read
FORMAT = "neighbours 2"

Arrays = Mapping[str, NDArray[np.generic]]


def pack(references: References) -> bytes:
    """Return the references as bytes; equal references give equal bytes."""
    from safetensors.numpy import save

    arrays = {
        "center": references.basis.center,
        "directions": references.basis.directions,
        "reduced": references.reduced.astype(np.float16),
        "words": references.words.astype(np.uint16),
        "groups": references.groups.astype(np.int32),
        "names": np.frombuffer("\n".join(references.names).encode(), dtype=np.uint8),
        "certain": references.certain,
        "known_keys": references.known_keys,
        "known_groups": references.known_groups.astype(np.int32),
        **{_metric(fold): metric for fold, metric in enumerate(references.metrics)},
    }
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    content: bytes = save(contiguous, metadata={"format": FORMAT})
    return content


def unpack(state: bytes) -> References:
    """Rebuild references from `pack`'s bytes.

    Raises:
        UserError: the bytes are no such state, or their parts do not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: Arrays = load(state)
        names = tuple(arrays["names"].tobytes().decode().split("\n"))
        _check(arrays, len(names))
        return References(
            Basis(_floats(arrays, "center"), _floats(arrays, "directions")),
            _floats(arrays, "reduced"),
            arrays["words"].astype(np.int64),
            arrays["groups"].astype(np.int64),
            tuple(_floats(arrays, _metric(fold)) for fold in range(FOLDS + 1)),
            names,
            _floats(arrays, "certain"),
            arrays["known_keys"].astype(np.uint64),
            arrays["known_groups"].astype(np.int64),
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"The stored state of the captioner cannot be read ({error}); run extract --refit."
        ) from None


def _check(arrays: Arrays, names: int) -> None:
    """Raise ValueError where sizes, types or indices do not fit together."""
    features, components = _shape(arrays, "directions", np.float32, (MAX_FEATURES, None))
    rows, _ = _shape(arrays, "reduced", np.float16, (MAX_REFERENCES, components))
    known = len(arrays["known_keys"])
    if components > MAX_BLOCKS * BLOCK_COMPONENTS or known > MAX_KNOWN:
        raise ValueError(f"{components} components, {known} pictures")
    expected = {
        "center": (np.float32, (features,)),
        "words": (np.uint16, (rows,)),
        "groups": (np.int32, (rows,)),
        "certain": (np.float32, (names,)),
        "known_keys": (np.uint64, (known,)),
        "known_groups": (np.int32, (known,)),
    }
    for name, (kind, shape) in expected.items():
        if arrays[name].dtype != kind or arrays[name].shape != shape:
            raise ValueError(f"{name} is {arrays[name].dtype}{arrays[name].shape}")
    for fold in range(FOLDS + 1):
        _, width = _shape(arrays, _metric(fold), np.float32, (components, None))
        if width > DIMENSIONS:
            raise ValueError(f"a metric of {width} dimensions")
    if rows == 0 or int(arrays["words"].max()) >= names:
        raise ValueError("a core word outside the list")
    if any(len(a) and int(a.min()) < 0 for a in (arrays["groups"], arrays["known_groups"])):
        raise ValueError("a negative group")


def _shape(
    arrays: Arrays, name: str, kind: type[np.generic], limits: tuple[int, int | None]
) -> tuple[int, int]:
    """Return a matrix's shape: at most limits[0] rows (exactly, for metrics) and its columns."""
    array = arrays[name]
    if array.dtype != kind or array.ndim != 2:
        raise ValueError(f"{name} is {array.dtype}{array.shape}")
    rows, columns = array.shape
    exact = name.startswith("metric")
    wrong = rows != limits[0] if exact else rows > limits[0]
    if wrong or (limits[1] is not None and columns != limits[1]):
        raise ValueError(f"{name} is {array.shape}")
    return rows, columns


def _floats(arrays: Arrays, name: str) -> NDArray[np.float32]:
    values: NDArray[np.float32] = arrays[name].astype(np.float32)
    if name != "certain" and not np.isfinite(values).all():
        raise ValueError(f"{name} has values that are no numbers")
    return values


def _metric(fold: int) -> str:
    return f"metric{fold:02d}"
