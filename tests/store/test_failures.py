from __future__ import annotations

from genfilt.store.failures import Failure, clear_failures, write_failures
from genfilt.store.store import Store


def test_a_failure_that_comes_again_counts_attempts() -> None:
    with Store() as store:
        for reason in ("first", "second"):
            write_failures(store, "extract", "g", [("k", Failure(reason, "why"))])
        found = store.rows("SELECT item_key, reason, detail, attempts FROM failures")
        assert found == [("k", "second", "why", 2)]


def test_success_clears_the_failures_of_that_step_and_generator_alone() -> None:
    with Store() as store:
        for step, generator in (("extract", "g"), ("extract", "h"), ("caption", "g")):
            write_failures(store, step, generator, [(key, Failure("bad")) for key in ("a", "b")])
        clear_failures(store, "extract", "g", ["a", "unknown"])
        found = store.rows("SELECT step, generator, item_key FROM failures ORDER BY ALL")
        assert ("extract", "g", "a") not in found
        assert len(found) == 5
