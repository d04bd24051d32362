"""What the neighbours see in pictures, and that no title votes on its own picture."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from genfilt.common.errors import UserError
from genfilt.engines import local as parallel
from genfilt.generators.lexicon.lexicon import Lexicon
from genfilt.generators.neighbours.color_names import named_colors, shades
from genfilt.generators.neighbours.neighbours import Neighbours, load
from genfilt.generators.neighbours.picture_features import features
from genfilt.generators.neighbours.picture_groups import picture_groups
from genfilt.generators.neighbours.references_state import pack, unpack
from genfilt.generators.neighbours.segmentation import segment
from genfilt.generators.neighbours.type_votes import Voters, fit_references
from genfilt.generators.protocols import Caption, Failure
from genfilt.store.keys import file_key
from genfilt.vocabulary.terms import color_family, core_word_family

SKIN = (196, 144, 118)
COLORS = {"red": (200, 20, 30), "blue": (30, 80, 200), "green": (20, 130, 60)}
LEXICON = Lexicon({}, ())


def draw(path: Path, kind: str, color: tuple[int, int, int], shift: int = 0) -> Path:
    """Draw a mug, a lamp or a worn tee on white."""
    picture = Image.new("RGB", (180, 220), "white")
    pen = ImageDraw.Draw(picture)
    if kind == "mug":
        pen.rectangle((50 + shift, 80, 120 + shift, 170), fill=color)
        pen.ellipse((110 + shift, 95, 150 + shift, 145), outline=color, width=10)
    elif kind == "lamp":
        pen.polygon([(60, 100), (120, 100), (105, 40 + shift), (75, 40 + shift)], fill=color)
        pen.rectangle((87, 100, 93, 180), fill=(60, 60, 60))
        pen.ellipse((65, 175, 115, 190), fill=(60, 60, 60))
    else:
        pen.ellipse((75, 10, 105, 55), fill=SKIN)
        pen.rectangle((84, 50, 96, 70), fill=SKIN)
        pen.rectangle((40 - shift, 70, 56 - shift, 170), fill=SKIN)
        pen.rectangle((124 + shift, 70, 140 + shift, 170), fill=SKIN)
        pen.polygon([(36, 70), (144, 70), (140, 105), (122, 105), (122, 170), (58, 170),
                     (58, 105), (40, 105)], fill=color)  # fmt: skip
        pen.rectangle((58, 170, 122, 219), fill=(40, 40, 44))
    picture.save(path)
    return path


Catalogue = tuple[dict[str, Path], dict[str, list[str]]]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Three kinds of product by eight titles each, one picture a title."""
    folder = tmp_path_factory.mktemp("catalogue")
    pictures, titles = {}, {}
    for kind, noun in (("mug", "Mug"), ("lamp", "Table Lamp"), ("tee", "Tee")):
        for number in range(8):
            color = list(COLORS.values())[number % 3]
            path = draw(folder / f"{kind}{number}.png", kind, color, number % 4)
            noisy = np.asarray(Image.open(path), dtype=np.int16)
            noise = np.random.default_rng(number).integers(-2, 3, noisy.shape)
            Image.fromarray((noisy + noise).clip(0, 255).astype(np.uint8)).save(path)
            key = file_key(path)
            pictures[key] = path
            titles[key] = [f"Nomen{number} {noun}"]
    return pictures, titles


@pytest.fixture(scope="module")
def captioner(catalogue: Catalogue) -> Neighbours:
    return Neighbours.fit(*catalogue, LEXICON)


def test_colors_are_named_in_a_perceptual_space() -> None:
    swatches = {
        "#102050": "blue",
        "#d62030": "red",
        "#f4a8bc": "pink",
        "#7a1c30": "red",
        "#1a1a1c": "black",
        "#8a8a8c": "gray",
        "#f6e23c": "yellow",
        "#5c2a9c": "purple",
        "#6b4226": "brown",
        "#1f7a44": "green",
        "#f58020": "orange",
        "#dccaa8": "beige",
    }
    for code, basic in swatches.items():
        rgb = [int(code[at : at + 2], 16) for at in (1, 3, 5)]
        picture = np.full((60, 60, 3), 255, np.uint8)
        picture[15:45, 15:45] = rgb
        found = shades(segment(picture), "object")
        assert found[0].basic == basic, code
        assert sum(shade.share for shade in found) == pytest.approx(1)
        assert named_colors(found) == [basic]


def test_two_colors_are_named_the_colourful_one_first() -> None:
    picture = np.full((80, 80, 3), 255, np.uint8)
    picture[10:70, 10:70] = 20
    for top in range(10, 70, 12):
        picture[top : top + 6, 10:70] = (30, 80, 200)
    found = shades(segment(picture), "object")
    assert set(named_colors(found)) == {"blue", "black"}
    assert named_colors([each for each in found if each.share < 0.5] or found)[0] == "blue"


def test_shadow_gap_and_skin_are_no_product(tmp_path: Path) -> None:
    picture = np.full((120, 120, 3), 250, np.uint8)
    rows, columns = np.mgrid[:120, :120]
    cast = 60 * np.exp(-(((rows - 100) / 8) ** 2) - ((columns - 60) / 35) ** 2)
    picture = (picture - cast[..., None]).clip(0, 255).astype(np.uint8)
    picture[20:95, 30:90] = (200, 20, 30)
    picture[40:70, 45:75] = 250
    figure = segment(picture)
    assert figure.foreground[30, 60]
    assert not figure.foreground[55, 60]
    assert not figure.foreground[104, 60]
    worn = load(draw(tmp_path / "tee.png", "tee", COLORS["green"]))
    assert not isinstance(worn, Failure)
    assert named_colors(shades(worn, "upper")) == ["green"]
    share = worn.skin.sum() / worn.foreground.sum()
    assert 0.1 < share < 0.5


def test_a_busy_background_makes_all_foreground() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (50, 70, 3)).astype(np.uint8)
    assert segment(noise).foreground.all()


def test_features_have_one_length_for_any_picture() -> None:
    lengths = set()
    for shape in ((3, 3), (7, 160), (160, 5), (80, 100)):
        for value in (0, 255):
            picture = np.full((*shape, 3), value, np.uint8)
            picture[shape[0] // 2, shape[1] // 2] = (200, 20, 30)
            found = features(segment(picture))
            assert all(np.isfinite(block).all() for block in found.values())
            lengths.add(tuple(len(block) for block in found.values()))
    assert len(lengths) == 1


def test_type_and_color_are_told_of_unseen_pictures(captioner: Neighbours, tmp_path: Path) -> None:
    unseen = {
        f"{number:032x}": draw(tmp_path / f"new{number}.png", kind, COLORS[color], 2)
        for number, (kind, color) in enumerate([("mug", "blue"), ("tee", "red"), ("lamp", "green")])
    }
    told = [
        caption.caption for _, caption in captioner.describe(unseen) if isinstance(caption, Caption)
    ]
    assert told == ["a blue mug", "a red tee", "a green lamp"]


def test_no_title_votes_on_its_own_picture(catalogue: Catalogue) -> None:
    pictures, titles = catalogue
    key, other = list(titles)[:2]
    titles = titles | {key: ["Odd Sofa"], other: ["Odd Sofa"]}  # two pictures of mugs
    captioner = Neighbours.fit(pictures, titles, LEXICON)
    for _, caption in captioner.describe({key: pictures[key], other: pictures[other]}):
        assert isinstance(caption, Caption)
        assert json.loads(caption.raw)["family"] == "mug"


def test_a_vote_leaves_out_the_pictures_own_group_only_where_it_is_known() -> None:
    random_state = np.random.default_rng(0)
    words = ["mug"] * 20 + ["tee"] * 20 + ["sofa"]
    centers = {"mug": 0.0, "tee": 10.0, "sofa": 1000.0}
    blocks = [
        [(random_state.normal(size=6) + centers[word]).astype(np.float32) for _ in range(2)]
        for word in words
    ]
    keys = [f"{number:016x}" for number in range(len(words))]
    numbers = np.arange(len(words))
    references = fit_references(blocks, words, numbers, dict(zip(keys, numbers, strict=True)))
    sofa = np.concatenate(blocks[-1])
    known, unknown = (Voters(references).vote(key, sofa) for key in (keys[-1], "f" * 16))
    assert known is not None
    assert unknown is not None
    assert known.family == "tee"
    assert (unknown.family, unknown.word) == ("sofa", "sofa")
    assert unknown.share > 0.9
    again = Voters(unpack(pack(references))).vote("f" * 16, sofa)
    assert again == unknown


def test_pictures_of_one_title_or_titles_of_one_picture_are_a_group() -> None:
    groups = picture_groups({"c": ["x"], "a": ["x", "y"], "b": ["y"], "d": ["z"], "e": ["w"]})
    assert groups == {"a": 0, "b": 0, "c": 0, "d": 1, "e": 2}
    assert picture_groups({}) == {}


def test_state_is_the_same_for_the_same_catalogue(
    captioner: Neighbours, catalogue: Catalogue
) -> None:
    pictures, titles = catalogue
    order = list(pictures)
    random.Random(1).shuffle(order)
    again = Neighbours.fit({key: pictures[key] for key in order}, titles, LEXICON)
    assert again.state() == captioner.state()
    rebuilt = Neighbours.from_state(captioner.state())
    assert (rebuilt.name, rebuilt.prompt_key) == (captioner.name, captioner.prompt_key)
    assert list(rebuilt.describe(pictures)) == list(captioner.describe(pictures))
    with pytest.raises(UserError, match="--refit"):
        Neighbours.from_state(b"spoiled")


def test_without_types_only_the_color_is_told(tmp_path: Path) -> None:
    picture = {"0" * 32: draw(tmp_path / "mug.png", "mug", COLORS["red"])}
    for captioner in (
        Neighbours.fit({}, {}, LEXICON),
        Neighbours.fit(picture, {"0" * 32: ["Nameless thing"]}, LEXICON),
        Neighbours.from_state(b""),
    ):
        ((_, caption),) = captioner.describe(picture)
        assert isinstance(caption, Caption)
        assert caption.caption == "a red item"


def test_broken_and_huge_files_are_failures_and_odd_ones_are_not(tmp_path: Path) -> None:
    whole = draw(tmp_path / "mug.jpg", "mug", COLORS["red"])
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:700])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    broken = ["cut.jpg", "empty.jpg", "text.png", "huge.png", "missing.jpg"]
    Image.new("CMYK", (40, 40)).save(tmp_path / "cmyk.jpg")
    Image.new("RGBA", (40, 40)).save(tmp_path / "clear.png")
    Image.new("LA", (1, 1), (90, 255)).save(tmp_path / "dot.png")
    Image.open(whole).convert("P").save(tmp_path / "palette.gif")
    odd = ["mug.jpg", "cmyk.jpg", "clear.png", "dot.png", "palette.gif"]
    files = {f"{at:032x}": tmp_path / name for at, name in enumerate(broken + odd)}
    found = list(Neighbours.from_state(b"").describe(files))
    assert [key for key, _ in found] == list(files)
    for _, result in found[: len(broken)]:
        assert isinstance(result, Failure)
        assert result.reason == "unreadable picture"
        assert result.detail
    assert all(isinstance(result, Caption) for _, result in found[len(broken) :])


def test_workers_answer_as_one_process_does(
    captioner: Neighbours, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, _ = catalogue
    alone = list(captioner.describe(pictures))
    monkeypatch.setattr(parallel, "MIN_POOLED_FILES", 1)
    monkeypatch.setattr(parallel, "CHUNK", 5)
    assert list(captioner.describe(pictures)) == alone


def test_luma_val_pictures_are_told_right(luma: Path) -> None:
    with (luma / "products.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] != "test"]
    keys = {row["product_id"]: file_key(luma / row["image"]) for row in rows}
    train = [row for row in rows if row["split"] == "train"]
    lexicon = Lexicon.fit(sorted({row["title"] for row in train}))
    captioner = Neighbours.fit(
        {keys[row["product_id"]]: luma / row["image"] for row in train},
        {keys[row["product_id"]]: [row["title"]] for row in train},
        lexicon,
    )
    val = [row for row in rows if row["split"] == "val"]
    found = dict(captioner.describe({keys[row["product_id"]]: luma / row["image"] for row in val}))
    types, colors = [], []
    for row in val:
        raw = json.loads(found[keys[row["product_id"]]].raw)  # type: ignore[union-attr]
        types.append(raw["family"] == core_word_family(row["type"]))
        colors.append(raw["colors"][0][0] == color_family(row["color"]))
    assert np.mean(types) >= 0.88
    assert np.mean(colors) >= 0.8
