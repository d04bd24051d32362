"""The loss of a stage (paper, eq. 4): the model's passes, hard negatives and the losses' sum."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from genfilt.common.arrays import Integers
from trainer.batches.inputs import Inputs
from trainer.batches.mask import Mask, Masks
from trainer.config import Ablation
from trainer.distributed import first_row, gather, mean_of_all, processes
from trainer.losses.batch_sides import BatchSide, HardNegatives, OwnRows
from trainer.losses.contrastive import contrastive_rows, cross_query_pairs
from trainer.losses.matching import matching_rows
from trainer.model.encoder import Memory
from trainer.model.gradient_cache import CachedPasses
from trainer.model.query_life import QueryLife

ALIGNMENT = ("qic", "qtc", "qmc")
FUSION = ("itm", "qmm")
ON_FUSED_EMBEDDING = {"qmc", "qmx"}  # the only losses whose gradient reaches M's projection


def parts_of(
    stage: int,
    without: Iterable[Ablation] = (),
    *,
    cross_query: bool = False,
    matching: bool = True,
) -> tuple[str, ...]:
    """Return the losses that a stage adds up: ITC and ITM in stage 1, then all of eq. 4.

    ITM and QMM count with `matching` alone.

    The paper's stage 1 is ITC alone; ITM is ours, so that the cross-attention is not random when
    stage 2 begins. QMX, with `cross_query`, is ours too: QMC across queries.
    """
    compared = (*ALIGNMENT, "qmx") if cross_query else ALIGNMENT
    parts = ("itc", "itm") if stage == 1 else ("itc", "itm", *compared, "qmm")
    fusion = matching and "qmf" not in without
    dropped = (compared if "qma" in without else ()) + (() if fusion else FUSION)
    return tuple(part for part in parts if part not in dropped)


class Objective(nn.Module):
    """A stage's loss as one module, so that wrappers for several processes see one forward."""

    def __init__(
        self,
        model: QueryLife,
        masks: Masks,
        parts: tuple[str, ...],
        seed: int,
        micro_batch: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.micro_batch = micro_batch
        self.masks = masks
        self.parts = parts
        self.seed = seed

    @property
    def passes(self) -> QueryLife | CachedPasses:
        """The model's passes: over all rows at once, or over a micro-batch at a time."""
        size = self.micro_batch
        return self.model if size is None else CachedPasses(self.model, size)

    def forward(self, inputs: Inputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return this process's share of each loss, and what is only to be logged.

        The latter are "faulty" (B,) bool, rows with an embedding that is not finite, and
        "positives" (B,), the size of each row's P(i) in the mask of M, or of ITC in stage 1.
        """
        model, row, device = self.passes, inputs.product_of_row, inputs.title_ids.device
        ids, mask = inputs.title_ids, inputs.title_mask
        own = OwnRows(first_row(len(row), device), len(row), self.seed, inputs.number)
        products = gather_numbers(inputs.products, device)
        image, begun = model.encode_images(inputs.images), model.begin(ids, mask)
        patches = torch.ones(image.states.shape[:2], dtype=torch.bool, device=device)
        title = model.encode_titles(ids, mask, begun)
        titles = BatchSide.of(ids, mask, title.embedding, row, begun).gathered()
        images = BatchSide.of(image.states, patches, image.embedding, row).gathered()
        fused = model.fuse(ids, mask, image.states, begun)
        own_pairs = model.match_fused(fused).index_select(0, row)
        losses, positives = self._product_losses(own, (titles, images), products, own_pairs)
        sides = [titles, images]
        if inputs.queries is not None:
            fusions = BatchSide.of(fused.states, fused.mask, fused.embedding, row).gathered()
            sides += [fusions, self._queries(inputs).gathered()]
            more, positives = self._query_losses(own, sides, inputs, products)
            losses |= more
        finite = [side.embedding[own.slice].isfinite().all(dim=1) for side in sides]
        return losses, {"faulty": ~torch.stack(finite).all(dim=0), "positives": positives}

    def _queries(self, inputs: Inputs) -> BatchSide:
        assert inputs.query_ids is not None
        assert inputs.query_mask is not None
        ids, mask = inputs.query_ids, inputs.query_mask
        begun = self.passes.begin(ids, mask)
        query = self.passes.encode_queries(ids, mask, begun)
        row = torch.arange(len(ids), device=ids.device)
        return BatchSide.of(ids, mask, query.embedding, row, begun)

    def _product_losses(
        self,
        own: OwnRows,
        sides: tuple[BatchSide, BatchSide],
        products: Integers,
        own_pairs: Tensor,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return ITC and ITM, and the size (B,) of each own row's P(i) in ITC's mask."""
        titles, images = sides
        matches = as_tensor(self.masks.image_title(products), titles)  # image a, title b
        losses = {}
        if "itc" in self.parts:
            there = self._contrast(own, images, titles, matches)
            losses["itc"] = (there + self._contrast(own, titles, images, matches.T)) / 2
        if "itm" in self.parts:
            drawn = self._draw("itm", own, sides, matches.T)
            text = titles.of_row[drawn.text]
            logits = self.passes.match_titles(
                titles.tokens[text],
                titles.mask[text],
                images.tokens,
                images.of_row[drawn.read],
                titles.begun_at(text),
            )
            losses["itm"] = _matched(
                torch.cat([own_pairs, logits]), torch.ones(own.count), drawn.found
            )
        return losses, matches[own.slice].sum(dim=1)

    def _query_losses(
        self, own: OwnRows, sides: list[BatchSide], inputs: Inputs, products: Integers
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses of queries, and the size (B,) of each own row's P(i) in M's mask."""
        titles, images, fusions, queries = sides
        assert inputs.queries is not None
        assert inputs.positive is not None
        numbers = gather_numbers(inputs.queries, titles.mask.device)
        masks = self.masks.queries(numbers, products)
        ignored = self.masks.ignored(numbers, products)
        positive = as_tensor(masks.fused, titles)
        left_out = None if ignored is None else as_tensor(ignored.fused, titles)
        contrasts = {"qic": (images, "image"), "qtc": (titles, "title"), "qmc": (fusions, "fused")}
        losses = {
            name: self._contrast(
                own,
                queries,
                side,
                as_tensor(getattr(masks, modality), titles),
                None if ignored is None else as_tensor(getattr(ignored, modality), titles),
            )
            for name, (side, modality) in contrasts.items()
            if name in self.parts
        }
        if "qmx" in self.parts:
            values = cross_query_pairs(
                queries.embedding, fusions.embedding, positive, self.model.temperature, left_out
            )
            losses["qmx"] = mean_of_all(values[own.slice], positive[own.slice])
        if "qmm" in self.parts:
            forbidden = positive if left_out is None else positive | left_out
            drawn = self._draw("qmm", own, (queries, fusions), forbidden)
            logits = self._match_queries(own, drawn, queries, fusions)
            losses["qmm"] = _matched(logits, inputs.positive, drawn.found)
        return losses, positive[own.slice].sum(dim=1)

    def _match_queries(
        self, own: OwnRows, drawn: HardNegatives, queries: BatchSide, fusions: BatchSide
    ) -> Tensor:
        """Return QMM's logits (3B, 2): own pairs, then the drawn ones."""
        rows = torch.arange(own.count, device=queries.mask.device) + own.first
        text = queries.of_row[torch.cat([rows, drawn.text])]
        read = fusions.of_row[torch.cat([rows, drawn.read])]
        memory = Memory(fusions.tokens, fusions.mask, read)
        return self.passes.match_queries(
            queries.tokens[text], queries.mask[text], memory, queries.begun_at(text)
        )

    def _contrast(
        self,
        own: OwnRows,
        rows: BatchSide,
        columns: BatchSide,
        positive: Tensor,
        ignored: Tensor | None = None,
    ) -> Tensor:
        values, counted = contrastive_rows(
            rows.embedding[own.slice],
            columns.embedding,
            positive[own.slice],
            self.model.temperature,
            None if ignored is None else ignored[own.slice],
        )
        return mean_of_all(values, counted)

    def _draw(
        self, name: str, own: OwnRows, sides: tuple[BatchSide, BatchSide], positive: Tensor
    ) -> HardNegatives:
        temperature = self.model.temperature.detach()
        return HardNegatives.draw(name, own, sides, positive, temperature)


def _matched(logits: Tensor, own: Tensor, found: Tensor) -> Tensor:
    """Return the matching loss of rows' own pairs with targets `own` (B,), then of negatives."""
    target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    target[: len(own)] = own.to(target)
    counted = torch.cat([torch.ones(len(own), dtype=torch.bool, device=found.device), found])
    return mean_of_all(matching_rows(logits, target), counted)


def gather_numbers(numbers: Integers, device: torch.device) -> Integers:
    """Return the numbers of all processes' rows."""
    if processes()[1] == 1:  # a way to the device and back would wait for all that it computes
        return numbers
    return gather(torch.from_numpy(numbers).to(device)).cpu().numpy()


def as_tensor(mask: Mask, beside: BatchSide) -> Tensor:
    """Return a mask as a tensor on the device of a side."""
    return torch.from_numpy(mask).to(beside.mask.device)
