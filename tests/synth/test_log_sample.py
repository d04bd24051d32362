"""Samples of a generated log: what is kept of train, and that nothing else changes."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from genfilt.synth import synthesize
from genfilt.synth.log_sample import LogSample

TRAIN, VAL = 0, 1


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "clicks.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_sampled_catalogue_differs_in_its_train_clicks_alone(tmp_path: Path) -> None:
    whole, sampled = tmp_path / "whole", tmp_path / "sampled"
    synthesize(60, whole, seed=3, pictures=False)
    synthesize(60, sampled, seed=3, pictures=False, clicks_per_query=2)
    for name in ("products.csv", "queries.csv", "labels.csv"):
        assert (whole / name).read_bytes() == (sampled / name).read_bytes()
    before = {(row["query_id"], row["product_id"]): row for row in rows(whole)}
    left = rows(sampled)
    events: Counter[str] = Counter()
    for row in left:
        old = before[row["query_id"], row["product_id"]]
        if row["split"] == "train":
            events[row["query_id"]] += int(row["clicks"])
            assert 1 <= int(row["clicks"]) <= int(old["clicks"])
        else:
            assert row == old
    assert max(events.values()) == 2
    assert sum(row["split"] != "train" for row in left) == sum(
        row["split"] != "train" for row in before.values()
    )


def test_events_are_drawn_by_their_number() -> None:
    sample = LogSample(1, np.array([TRAIN, TRAIN, VAL]), seed=0)
    drawn = Counter(sample.of([(0, 90), (1, 10), (2, 5)])[0][0] for _ in range(2000))
    assert 0.86 < drawn[0] / 2000 < 0.94
    assert sample.of([(2, 5)]) == [(2, 5)]
