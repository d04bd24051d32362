"""The drawn pictures: one can see type, colour and pattern in them."""

import numpy as np
import pytest
from PIL import Image

from genfilt.synth.drawing import SIDE, draw
from genfilt.synth.drawing_pool import DrawingPool
from genfilt.synth.listings import Look
from genfilt.synth.silhouettes import parse_layer, silhouettes
from genfilt.synth.word_lists import load_word_lists

TYPES = load_word_lists().types
COLORS = load_word_lists().colors


def look(name: str, seed: int, color: str | None = None, pattern: str = "solid") -> Look:
    kind = TYPES[name]
    gender = kind.genders[seed % len(kind.genders)] if kind.genders else None
    chosen = color or kind.colors[seed % len(kind.colors)]
    return Look(name, chosen, pattern, gender, f"cut/{seed}", f"pose/{seed}")


def shape(picture: Image.Image) -> np.ndarray:
    """What is not background, whatever its colour: (32 * 32,)."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)
    differs = np.abs(pixels - pixels[0, 0]).max(axis=2) > 60
    small = Image.fromarray((differs * 255).astype(np.uint8)).resize((32, 32), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel() / 255


def test_every_type_has_a_silhouette():
    assert set(silhouettes()) == set(TYPES)


def test_a_picture_is_the_same_each_time_and_differs_by_pose():
    one, again, other = (draw(look("hoodie", seed)) for seed in (1, 1, 18))
    assert one.size == (SIDE, SIDE)
    assert one.mode == "RGB"
    assert one.tobytes() == again.tobytes() != other.tobytes()


def test_the_type_is_recognised_by_its_shape():
    """Nearest of 16 drawn examples a type, in other colours, poses and cuts."""
    dark = {"black", "navy", "brown", "gold", "red"}
    names = sorted(TYPES)

    def outlines(seeds: range) -> np.ndarray:
        return np.array(
            [
                shape(draw(look(name, seed, sorted(dark & set(TYPES[name].colors))[0])))
                for name in names
                for seed in seeds
            ]
        )

    known, new = outlines(range(16)), outlines(range(100, 103))
    distances = (known**2).sum(1) - 2 * new @ known.T  # (N, K), up to a term of the row
    found = distances.argmin(axis=1) // 16
    expected = np.repeat(np.arange(len(names)), 3)
    assert (found == expected).mean() > 0.85


@pytest.mark.parametrize("name", ["t_shirt", "cushion", "vase", "teapot"])
def test_the_colour_is_the_products(name):
    for seed, color in enumerate(TYPES[name].colors):
        patch = np.asarray(draw(look(name, seed, color)), dtype=np.float64)[102:132, 102:122]
        middle = np.median(patch.reshape(-1, 3), axis=0)
        gaps = {other: np.abs(middle - COLORS[other].rgb).sum() for other in TYPES[name].colors}
        assert min(gaps, key=gaps.__getitem__) == color


@pytest.mark.parametrize("pattern", ["striped", "checked", "dotted", "floral"])
def test_a_pattern_changes_a_good_part_of_the_cloth_and_nothing_beside_it(pattern):
    plain = np.asarray(draw(look("cushion", 5, "navy")), dtype=np.int64)
    printed = np.asarray(draw(look("cushion", 5, "navy", pattern)), dtype=np.int64)
    changed = np.abs(plain - printed).max(axis=2) > 40
    body = np.abs(plain - plain[0, 0]).max(axis=2) > 120
    assert 0.08 < changed[body].mean() < 0.75
    assert changed[~body].mean() < 0.01


def test_the_patterns_differ_from_each_other():
    prints = [
        np.asarray(draw(look("cushion", 5, "navy", name)), dtype=np.int64)
        for name in ("striped", "checked", "dotted", "floral")
    ]
    for place, one in enumerate(prints):
        for other in prints[place + 1 :]:
            assert (np.abs(one - other).max(axis=2) > 40).mean() > 0.05


def test_a_mirrored_layer_is_two():
    left, right = parse_layer("main poly 10,20 30,20 30,40 mirror")
    assert left.points == ((10, 20), (30, 20), (30, 40))
    assert right.points == ((90, 20), (70, 20), (70, 40))


def test_a_line_has_its_width_and_an_outline_none():
    (line,) = parse_layer("deep line 1.5 10,20 30,20")
    (box,) = parse_layer("main box 4 10,10 90,90")
    assert line.width == 1.5
    assert box.width == 0
    xs, ys = zip(*box.points, strict=True)
    assert min(xs) == min(ys) == pytest.approx(10)
    assert max(xs) == max(ys) == pytest.approx(90)


def test_worker_processes_draw_what_this_process_draws(tmp_path):
    jobs = [(look(name, seed), f"{name}.jpg") for seed, name in enumerate(sorted(TYPES)[:6])]
    for folder, expected in (("here", 6), ("workers", 100_000)):
        with DrawingPool(tmp_path / folder, expected) as drawings:
            for wanted, name in jobs:
                drawings.draw(wanted, f"images/0000/{name}")
    for _, name in jobs:
        drawn = [tmp_path / folder / "images/0000" / name for folder in ("here", "workers")]
        assert drawn[0].read_bytes() == drawn[1].read_bytes()
        with Image.open(drawn[0]) as picture:
            assert (picture.format, picture.size) == ("JPEG", (SIDE, SIDE))


def test_a_failing_worker_is_not_passed_over(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "taken.jpg").mkdir()
    with pytest.raises(IsADirectoryError), DrawingPool(tmp_path, 1) as drawings:
        drawings.draw(look("mug", 1), "images/taken.jpg")
