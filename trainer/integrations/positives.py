"""Positive masks and losses for other trainers: sentence-transformers' and loops like open_clip's.

A batch of (query, product) rows has numbers q and p of a genfilt database. The mask over
it is the one that Query-LIFE is trained with, and the losses here are eq. 1 and 2 in the shapes
that those trainers call. The mask spans one process's batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from genfilt.common.arrays import Integers
from genfilt.common.errors import UsageError, UserError
from trainer.batches.mask import Mask, Masks
from trainer.database.catalogue import load_catalogue, load_rows
from trainer.database.known_pairs import load_known_pairs
from trainer.database.reading import open_database
from trainer.losses.contrastive import (
    contrastive,
    image_text_contrastive,
    separate_positives,
)

Modality = Literal["title", "image", "fused"]
UNKNOWN = -1

BY_ID = """
SELECT coalesce(q, -1) AS q, coalesce(p, -1) AS p
FROM asked LEFT JOIN query_no ON query_no.query_id = asked.query
LEFT JOIN product_no ON product_no.product_id = asked.product ORDER BY n
"""
# A title that several products share stands for one that its query is known to want.
BY_TEXT = """
SELECT coalesce(any_value(q), -1) AS q,
       coalesce(arg_max(p, (coalesce(positive, false), -p)), -1) AS p
FROM asked
LEFT JOIN (SELECT query, min(q) AS q FROM queries JOIN query_no USING (query_id) GROUP BY query)
    USING (query)
LEFT JOIN (SELECT DISTINCT title AS product, p FROM products JOIN product_no USING (product_id))
    USING (product)
LEFT JOIN (SELECT q, p, positive FROM verdicts WHERE split = 'train' AND positive) USING (q, p)
GROUP BY n ORDER BY n
"""


@dataclass(frozen=True)
class Clicks:
    """Train clicks that no review or label contradicts, one a distinct query and product."""

    queries: list[str]
    titles: list[str]
    images: list[str | None]
    numbers: NDArray[np.int32]  # (N, 2): q and p


class Positives:
    """Which products of a batch are positive for which of its queries.

    Args:
        db: a genfilt database.
        genfilt: whether corrections count; without them reviews, labels and clicks of train do.
        drop: corrected pairs are not positive but leave the denominator, as other tools treat
            suspected false negatives.

    Raises:
        UserError: the database cannot be opened.
    """

    def __init__(self, db: Path | str, *, genfilt: bool = True, drop: bool = False) -> None:
        self.db = Path(db)
        with open_database(self.db) as connection:
            contents = load_catalogue(connection).contents
            known = load_known_pairs(connection, genfilt=genfilt)
            self._masks = Masks(known, contents, drop=drop)

    def clicks(self) -> Clicks:
        """Return the train clicks as rows for a trainer of (query, product) pairs.

        Raises:
            UserError: the database has no train click whose product has a picture.
        """
        with open_database(self.db) as connection:
            catalogue = load_catalogue(connection)
            rows, _ = load_rows(connection, 2, catalogue)
        return Clicks(
            queries=catalogue.texts(catalogue.queries, rows.query),
            titles=catalogue.texts(catalogue.titles, rows.product),
            images=catalogue.images.take(rows.product).to_pylist(),
            numbers=np.stack([rows.query, rows.product], axis=1),
        )

    def numbers(
        self, queries: Sequence[str], products: Sequence[str], by: Literal["id", "text"] = "id"
    ) -> NDArray[np.int32]:
        """Return q and p (N, 2) of the rows of other data, -1 for what the database lacks.

        Args:
            queries: query ids, or with by="text" queries as they are written.
            products: product ids, or titles; one a query.
            by: what they are.

        Raises:
            UsageError: there are not as many products as queries, or `by` is neither.
        """
        import pyarrow as pa

        if len(queries) != len(products):
            raise UsageError(
                f"There are {len(queries)} queries and {len(products)} products; give one of "
                "each a row."
            )
        if by not in ("id", "text"):
            raise UsageError(f"by must be id or text, got '{by}'.")
        asked = {"n": range(len(queries)), "query": list(queries), "product": list(products)}
        kinds = pa.schema({"n": pa.int64(), "query": pa.string(), "product": pa.string()})
        with open_database(self.db) as connection:
            connection.register("asked", pa.table(asked, kinds))
            found = connection.sql(BY_ID if by == "id" else BY_TEXT).fetchnumpy()
        return np.stack([found["q"], found["p"]], axis=1).astype(np.int32)

    def query_mask(
        self, queries: Integers, products: Integers, modality: Modality = "title"
    ) -> Mask:
        """Return (B, G): is the product of column g positive for query b, in a modality.

        In "title" and "image" a column counts too where it equals a positive one there. Nothing
        is positive of a query or product that is -1.
        """
        known = products != UNKNOWN
        masks = self._masks.queries(queries, np.where(known, products, 0).astype(np.int32))
        mask: Mask = getattr(masks, modality) & known
        return mask

    def ignored_mask(self, queries: Integers, products: Integers) -> Mask | None:
        """Return (B, G): does column g leave query b's denominator; None without `drop`."""
        known = products != UNKNOWN
        masks = self._masks.ignored(queries, np.where(known, products, 0).astype(np.int32))
        return None if masks is None else masks.title & known

    def image_title_mask(self, products: Integers) -> Mask:
        """Return (B, B): does product a's picture match product b's title; always its own."""
        known = products != UNKNOWN
        mask = self._masks.image_title(np.where(known, products, 0).astype(np.int32))
        mask &= known & known[:, None]
        np.fill_diagonal(mask, True)
        return mask


class MaskedRankingLoss(nn.Module):
    """The table's mask for SentenceTransformerTrainer: every positive is pulled, none pushed.

    With a mask of own pairs alone it is the library's MultipleNegativesRankingLoss at scale
    1 / temperature. The dataset's column "label" holds a row's numbers [q, p]; where it has
    further columns of documents, [q, p, p of the second, ...], and a document that was mined as a
    negative is a positive where the table says so.

    Args:
        model: a SentenceTransformer.
        positives: the table.
        temperature: tau.
        separate: each positive stands against the negatives alone (`separate_positives`); False
            for eq. 2, in which the positives of a row compete in one softmax.
    """

    def __init__(
        self,
        model: nn.Module,
        positives: Positives,
        temperature: float = 0.05,
        *,
        separate: bool = True,
    ) -> None:
        super().__init__()
        self.separate = separate
        self.model = model
        self.positives = positives
        self.temperature = temperature

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of queries and documents; labels (B, 1 + columns of documents)."""
        made = [
            functional.normalize(self.model(part)["sentence_embedding"], dim=-1)
            for part in sentence_features
        ]
        if labels is None or labels.ndim != 2 or labels.shape[1] != len(made):
            raise UserError(
                f"The column label must hold {len(made)} numbers a row, q and each document's p "
                "(Positives.numbers gives them)."
            )
        numbers = labels.cpu().numpy().astype(np.int32)
        queries, products = numbers[:, 0], numbers[:, 1:].T.ravel()
        positive = with_own(self.positives.query_mask(queries, products)).to(labels.device)
        left_out = self.positives.ignored_mask(queries, products)
        ignored = None if left_out is None else torch.tensor(left_out).to(labels.device)
        loss = separate_positives if self.separate else contrastive
        return loss(made[0], torch.cat(made[1:]), positive, self.temperature, ignored)

    def get_config_dict(self) -> dict[str, object]:
        """Return the loss's settings, for the library's model card."""
        return {
            "temperature": self.temperature,
            "positives": self.positives.db.name,
            "separate": self.separate,
        }


class MaskedClipLoss(nn.Module):
    """Eq. 1 in the manner of open_clip's ClipLoss, with the batch's mask as one more argument."""

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        logit_scale: Tensor | float,
        positive: Mask,
        output_dict: bool = False,
    ) -> Tensor | dict[str, Tensor]:
        """Return the loss, as {"contrastive_loss": ...} where output_dict is set.

        Args:
            image_features: (B, D), unit vectors.
            text_features: (B, D), unit vectors; text i belongs to picture i.
            logit_scale: 1 / tau, already exponentiated.
            positive: (B, B), picture a and text b: `query_mask(q, p, "image").T` where texts are
                queries, `image_title_mask(p)` where they are titles.
            output_dict: how it is returned.
        """
        mask = with_own(positive).to(image_features.device)
        loss = image_text_contrastive(image_features, text_features, mask, 1 / logit_scale)
        return {"contrastive_loss": loss} if output_dict else loss


def with_own(mask: Mask) -> Tensor:
    """Return (B, G) as a tensor in which row i's own column i is positive."""
    return torch.tensor(mask).fill_diagonal_(True)
