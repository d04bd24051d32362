"""The three masks against the definition, read off a database by SQL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genfilt.common.errors import UserError
from tests.trainer.shop import Shop
from trainer.batches.mask import Masks
from trainer.database.catalogue import load_catalogue
from trainer.database.known_pairs import load_known_pairs
from trainer.database.reading import open_database


def masks_of(path: Path, *, genfilt: bool = True) -> Masks:
    with open_database(path) as connection:
        return Masks(
            load_known_pairs(connection, genfilt=genfilt), load_catalogue(connection).contents
        )


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def random_shop(path: Path, seed: int) -> None:
    """Few titles and pictures for many products, so that equal contents are common."""
    rng = np.random.default_rng(seed)
    with Shop(path) as shop:
        for n in range(12):
            shop.query(f"q{n}", f"query {n % 8}")
        for n in range(30):
            title, picture = int(rng.integers(8)), int(rng.integers(8))
            texts = (f"text {title % 5}", None if picture % 4 == 0 else f"caption {picture % 5}")
            file = None if picture == 7 else Path(f"/nowhere/{picture}.jpg")
            split = "val" if n % 10 == 0 else "train"
            shop.product(
                f"p{n}",
                f"title {title}",
                file,
                split=split,
                texts=None if n % 11 == 0 else texts,
            )
        pairs = rng.permutation(12 * 30)
        for pair in pairs[:30]:
            shop.click(f"q{pair // 30}", f"p{pair % 30}", "val" if pair % 3 == 0 else "train")
        for pair in pairs[20:60]:
            split = "val" if pair % 4 == 0 else "train"
            shop.label(f"q{pair // 30}", f"p{pair % 30}", int(rng.integers(2)), split)
        for pair in pairs[25:35]:
            shop.review(f"q{pair // 30}", f"p{pair % 30}", int(rng.integers(2)))
        for q in range(8):
            for f in range(0, 12, 2 + q % 3):
                shop.correct(q, f, float(rng.uniform(0.85, 1)), vetoed=bool(rng.random() < 0.2))
        for f_image in range(0, 12, 2):
            shop.match(f_image, int(rng.integers(12)), float(rng.uniform(0.85, 1)))


class Definition:
    """The design's words, one pair at a time."""

    def __init__(self, path: Path) -> None:
        with open_database(path) as db:
            self.verdict = {
                (q, p): positive
                for q, p, positive in db.execute(
                    "SELECT q, p, positive FROM verdicts WHERE split = 'train'"
                ).fetchall()
            }
            self.corrected = set(db.execute("SELECT q, f FROM qp_corrections").fetchall())
            self.matched = set(db.execute("SELECT f_image, f_title FROM it_corrections").fetchall())
            self.of = {
                p: (title, image, f, f_title, f_image)
                for p, title, image, f, f_title, f_image in db.execute(
                    "SELECT p, title_key, image_key, f, f_title, f_image FROM products"
                    " JOIN product_no USING (product_id) LEFT JOIN features USING (f)"
                ).fetchall()
            }

    def positive(self, q: int, p: int) -> bool:
        return self.verdict.get((q, p), (q, self.of[p][2]) in self.corrected)

    def query_masks(self, queries: np.ndarray, products: np.ndarray) -> list[list[list[bool]]]:
        ways = (self.same_title, self.same_image, lambda a, b: a == b)
        return [
            [
                [any(self.positive(q, p) and equal(p, c) for p in products) for c in products]
                for q in queries
            ]
            for equal in ways
        ]

    def same_title(self, a: int, b: int) -> bool:
        return self.of[a][0] == self.of[b][0]

    def same_image(self, a: int, b: int) -> bool:
        return a == b or (self.of[a][1] is not None and self.of[a][1] == self.of[b][1])

    def image_title(self, a: int, b: int) -> bool:
        corrected = (self.of[a][4], self.of[b][3]) in self.matched
        return a == b or self.same_title(a, b) or self.same_image(a, b) or corrected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [1, 7, 24])
def test_masks_equal_the_definition(tmp_path: Path, seed: int, size: int) -> None:
    random_shop(tmp_path / "shop.duckdb", seed)
    masks, definition = masks_of(tmp_path / "shop.duckdb"), Definition(tmp_path / "shop.duckdb")
    rng = np.random.default_rng(seed)
    queries = rng.integers(8, size=size).astype(np.int32)
    products = rng.choice(sorted(definition.of), size=size).astype(np.int32)
    for _ in range(2):  # the tables that the look-up reuses are clean again
        made = masks.queries(queries, products)
        expected = definition.query_masks(queries, products)
        for mine, theirs in zip((made.title, made.image, made.fused), expected, strict=True):
            np.testing.assert_array_equal(mine, np.array(theirs))
        np.testing.assert_array_equal(
            masks.image_title(products),
            [[definition.image_title(a, b) for b in products] for a in products],
        )


def test_a_verdict_against_outranks_a_correction(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        q = shop.query("q", "black jacket")
        p = [shop.product(f"p{n}", f"title {n}", texts=("same", "same")) for n in range(3)]
        shop.correct(q, shop.feature("same", "same"))
        shop.label("q", "p1", 0)
    made = masks_of(tmp_path / "shop.duckdb").queries(numbers(q), numbers(*p))
    assert made.fused.tolist() == [[True, False, True]]
    without = masks_of(tmp_path / "shop.duckdb", genfilt=False).queries(numbers(q), numbers(*p))
    assert not without.fused.any()


def test_a_val_label_and_a_val_click_reach_no_mask(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb") as shop:
        q = shop.query("q", "black jacket")
        p = [shop.product(f"p{n}", f"title {n}") for n in range(2)]
        shop.click("q", "p0", split="val")
        shop.label("q", "p1", 1, split="val")
    assert not masks_of(tmp_path / "shop.duckdb").queries(numbers(q), numbers(*p)).fused.any()


def test_empty_batch(tmp_path: Path) -> None:
    with Shop(tmp_path / "shop.duckdb"):
        pass
    masks = masks_of(tmp_path / "shop.duckdb")
    assert masks.queries(numbers(), numbers()).title.shape == (0, 0)
    assert masks.image_title(numbers()).shape == (0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_dropped_corrections_are_ignored_instead_of_positive(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "shop.duckdb"
    random_shop(path, seed)
    both, none = masks_of(path), masks_of(path, genfilt=False)
    drop = Masks(both.corrections, both.contents, drop=True)
    rng = np.random.default_rng(seed)
    known = int(both.contents.title.max(initial=0))
    queries = rng.integers(0, 8, 40).astype(np.int32)
    products = rng.integers(0, len(both.contents.title), 40).astype(np.int32)
    assert known
    wanted, plain = both.queries(queries, products), none.queries(queries, products)
    dropped, ignored = drop.queries(queries, products), drop.ignored(queries, products)
    assert ignored is not None
    assert both.ignored(queries, products) is None
    for modality in ("title", "image", "fused"):
        positive = getattr(dropped, modality)
        np.testing.assert_array_equal(positive, getattr(plain, modality))
        # What a correction makes positive is ignored, and nothing else that is not positive.
        found = getattr(wanted, modality) & ~positive
        np.testing.assert_array_equal(getattr(ignored, modality) & ~positive, found)
    assert (ignored.fused & ~dropped.fused).any()


def test_pairs_of_a_file_replace_the_corrections(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    random_shop(path, 0)
    known = masks_of(path).corrections
    np.save(tmp_path / "pairs.npy", np.array([[3, 1], [0, 2], [3, 1], [0, 0]]))
    changed = known.corrected_by(tmp_path / "pairs.npy")
    place, entry = changed.query_product.entries(numbers(0, 1, 2, 3))
    pairs = zip(place.tolist(), changed.query_product.values[entry].tolist(), strict=True)
    assert sorted(pairs) == [(0, 0), (0, 2), (3, 1)]
    assert changed.used == (3, 0)
    assert changed.verdicts is known.verdicts
    (tmp_path / "torn.npy").write_bytes(b"no array")
    with pytest.raises(UserError, match="cannot be read"):
        known.corrected_by(tmp_path / "torn.npy")
