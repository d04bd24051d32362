"""The catalogues of benchmarks/filter_quality.py with their truth, ingested and described."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from filter_quality_tables import CAPTIONS
from luma_truth import lacking, read_rows

from genfilt.extract.titles import extract_attributes
from genfilt.features.texts import number_features
from genfilt.generators.registry import GeneratorChoice, open_captioner, open_reader
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store, now

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What is relevant, and subsets of pairs to report apart; (Q, P) by id order."""

    query_ids: list[str]
    product_ids: list[str]
    relevant: Bools
    parts: dict[str, Bools]  # subsets of pairs by name


@dataclass(frozen=True)
class Catalogue:
    """A folder with its truth, and captions for each setting beside the embedded ones."""

    name: str
    folder: Path
    truth: Callable[[], Truth]
    captions: dict[str, dict[str, str]]  # setting -> product_id -> caption


def luma(folder: Path) -> Catalogue:
    """Return Luma: relevant is a product that has every facet that the query names."""
    products, queries = read_rows(folder / "products.csv"), read_rows(folder / "queries.csv")

    def truth() -> Truth:
        relevant = ~lacking(queries, products).any(axis=-1)
        train = np.array([each["split"] == "train" for each in products])
        cold = np.broadcast_to(~train, relevant.shape)
        parts = {"all": np.ones_like(relevant), "products not in train": cold}
        return Truth(_ids(queries, "query_id"), _ids(products, "product_id"), relevant, parts)

    people = {"women": "a woman", "men": "a man"}
    return Catalogue(
        "Luma",
        folder,
        truth,
        {
            CAPTIONS[1]: {p["product_id"]: f"a {p['color']} {p['type']}" for p in products},
            CAPTIONS[2]: {
                p["product_id"]: f"{people[p['gender']]} wearing a {p['color']} {p['type']}"
                for p in products
            },
        },
    )


def generated(folder: Path, seed: int, products: int) -> Catalogue:
    """Make a catalogue with pictures and return it."""
    import duckdb

    from genfilt.synth import synthesize

    target = folder / f"synth-{seed}"
    synthesize(products, target, seed=seed, attack=True)
    with duckdb.connect(str(target / "truth.duckdb"), read_only=True) as connection:
        facets = connection.execute(
            "SELECT product_id, replace(type, '_', ' '), replace(color, '_', ' '), gender, "
            "near_duplicate, stuffed OR misleading OR falsified, wrong_picture, held_out "
            "FROM facets ORDER BY product_id"
        ).fetchall()
        needs = connection.execute(
            "SELECT query_id, brand_only, held_out FROM needs ORDER BY query_id"
        ).fetchall()
        pairs = connection.execute("SELECT query_id, product_id FROM relevant").fetchall()

    def truth() -> Truth:
        query_ids, product_ids = [row[0] for row in needs], [row[0] for row in facets]
        q = {name: at for at, name in enumerate(query_ids)}
        p = {name: at for at, name in enumerate(product_ids)}
        relevant = np.zeros((len(q), len(p)), dtype=bool)
        for query, product in pairs:
            relevant[q[query], p[product]] = True
        held = np.array([row[2] for row in needs])[:, None] | np.array([row[7] for row in facets])
        traps = {
            "near-duplicates": np.array([bool(row[4]) for row in facets])[None],
            "titles that mislead": np.array([bool(row[5]) for row in facets])[None],
            "wrong pictures": np.array([bool(row[6]) for row in facets])[None],
            "brand-only queries": np.array([bool(row[1]) for row in needs])[:, None],
        }
        everything = np.ones_like(relevant)
        parts = {"all": everything, "seen words": ~held, "held-out words": held}
        parts |= {name: np.broadcast_to(part, relevant.shape) for name, part in traps.items()}
        return Truth(query_ids, product_ids, relevant, parts)

    plain = {row[0]: f"a {row[2]} {row[1]}" for row in facets}
    whose = {row[0]: f"{plain[row[0]]} for {row[3]}" if row[3] else plain[row[0]] for row in facets}
    return Catalogue(f"synth {seed}", target, truth, {CAPTIONS[1]: plain, CAPTIONS[2]: whose})


def _ids(rows: list[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


@contextmanager
def described(catalogue: Catalogue, setting: str, *, labels: bool = True) -> Iterator[Store]:
    """Ingest the catalogue and describe it by the embedded generators or with given captions."""
    from genfilt.extract.captions import caption_pictures

    folder = catalogue.folder
    with Store() as store:
        names = ("products", "queries", "clicks", *(("labels",) if labels else ()))
        files = {name: str(folder / f"{name}.csv") for name in names}
        ingest(store, Sources(**files, images=folder))
        with open_reader(store, GeneratorChoice("lexicon")) as reader:
            extract_attributes(store, reader)
        if setting in catalogue.captions:
            _write(store, catalogue.captions[setting])
        else:
            with open_captioner(store, GeneratorChoice("neighbours")) as captioner:
                caption_pictures(store, captioner)
        number_features(store)
        yield store


def _write(store: Store, captions: dict[str, str]) -> None:
    """Caption each product's picture, of which equal ones are told apart by what they show."""
    store.connection.execute(
        "UPDATE products SET image_key = image_key || product_id WHERE image_key IS NOT NULL"
    )
    from genfilt.store.numbering import number_products

    number_products(store)
    keys = store.rows("SELECT product_id, image_key FROM products WHERE image_key IS NOT NULL")
    said = {"prompt_key": "given", "generator": "given", "raw": "", "created_at": now()}
    store.insert(
        "captions",
        pa.Table.from_pylist(
            [{"image_key": key, "caption": captions[name], **said} for name, key in keys]
        ),
    )
    store.set_meta("captioner", "given")
    store.set_meta("captioner_prompt_key", "given")
