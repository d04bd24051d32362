"""A pack of pictures: the features of the files, refused where a file changed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genfilt.common.errors import UserError
from tests.trainer.model.test_vision import blip2
from tests.trainer.shop import Shop, draw, toy_shop
from trainer.batches.pack_writer import open_pack, pack_folder, pack_pictures
from trainer.batches.picture_pack import PictureSource
from trainer.config import FitConfig, preset
from trainer.database.catalogue import load_catalogue
from trainer.database.reading import open_database
from trainer.evaluation.evaluate import evaluate
from trainer.model.vision import ImageTransform
from trainer.training import checkpoint
from trainer.training.fit import fit

SIDE = 32
TRANSFORM = ImageTransform(SIDE, mean=(0.4, 0.5, 0.6))


def images_of(db: Path):
    with open_database(db) as connection:
        return load_catalogue(connection).images


def mixed_shop(folder: Path) -> Path:
    """A product with a picture, one of odd size, one whose file is broken, one without a file."""
    with Shop(folder / "mixed.duckdb") as shop:
        for name, size in (("a", (64, 64)), ("b", (31, 90))):
            picture = folder / f"{name}.png"
            noise = np.random.default_rng(size[0]).integers(0, 256, (*size, 4), dtype=np.uint8)
            Image.fromarray(noise, "RGBA" if name == "b" else None).save(picture)
            shop.product(name, f"thing {name}", picture)
        broken = draw(folder / "broken.jpg", "red", "ring")
        broken.write_bytes(broken.read_bytes()[:300])
        shop.product("c", "thing c", broken)
        shop.product("d", "thing d")
        shop.product("e", "thing e", draw(folder / "e.jpg", "blue", "bar"))
    return folder / "mixed.duckdb"


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_read_from_a_pack_is_what_the_files_give(tmp_path: Path, workers: int) -> None:
    db = mixed_shop(tmp_path)
    made = pack_pictures(db, TRANSFORM.square, SIDE, workers)
    assert (made.pictures, made.unreadable) == (3, 1)
    images = images_of(db)
    pack = open_pack(db, SIDE, images)
    assert pack is not None
    files, packed = PictureSource(images, TRANSFORM), PictureSource(images, TRANSFORM, pack)
    for p in (0, 1, 4):
        assert torch.equal(packed.read(p), files.read(p))
        assert pack.find(p) is not None
    with pytest.raises(ValueError, match="(?i)truncated"):
        packed.read(2)
    assert [pack.find(p) for p in (2, 3, 99)] == [None] * 3


def test_augmented_pictures_are_nearly_those_of_the_files(tmp_path: Path) -> None:
    db = toy_shop(tmp_path)
    pack_pictures(db, TRANSFORM.square, SIDE, 0)
    images = images_of(db)
    files = PictureSource(images, TRANSFORM)
    packed = PictureSource(images, TRANSFORM, open_pack(db, SIDE, images))
    off = [(packed.read(p, 7) - files.read(p, 7)).abs().mean().item() for p in range(36)]
    plain = [(packed.read(p, 7) - files.read(p)).abs().mean().item() for p in range(36)]
    assert max(off) < 0.1
    assert np.mean(off) < 0.5 * np.mean(plain), "they are moved as the files' are"


@pytest.mark.parametrize("change", ["touched", "replaced", "removed"])
def test_a_picture_that_changed_is_refused(tmp_path: Path, change: str) -> None:
    db = mixed_shop(tmp_path)
    pack_pictures(db, TRANSFORM.square, SIDE, 0)
    picture = tmp_path / "e.jpg"
    before = picture.stat()
    if change == "touched":
        os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    elif change == "replaced":
        draw(picture, "green", "ring")
        os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert picture.stat().st_size != before.st_size
    else:
        picture.unlink()
    images = images_of(db)
    with pytest.raises(UserError, match=r"e\.jpg was changed after .*run trainer pack again"):
        open_pack(db, SIDE, images)
    pack_pictures(db, TRANSFORM.square, SIDE, 0)
    assert open_pack(db, SIDE, images) is not None


def test_without_a_pack_of_the_side_files_are_read(tmp_path: Path) -> None:
    db = mixed_shop(tmp_path)
    pack_pictures(db, TRANSFORM.square, SIDE, 0)
    assert open_pack(db, 64, images_of(db)) is None


def test_a_database_without_pictures_or_a_full_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shop(tmp_path / "bare.duckdb") as shop:
        shop.product("a", "thing a")
    with pytest.raises(UserError, match="has no picture file"):
        pack_pictures(tmp_path / "bare.duckdb", TRANSFORM.square, SIDE, 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Full)
    with pytest.raises(UserError, match=r"The pack takes 0\.0 GB and .* has 0\.0 GB left"):
        pack_pictures(mixed_shop(tmp_path), TRANSFORM.square, SIDE, 0)


class Full:
    free = 10


def frozen(folder: Path) -> FitConfig:
    model = replace(preset("tiny", 1).model, vision=str(blip2(folder / "tower")))
    return replace(preset("tiny", 2), model=model, epochs=1)


@pytest.mark.parametrize("cache", [False, True])
def test_training_and_measuring_from_a_pack_give_the_same(tmp_path: Path, cache: bool) -> None:
    """Of a frozen tower, whose pictures are not augmented, to the last bit."""
    db = toy_shop(tmp_path)
    config = replace(frozen(tmp_path), cache_vision=cache)
    fit(config, db, tmp_path / "files")
    plain = evaluate(tmp_path / "files", db)
    tower = checkpoint.load_model(tmp_path / "files" / "stage2").image_transform
    pack_pictures(db, tower.square, tower.size, 1)
    mark = (pack_folder(db, tower.size) / "squares").stat()
    for picture in tmp_path.glob("*.jpg"):  # what is not read need not be readable
        stat = picture.stat()
        picture.write_bytes(b"x" * stat.st_size)
        os.utime(picture, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    fit(config, db, tmp_path / "packed")
    one, two = (
        checkpoint.load_model(tmp_path / run / "stage2").state_dict() for run in ("files", "packed")
    )
    for name, value in one.items():
        assert torch.equal(two[name], value), name
    assert evaluate(tmp_path / "packed", db).scores == plain.scores
    assert mark.st_size == 36 * 3 * tower.size**2
