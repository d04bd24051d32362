"""Two models' best products on one blind sheet, for people to judge (the paper's Table 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import duckdb
import numpy as np

from genfilt.common.arrays import Rows
from genfilt.common.atomic import write_text
from genfilt.common.errors import UsageError, UserError
from trainer.database.reading import open_database
from trainer.evaluation.candidates import SPLITS
from trainer.human_eval.sheet import ShownProduct, check_sheet, key_of, write_sheet
from trainer.serving.relevance_model import RelevanceModel, load
from trainer.serving.vectors import encode_catalogue

LETTERS = "bcdfghjklmnpqrstvwxz"  # without vowels nothing reads as a word, or as a month
QUERIES = """
SELECT q, min(query_id), arg_min(query, query_id)
FROM (SELECT query_id FROM clicks WHERE split = $split
      UNION SELECT query_id FROM labels WHERE split = $split)
JOIN query_no USING (query_id) JOIN queries USING (query_id) GROUP BY q ORDER BY q
"""
PRODUCTS = """
SELECT p, min(product_id), arg_min(title, product_id),
       arg_min(image, product_id) FILTER (image_key IS NOT NULL)
FROM products JOIN product_no USING (product_id)
WHERE p IN (SELECT unnest($wanted::INTEGER[])) GROUP BY p
"""


@dataclass(frozen=True)
class Draw:
    """The options of a draw."""

    split: str = "val"
    """Queries with a click or label of this split are drawn."""
    queries: int = 50
    """How many of them, at most."""
    top: int = 10
    """Products of each model for each query."""
    seed: int = 0
    """Decides which queries, and the order of the rows."""

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UsageError(f"--split must be one of {', '.join(SPLITS)}, got '{self.split}'.")
        for name in ("queries", "top"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be 1 or more, got {getattr(self, name)}.")


@dataclass(frozen=True)
class KeyRow:
    """A row's rank with each of the two models, None where it is not in the top."""

    row: str
    query_id: str
    product_id: str
    ranks: tuple[int | None, int | None]


@dataclass(frozen=True)
class Key:
    """The two models, and which of them chose each row of the sheet."""

    models: tuple[str, str]
    rows: list[KeyRow]

    def write(self, path: Path) -> None:
        """Write the key as JSON; judges must not see it."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        write_text(path, text + "\n", option="--to")

    @classmethod
    def read(cls, path: Path) -> Key:
        """Return what `write` wrote.

        Raises:
            UserError: the file is missing or no key.
        """
        try:
            values = json.loads(path.read_text("utf-8"))
            first, second = values["models"]
            rows = [KeyRow(**row | {"ranks": tuple(row["ranks"])}) for row in values["rows"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is not the key of a sheet ({error}); give --key the file that "
                "trainer judge export wrote beside the sheet."
            ) from error
        return cls((first, second), rows)


@dataclass(frozen=True)
class ExportedSheet:
    """Where a sheet, its page and its key were written, and how much there is to judge."""

    sheet: Path
    page: Path
    key: Path
    queries: int
    rows: int
    unreadable_pictures: tuple[str, ...]
    """Ids of catalogue products whose picture cannot be read, ranked with a white one."""


def export_sheet(
    models: tuple[Path, Path], db: Path, path: Path, draw: Draw, *, overwrite: bool = False
) -> ExportedSheet:
    """Write the top products of two models as one blind sheet, and its key beside it.

    A product that both models chose is judged once. Rows stand by query, in random order.

    Args:
        models: two folders of `trainer export`, or of runs.
        db: a genfilt database, whose whole catalogue is ranked.
        path: the sheet's; the page is path.html and the key path.key.json.
        draw: which queries, and how many products.
        overwrite: replace a sheet that is filled in, and its key.

    Raises:
        UsageError: both models are one, or a file is at `path` that must be kept.
        UserError: a model or the database cannot be read, or has nothing to judge.
    """
    if models[0].resolve() == models[1].resolve():
        raise UsageError(f"Both models are {models[0]}; give two different folders.")
    check_sheet(path, overwrite=overwrite)
    with open_database(db) as connection:
        queries = _queries(connection, draw, db)
    texts = [text for _, _, text in queries]
    ranked = [rank(load(model), texts, db, draw.top) for model in models]
    with open_database(db) as connection:
        wanted = np.unique(np.concatenate([one.numbers for one in ranked])).tolist()
        found = connection.execute(PRODUCTS, {"wanted": wanted}).fetchall()
    products = {p: (name, title, image) for p, name, title, image in found}
    shown, rows = _shuffled(queries, (ranked[0].numbers, ranked[1].numbers), products, draw.seed)
    page = write_sheet(shown, path)
    Key((str(models[0]), str(models[1])), rows).write(key_of(path))
    return ExportedSheet(
        sheet=path,
        page=page,
        key=key_of(path),
        queries=len(queries),
        rows=len(rows),
        unreadable_pictures=ranked[0].unreadable,
    )


def _shuffled(
    queries: Sequence[tuple[int, str, str]],
    ranked: tuple[Rows, Rows],
    products: Mapping[int, tuple[str, str, str | None]],
    seed: int,
) -> tuple[list[ShownProduct], list[KeyRow]]:
    """Return the rows of the sheet and of its key, by query, in random order."""
    rng = np.random.default_rng(seed)
    shown: list[ShownProduct] = []
    keyed: list[KeyRow] = []
    for place in rng.permutation(len(queries)):
        _, query_id, query = queries[place]
        first, second = (numbers[place].tolist() for numbers in ranked)
        for p in rng.permutation(np.union1d(first, second)).tolist():
            product_id, title, image = products[p]
            row = f"{len(shown) + 1}{_letters(query, product_id)}"
            shown.append(ShownProduct(row, query, title, image))
            ranks = (_rank(first, p), _rank(second, p))
            keyed.append(KeyRow(row, query_id, product_id, ranks))
    return shown, keyed


def _letters(query: str, product_id: str) -> str:
    """Return four letters of a pair, so that the rows of two sheets are not taken for each other's.

    They are the same whichever model chose the product.
    """
    digest = blake2b(f"{query}\n{product_id}".encode("utf-8", "replace"), digest_size=4).digest()
    return "".join(LETTERS[byte % len(LETTERS)] for byte in digest)


def _queries(
    connection: duckdb.DuckDBPyConnection, draw: Draw, db: Path
) -> list[tuple[int, str, str]]:
    found = connection.execute(QUERIES, {"split": draw.split}).fetchall()
    if not found:
        raise UserError(
            f"{db} has no query with a click or label of the split '{draw.split}'; "
            "give another --split."
        )
    rng = np.random.default_rng(draw.seed)
    chosen = rng.choice(len(found), size=min(draw.queries, len(found)), replace=False)
    return [found[place] for place in np.sort(chosen)]


@dataclass(frozen=True)
class Ranking:
    """The numbers p (Q, top) of each query's best products, best first."""

    numbers: Rows
    unreadable: tuple[str, ...]  # ids of products whose picture cannot be read


def rank(model: RelevanceModel, queries: Sequence[str], db: Path, top: int) -> Ranking:
    """Return each query's best products of a catalogue; of equal scores the smaller number first.

    The catalogue is read in a stream.
    """
    wanted = model.encode_query(queries)
    scores = np.empty((len(queries), 0), dtype=np.float32)
    numbers = np.empty((len(queries), 0), dtype=np.int64)
    unreadable: list[str] = []
    for encoded in encode_catalogue(model, db):
        unreadable += encoded.unread
        p = np.array([product.p for product in encoded.products], dtype=np.int64)
        scores = np.concatenate([scores, wanted @ encoded.vectors.T], axis=1)
        numbers = np.concatenate([numbers, np.broadcast_to(p, (len(queries), len(p)))], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        scores = np.take_along_axis(scores, order, axis=1)
        numbers = np.take_along_axis(numbers, order, axis=1)
    return Ranking(numbers, tuple(unreadable))


def _rank(chosen: list[int], p: int) -> int | None:
    return chosen.index(p) + 1 if p in chosen else None
