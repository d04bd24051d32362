"""BERT as the paper's text baseline: one tower that reads query and title together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from genfilt.common.arrays import Floats
from trainer.baselines.baseline import (
    SCRATCH,
    BaselineScores,
    Material,
    by_text,
    device,
    shuffled,
    with_negatives,
)
from trainer.baselines.convergence import until_converged
from trainer.config import ModelConfig
from trainer.model.encoder import load_bert, load_tokenizer
from trainer.model.parameters import weights_of

BATCH, SCORED = 32, 256
LENGTH = 48  # tokens of query and title together
RATE = 5e-5
FRESH_RATE = 1e-3


class CrossEncoder:
    """BERT over "query [SEP] title", a linear head on [CLS], trained with log loss.

    Args:
        model: its BERT, a checkpoint's or one from scratch.
    """

    def __init__(self, model: ModelConfig) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """BERT, and the origin of its first weights."""
        kept = f", first {self.model.bert_layers} layers" if self.model.bert_layers else ""
        return f"BERT cross encoder ({self.model.bert or SCRATCH}{kept})"

    def scores(self, material: Material) -> BaselineScores:
        """Return Q->T of the model that the train rows gave.

        Raises:
            UserError: its BERT cannot be read whole.
        """
        torch.manual_seed(material.seed)
        reader = _Reader(self.model).to(device())
        self._train(reader, material)
        scorer = by_text(reader.scores, material)
        return BaselineScores({"Q->T": scorer}, weights_of(reader))

    def _train(self, reader: _Reader, material: Material) -> None:
        rows, catalogue = with_negatives(material.train, material.seed), material.catalogue
        rate = FRESH_RATE if self.model.bert is None else RATE
        optimizer = torch.optim.AdamW(
            [
                {"params": reader.bert.parameters(), "lr": rate},
                {"params": reader.head.parameters(), "lr": FRESH_RATE},
            ]
        )
        reader.train()
        for epoch in until_converged(
            self.name, reader, material, lambda judged: [by_text(reader.scores, judged)]
        ):
            for places in shuffled(len(rows), BATCH, epoch, material.seed):
                part = rows.at(places)
                logits = reader(
                    catalogue.texts(catalogue.queries, part.query),
                    catalogue.texts(catalogue.titles, part.product),
                )
                target = torch.from_numpy(part.positive).to(logits)
                loss = functional.binary_cross_entropy_with_logits(logits, target)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
                optimizer.step()
        reader.eval()


class _Reader(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tokenizer = load_tokenizer(config)
        self.bert = load_bert(config)
        self.head = nn.Linear(self.bert.config.hidden_size, 1)

    def forward(self, queries: list[str], titles: list[str]) -> Tensor:
        """Return the logits (B,) of relevance."""
        tokens = self.tokenizer(
            queries,
            titles,
            padding=True,
            truncation=True,
            max_length=LENGTH,
            return_tensors="pt",
        ).to(self.head.weight.device)
        states = self.bert(**tokens).last_hidden_state
        logits: Tensor = self.head(states[:, 0])[:, 0]
        return logits

    @torch.inference_mode()
    def scores(self, queries: list[str], titles: list[str]) -> Iterator[Floats]:
        """Yield the scores of the pairs, batch by batch."""
        for start in range(0, len(queries), SCORED):
            part = slice(start, start + SCORED)
            yield self(queries[part], titles[part]).double().cpu().numpy()
