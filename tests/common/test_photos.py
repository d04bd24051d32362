from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genfilt.common.photos import MAX_PIXELS, THUMBNAIL_SIDE, open_photo, thumbnail


def test_thumbnails_are_small_and_never_fail(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.effect_noise((1500, 900), 80).convert("RGB").save(large)
    url = thumbnail(str(large))
    assert url is not None
    assert len(url) < 60_000
    huge = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(huge)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more")
    for path in (huge, broken, tmp_path / "none.png", tmp_path, None):
        assert thumbnail(None if path is None else str(path)) is None
    assert THUMBNAIL_SIDE <= 256


def test_a_photo_is_turned_upright_by_its_exif_orientation(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "red")
    picture.paste("blue", (0, 0, 10, 20))  # left, hence on top once it is turned
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "p.png", exif=exif)
    upright = open_photo(tmp_path / "p.png")
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 2)) == (0, 0, 255)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_photo(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "grey.png")
    opened = np.asarray(open_photo(tmp_path / "grey.png"))[..., 0]
    assert np.abs(opened.astype(int) - (values // 257).astype(int)).max() <= 1


def test_a_photo_is_bounded_in_size_and_in_pixels(tmp_path: Path) -> None:
    Image.new("RGB", (900, 300)).save(tmp_path / "wide.jpg")
    assert open_photo(tmp_path / "wide.jpg", 300).size == (300, 100)
    assert open_photo(tmp_path / "wide.jpg").size == (900, 300)
    Image.new("1", (20_000, MAX_PIXELS // 20_000 + 1)).save(tmp_path / "huge.png")
    with pytest.raises(ValueError, match="pixels are read"):
        open_photo(tmp_path / "huge.png")
