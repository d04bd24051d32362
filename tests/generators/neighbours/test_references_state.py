"""The captioner's stored state: nothing is computed from one that was forged or damaged."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pytest
from safetensors.numpy import load, save

from genfilt.common.errors import UserError
from genfilt.generators import fitted
from genfilt.generators.fitted import fitted_neighbours
from genfilt.generators.neighbours.neighbours import Neighbours
from genfilt.generators.neighbours.references_state import pack, unpack
from genfilt.generators.neighbours.type_votes import References, fit_references
from genfilt.store.store import Store, now

Arrays = dict[str, np.ndarray]
Forge = Callable[[Arrays], object]


@pytest.fixture(scope="module")
def references() -> References:
    noise = np.random.default_rng(0)
    words = ["mug"] * 12 + ["tee"] * 12
    centers = {"mug": 0.0, "tee": 10.0}
    blocks = [[(noise.normal(size=6) + centers[w]).astype(np.float32)] * 2 for w in words]
    groups = np.arange(len(words))
    keys = {f"{number:016x}": int(number) for number in groups}
    return fit_references(blocks, words, groups, keys)


def test_a_state_survives_and_equal_references_give_equal_bytes(references: References) -> None:
    state = pack(references)
    again = unpack(state)
    assert pack(again) == state
    assert again.names == references.names
    np.testing.assert_array_equal(again.certain, references.certain)
    np.testing.assert_array_equal(again.words, references.words)


FORGED: dict[str, Forge] = {
    "a core word outside the list": lambda a: a["words"].fill(9),
    "a word missing": lambda a: a.update(words=a["words"][1:].copy()),
    "another type": lambda a: a.update(reduced=a["reduced"].astype(np.float64)),
    "a negative group": lambda a: a["groups"].fill(-1),
    "a metric of other height": lambda a: a.update(metric00=np.zeros((1, 1), np.float32)),
    "a wide metric": lambda a: a.update(
        metric00=np.zeros((a["metric00"].shape[0], 5000), np.float32)
    ),
    "many rows": lambda a: a.update(
        reduced=np.zeros((30_000, a["reduced"].shape[1]), np.float16),
        words=np.zeros(30_000, np.uint16),
        groups=np.zeros(30_000, np.int32),
    ),
    "no rows": lambda a: a.update(
        reduced=a["reduced"][:0].copy(), words=a["words"][:0].copy(), groups=a["groups"][:0].copy()
    ),
    "an array missing": lambda a: a.pop("known_keys"),
    "no numbers": lambda a: a["directions"].fill(np.nan),
    "names that are no text": lambda a: a["names"].fill(255),
}


@pytest.mark.parametrize("fault", FORGED)
def test_a_forged_state_is_refused(references: References, fault: str) -> None:
    arrays = {name: array.copy() for name, array in load(pack(references)).items()}
    FORGED[fault](arrays)
    with pytest.raises(UserError, match=r"cannot be read .*--refit"):
        unpack(save(arrays))


@pytest.mark.parametrize(
    "state", [b"spoiled", b"\xff" * 64, b"\x80\x04N.", zlib.compress(b"0" * 99)]
)
def test_other_bytes_are_refused(state: bytes) -> None:
    with pytest.raises(UserError, match="--refit"):
        unpack(state)


def test_a_state_of_other_features_is_refused(references: References) -> None:
    with pytest.raises(UserError, match=r"other features .*--refit"):
        Neighbours.from_state(pack(references))


def test_a_large_state_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitted, "MAX_STATE_BYTES", 1000)
    with Store() as store:
        store.connection.execute(
            "INSERT INTO generator_states SELECT 'neighbours-x', repeat('a', 2000)::BLOB, 1, ?",
            [now()],
        )
        with pytest.raises(UserError, match=r"has 2,000 bytes and must have at most 1,000"):
            fitted_neighbours(store)
