"""The catalogues of benchmarks/filter_quality.py with their truth, ingested and described."""

from __future__ import annotations

import shutil
import tempfile
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

SUFFIXES = ("", "-type-colour", "-gender")  # of a database's name, for each of CAPTIONS
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What is relevant, and subsets of pairs to report apart; (Q, P) by id order."""

    query_ids: list[str]
    product_ids: list[str]
    relevant: Bools
    parts: dict[str, Bools]  # subsets of pairs by name
    train: Bools  # (P,) products of the train split


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
        parts = {"train products": ~cold, "other products": cold, "all": np.ones_like(relevant)}
        ids = _ids(queries, "query_id"), _ids(products, "product_id")
        return Truth(*ids, relevant, parts, train)

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


def generated(folder: Path, seed: int, products: int, *, attack: bool) -> Catalogue:
    """Make a catalogue with pictures, where it is not made yet, and return it."""
    import duckdb

    from genfilt.synth import synthesize

    kind = "attack" if attack else "plain"
    target = folder / f"s{seed}-{products}-{kind}"
    if not (target / "truth.duckdb").exists():
        synthesize(products, target, seed=seed, attack=attack)
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
        train = np.broadcast_to([split == "train" for split in splits], relevant.shape)
        parts = {
            "train products": train & ~held,
            "other products": ~train & ~held,
            "held-out words": held,
        }
        if attack:
            parts |= {name: np.broadcast_to(part, relevant.shape) for name, part in traps.items()}
        return Truth(query_ids, product_ids, relevant, parts, train[0])

    split_of = {row["product_id"]: row["split"] for row in read_rows(target / "products.csv")}
    splits = [split_of[row[0]] for row in facets]
    plain = {row[0]: f"a {row[2]} {row[1]}" for row in facets}
    whose = {row[0]: f"{plain[row[0]]} for {row[3]}" if row[3] else plain[row[0]] for row in facets}
    return Catalogue(f"{kind} {seed}", target, truth, {CAPTIONS[1]: plain, CAPTIONS[2]: whose})


def _ids(rows: list[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


@contextmanager
def described(
    catalogue: Catalogue, setting: str, folder: Path, *, labels: bool = True
) -> Iterator[Store]:
    """Yield the catalogue, described by the embedded generators or with given captions.

    Its database is made once and kept in `folder`.
    """
    made = folder / f"{catalogue.folder.name}{SUFFIXES[CAPTIONS.index(setting)]}.duckdb"
    if not made.exists():
        part = made.with_suffix(".part")
        part.unlink(missing_ok=True)
        with Store(part) as store:
            _describe(store, catalogue, setting)
        part.rename(made)
    with tempfile.TemporaryDirectory() as scratch:
        copy = shutil.copy(made, Path(scratch) / made.name)
        with Store(copy) as store:
            if not labels:
                store.connection.execute("DELETE FROM labels")
            yield store


def _describe(store: Store, catalogue: Catalogue, setting: str) -> None:
    from genfilt.extract.captions import caption_pictures

    names = ("products", "queries", "clicks", "labels")
    files = {name: str(catalogue.folder / f"{name}.csv") for name in names}
    ingest(store, Sources(**files, images=catalogue.folder))
    with open_reader(store, GeneratorChoice("lexicon")) as reader:
        extract_attributes(store, reader)
    if setting in catalogue.captions:
        _write(store, catalogue.captions[setting])
    else:
        with open_captioner(store, GeneratorChoice("neighbours")) as captioner:
            caption_pictures(store, captioner)
    number_features(store)


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
