"""Evaluation of a run: files, repetition, pictures, summary."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genfilt.common.errors import UserError
from tests.trainer.evaluation.encoded_shop import ROWS
from tests.trainer.hostile_pictures import png_header, save_turned
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.candidates import load_benchmark
from trainer.evaluation.encode import encode
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.report import markdown
from trainer.training.checkpoint import load_model


def test_evaluate_takes_the_highest_stage_and_writes_its_files(run: tuple[Path, Path]) -> None:
    out, db = run
    measured = evaluate(out, db)
    metrics: dict[str, Any] = measured.to_dict()
    assert json.loads((out / "metrics.json").read_text()) == metrics
    more = {"untrained", "query_words", "unreadable_pictures", "summary"}
    assert set(metrics) == {*ROWS, "image_weight", "candidates", "split", "config", *more}
    assert metrics["config"]["stage"] == 2
    assert metrics["split"] == "val"
    assert set(metrics["image_weight"]) == {"ring", "bar", "cross"}
    shown = metrics["candidates"]
    assert (shown["labels"], shown["positive_labels"], shown["lists"]) == (24, 12, 12)
    assert (shown["relevant"], shown["white_pictures"]) == ("label", 0)
    for name in ROWS:
        low, high = metrics[name]["auc_ci"]
        assert 0 <= low <= metrics[name]["auc"] <= high <= 1
    assert metrics["Q->T"]["auc"] == 0.5  # the labels' titles differ in nothing
    for kind in ("svg", "png"):
        assert (out / f"precision_recall.{kind}").stat().st_size > 5000
    assert (out / "metrics.md").read_text() == markdown(measured)


def test_evaluation_repeats_to_the_bit(run: tuple[Path, Path]) -> None:
    out, db = run
    assert evaluate(out, db) == evaluate(out, db)
    (stored,) = (db.parent / "candidates").iterdir()
    assert stored.name.startswith("val-")


def test_ids_file_names_and_category_decide_no_score(
    run: tuple[Path, Path], tmp_path: Path
) -> None:
    out, db = run
    path = tmp_path / "shop.duckdb"
    with Shop(path) as shop:
        for name, colour, category in (("zz", "red", "x"), ("aa", "blue", "y")):
            folder = tmp_path / name
            folder.mkdir()
            picture = draw(folder / f"{name}.jpg", colour, "ring", seed=2)
            shop.product(name, "ring model 2", picture, split="val", category=category)
        shop.query("other", "red ring")
        shop.label("other", "zz", 1, "val")
        shop.label("other", "aa", 0, "val")
    model = load_model(out / "stage2")
    seen = {}
    for place in (db, path):
        with open_database(place) as connection:
            catalogue = load_catalogue(connection)
            benchmark = load_benchmark(connection, tmp_path / "lists", "val")
        ids = catalogue.product_ids.to_pylist()
        queries = catalogue.queries.to_pylist()
        scorer = encode(model, catalogue, benchmark).scorers()["Q->M"]
        q = np.array([queries.index("red ring")] * 2, dtype=np.int32)
        names = ("zz", "aa") if place == path else ("red-ring-2", "blue-ring-2")
        p = np.array([ids.index(name) for name in names], dtype=np.int32)
        seen[place] = scorer(q, p)
    np.testing.assert_allclose(seen[db], seen[path], atol=1e-5)
    assert seen[db][0] != seen[db][1]


def test_an_unreadable_picture_counts_and_keeps_its_place(
    run: tuple[Path, Path], tmp_path: Path
) -> None:
    out, _ = run
    db = toy_shop(tmp_path / "shop")
    (tmp_path / "shop" / "red-ring-2.jpg").write_bytes(b"no picture")
    (tmp_path / "shop" / "red-bar-2.jpg").unlink()
    shutil.copytree(out, tmp_path / "run")
    metrics = evaluate(tmp_path / "run", db)
    assert metrics.candidates.white_pictures == 2
    assert sorted(metrics.unreadable_pictures) == ["red-bar-2", "red-ring-2"]
    assert metrics.candidates.labels == 24


def test_a_run_without_a_stage_is_one_sentence(run: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no trained stage"):
        evaluate(tmp_path, run[1])


def test_markdown_has_a_row_for_each_score(run: tuple[Path, Path]) -> None:
    text = markdown(evaluate(*run))
    for name in (*ROWS, "random order", "ring"):
        assert f"\n| {name} |" in text
    assert "nan" not in text


def test_untrained_scores_stand_in_every_table(run: tuple[Path, Path]) -> None:
    metrics = evaluate(*run)
    names = ("BM25", "untrained all-MiniLM-L6-v2")
    assert tuple(metrics.untrained) == names
    for group in metrics.query_words.values():
        assert set(group.scores) == {*ROWS, *names}
    text = markdown(metrics)
    for name in names:
        assert text.count(f"\n| {name} |") == 2  # all queries, and those in seen words
    assert "in held out words" not in text  # the shop has no such query


def test_an_untrained_encoder_is_loaded_without_a_progress_bar(
    run: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    logging.enable_progress_bar()
    evaluate(*run)
    assert "Loading weights" not in capfd.readouterr().err


def test_the_summary_names_the_models_score_and_where_it_stands(run: tuple[Path, Path]) -> None:
    metrics = evaluate(*run)
    first, warning = metrics.summary
    auc = metrics.scores["Q->M"].auc.value
    assert first.startswith(f"Q->M is the model's score: AUC {auc:.3f} (")
    assert "on 24 labels of split val, 12 of them positive" in first
    for name in ("Q->T", "Q->I", "Q->T+Q->I", *metrics.untrained):
        assert f"{name} by " in first
    assert warning.startswith("24 labels are few")


def test_a_picture_of_a_billion_pixels_is_unreadable_and_a_turned_one_upright(
    run: tuple[Path, Path], tmp_path: Path
) -> None:
    huge, turned, upright = (tmp_path / name for name in ("huge.png", "turned.jpg", "up.jpg"))
    huge.write_bytes(png_header(100_000, 100_000))
    with Image.open(draw(tmp_path / "bar.jpg", "red", "bar")) as picture:
        picture.save(upright, quality=95)
    save_turned(upright, turned)
    with Shop(tmp_path / "shop.duckdb") as shop:
        shop.query("q", "red bar")
        for name, path in (("huge", huge), ("turned", turned), ("up", upright)):
            shop.product(name, f"bar {name}", path, split="val")
            shop.label("q", name, 1, "val")
    with open_database(tmp_path / "shop.duckdb") as connection:
        catalogue = load_catalogue(connection)
        benchmark = load_benchmark(connection, tmp_path / "lists", "val")
    encoded = encode(load_model(run[0] / "stage2"), catalogue, benchmark)
    ids = catalogue.product_ids.to_pylist()
    assert [ids[p] for p in encoded.unreadable] == ["huge"]
    assert "pixels" in next(iter(encoded.unreadable.values()))
    both = encoded.image.at(np.array([ids.index("turned"), ids.index("up")], dtype=np.int32))
    np.testing.assert_allclose(both[0], both[1], atol=2e-2)  # JPEG loses a little anew


def test_metrics_are_written_whole(
    run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, db = run
    shutil.copytree(out, tmp_path / "run")
    evaluate(tmp_path / "run", db)
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    written: list[str] = []

    def full(path: Path, *_: object, **__: object) -> int:
        written.append(path.name)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"metrics.json cannot be written"):
        evaluate(tmp_path / "run", db)
    assert written != ["metrics.json"]
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before
