"""What a split is measured on: its labels, and one candidate list that all models share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import ArrayLike

from genfilt.common.arrays import Bools, Integers, Rows
from genfilt.common.atomic import replaced
from genfilt.common.errors import UsageError, UserError
from trainer.database.reading import columns

OTHERS = 100
LISTS_AT_ONCE = 1 << 14
SPLITS = ("train", "val", "test")
# A review decides no held-out label: reviewers have seen what genfilt found.
LABELS = """
SELECT DISTINCT q, p, v.positive FROM labels
JOIN query_no USING (query_id) JOIN product_no USING (product_id)
JOIN verdicts v USING (q, p) WHERE labels.split = '{split}' AND v.split = '{split}' ORDER BY q, p
"""
RELEVANT = """
SELECT DISTINCT q, p FROM {table} AS known
JOIN query_no USING (query_id) JOIN product_no USING (product_id)
JOIN verdicts v USING (q, p)
WHERE known.split = '{split}' AND v.split = '{split}' AND v.positive ORDER BY q, p
"""
PRODUCTS = """
SELECT p, any_value(category) AS category, bool_or(split = '{split}') AS inside
FROM products JOIN product_no USING (product_id) GROUP BY p ORDER BY p
"""
# The view has a review for train alone, since none decides a held-out label; here all count.
KNOWN = """
SELECT q, p FROM verdicts WHERE positive
UNION
SELECT q, p FROM reviews JOIN query_no USING (query_id) JOIN product_no USING (product_id)
WHERE verdict IS NOT NULL GROUP BY q, p HAVING arg_max(verdict, "at") = 1
ORDER BY q, p
"""


@dataclass(frozen=True)
class Benchmark:
    """Labelled pairs of a split, and for each relevant pair its candidates.

    Column 0 of `candidates` (N, 1 + OTHERS) is the relevant product itself; -1 fills a row whose
    catalogue has too few others. `categories` has each product of the split and its category.
    """

    split: str
    query: Integers  # (L,)
    product: Integers
    positive: Bools
    candidate_query: Integers  # (N,)
    candidates: Integers
    source: str  # what makes a pair of the lists relevant: click or label
    categories: dict[int, str]

    @property
    def queries(self) -> Integers:
        """The distinct queries q."""
        return np.union1d(self.query, self.candidate_query).astype(np.int32)

    @property
    def products(self) -> Integers:
        """The distinct products p."""
        inside = np.fromiter(self.categories, np.int32, len(self.categories))
        listed = self.candidates[self.candidates >= 0]
        return np.unique(np.concatenate([self.product, listed, inside])).astype(np.int32)

    @property
    def sizes(self) -> Rows:
        """Candidates in each list (N,), the relevant product counted."""
        sizes: Rows = (self.candidates >= 0).sum(1, dtype=np.int64)
        return sizes

    def of(self, queries: Integers) -> Benchmark:
        """Return the labels and lists of some queries (N,)."""
        labelled = np.isin(self.query, queries)
        listed = np.isin(self.candidate_query, queries)
        return replace(
            self,
            query=self.query[labelled],
            product=self.product[labelled],
            positive=self.positive[labelled],
            candidate_query=self.candidate_query[listed],
            candidates=self.candidates[listed],
        )


def load_benchmark(
    connection: duckdb.DuckDBPyConnection, folder: Path, split: str, seed: int = 0
) -> Benchmark:
    """Return a split's labels and its candidate lists, kept in `folder` for every later model.

    The relevant product is a click of the split, where it has none a label 1 of it.

    Raises:
        UsageError: there is no such split.
        UserError: the split has neither click nor label, or folder cannot be written.
    """
    if split not in SPLITS:
        raise UsageError(f"--split is '{split}'; give one of {', '.join(SPLITS)}.")
    labels = columns(connection, LABELS.format(split=split))
    for source in ("click", "label"):
        relevant = columns(connection, RELEVANT.format(table=f"{source}s", split=split))
        if len(relevant["q"]):
            break
    if not len(labels["q"]) and not len(relevant["q"]):
        raise UserError(
            f"The database has no click and no label of split '{split}'; "
            "run genfilt ingest with --clicks or --labels, or give another --split."
        )
    products = columns(connection, PRODUCTS.format(split=split))
    number, inside = _integers(products["p"]), np.asarray(products["inside"], dtype=np.bool_)
    known = columns(connection, KNOWN)
    lists = CandidateLists(
        query=_integers(relevant["q"]),
        product=_integers(relevant["p"]),
        inside=number[inside],
        everything=number,
        known=(_integers(known["q"]), _integers(known["p"])),
    )
    category = np.ma.filled(products["category"], "")
    return Benchmark(
        split=split,
        query=_integers(labels["q"]),
        product=_integers(labels["p"]),
        positive=np.asarray(labels["positive"], dtype=np.bool_),
        candidate_query=lists.query,
        candidates=lists.stored(folder, split, seed),
        source=source,
        categories={
            int(p): str(name) or "none"
            for p, name in zip(number[inside], category[inside], strict=True)
        },
    )


@dataclass(frozen=True)
class CandidateLists:
    """Draws, for each relevant pair, OTHERS products: from the split first, then from all.

    A product is left out of a query's list only where a click, label or review says that it is
    relevant too. What genfilt found stays in: else the measure would follow what it measures.
    """

    query: Integers  # (N,)
    product: Integers
    inside: Integers  # products of the split
    everything: Integers
    known: tuple[Integers, Integers]  # relevant (q, p) of every split

    def draw(self, seed: int, rows: slice = slice(None)) -> Integers:
        """Return (N, 1 + OTHERS) products, the relevant one first, -1 where there are no more."""
        query, product = self.query[rows], self.product[rows]
        lists = np.full((len(query), 1 + OTHERS), -1, dtype=np.int32)
        first, end = (np.searchsorted(self.known[0], query, side) for side in ("left", "right"))
        for row, (q, p) in enumerate(zip(query.tolist(), product.tolist(), strict=True)):
            rng = np.random.default_rng((seed, q, p))
            banned = {p, *self.known[1][first[row] : end[row]].tolist()}
            others = _sample(rng, self.inside, banned, OTHERS)
            others += _sample(rng, self.everything, banned.union(others), OTHERS - len(others))
            lists[row, : 1 + len(others)] = [p, *others]
        return lists

    def stored(self, folder: Path, split: str, seed: int) -> Integers:
        """Return the lists that `folder` holds for this content and seed; draw them if it has none.

        Raises:
            UserError: folder cannot be written.
        """
        path = folder / f"{split}-{self._digest(seed)}.parquet"
        if not path.exists():
            with replaced(path, "--db") as part:
                self._write(part, seed)
        return read_lists(path)

    def _write(self, path: Path, seed: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Lists of one size need no offsets, whose 32 bits end at 21 million lists.
        lists = pa.list_(pa.int32(), 1 + OTHERS)
        schema = pa.schema({"q": pa.int32(), "products": lists})
        with pq.ParquetWriter(path, schema) as writer:
            for start in range(0, len(self.query), LISTS_AT_ONCE):
                rows = slice(start, start + LISTS_AT_ONCE)
                drawn = pa.array(self.draw(seed, rows).ravel())
                products = pa.FixedSizeListArray.from_arrays(drawn, 1 + OTHERS)
                writer.write_table(pa.table([self.query[rows], products], schema=schema))

    def _digest(self, seed: int) -> str:
        digest = hashlib.blake2b(str(seed).encode(), digest_size=8)
        for part in (self.query, self.product, self.inside, self.everything, *self.known):
            digest.update(len(part).to_bytes(8, "little") + part.tobytes())
        return digest.hexdigest()


def read_lists(path: Path) -> Integers:
    """Return stored lists (N, 1 + OTHERS), read in parts into one array."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        lists = np.empty((file.metadata.num_rows, 1 + OTHERS), dtype=np.int32)
        row = 0
        for batch in file.iter_batches(LISTS_AT_ONCE, columns=["products"]):
            values = batch["products"].flatten().to_numpy()
            lists[row : row + len(batch)] = values.reshape(-1, 1 + OTHERS)
            row += len(batch)
    return lists


def _sample(rng: np.random.Generator, pool: Integers, banned: set[int], count: int) -> list[int]:
    """Return up to count distinct members of pool that are not banned, each equally likely."""
    if count <= 0:
        return []
    if len(pool) <= 8 * (count + len(banned)):
        shuffled = rng.permutation(pool).tolist()
        return [p for p in shuffled if p not in banned][:count]
    chosen: dict[int, None] = {}
    while len(chosen) < count:
        drawn = pool[rng.integers(0, len(pool), 2 * count)].tolist()
        chosen.update((p, None) for p in drawn if p not in banned)
    return list(chosen)[:count]


def _integers(values: ArrayLike) -> Integers:
    return np.ascontiguousarray(values, dtype=np.int32)
