"""A stage-2 step against the same passes in plain transformers BertLayers, in one process.

`python benchmarks/step.py` builds a batch of random token ids of a shop's lengths and times
forward, loss and backward of `small`'s text, image, fused and matching passes, ours and with
transformers' BertLayer as it stands: padded texts, every pass from its embeddings, every pair's
product encoded for it, all states of the last layer. A row with every place a real token says what
skipping padding brings. All run alternately; of ROUNDS the one with the least CPU time is taken,
since other work on the machine only ever adds to it. With `--device cuda` it is the time on the
clock from an idle GPU to an idle GPU.
"""

from __future__ import annotations

import argparse
import copy
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertLayer

from trainer.config import ModelConfig
from trainer.model.encoder import Memory
from trainer.model.query_life import QueryLife
from trainer.model.vision import SmallTower
from trainer.training.precision import bfloat16_flags

ROUNDS = 5
VOCABULARY, WIDTH, HEADS, LAYERS = 30522, 384, 12, 2  # of `small`
PATCHES = 16
MEAN_QUERY, MEAN_TITLE, LONGEST = 6, 14, 32  # tokens, as Luma's and synth's texts have them


class PlainPasses(nn.Module):
    """The model's passes out of transformers' layers; cross-attention by its decoder layers."""

    def __init__(self) -> None:
        super().__init__()
        config = BertConfig(
            hidden_size=WIDTH,
            num_attention_heads=HEADS,
            num_hidden_layers=LAYERS,
            intermediate_size=4 * WIDTH,
            is_decoder=True,
            add_cross_attention=True,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        config._attn_implementation = "sdpa"
        self.embeddings = BertModel(config, add_pooling_layer=False).embeddings
        self.layers = nn.ModuleList(BertLayer(config, layer_idx=n) for n in range(LAYERS))

    def run(
        self, hidden: Tensor, mask: Tensor | None, memory: tuple[Tensor, Tensor | None] | None
    ) -> Tensor:
        """Run all layers; with memory (states, mask) every layer reads it."""
        wide = None if mask is None else mask[:, None, None, :].bool()
        read, read_mask = (None, None) if memory is None else memory
        read_wide = None if read_mask is None else read_mask[:, None, None, :].bool()
        for layer in self.layers:
            attended = layer.attention(hidden, wide)[0]
            if read is not None:
                attended = layer.crossattention(
                    attended, encoder_hidden_states=read, attention_mask=read_wide
                )[0]
            hidden = layer.feed_forward_chunk(attended)
        return hidden

    def text(self, ids: Tensor, mask: Tensor, memory: tuple[Tensor, Tensor | None] | None = None):
        """Return the states of token ids."""
        return self.run(self.embeddings(input_ids=ids), mask, memory)


class Shapes:
    """A batch of B rows over U products, with the pairs that ITM and QMM draw."""

    def __init__(self, rows: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        products = max(2, round(0.85 * rows))  # Luma's clicks repeat products about so often
        self.title_ids, self.title_mask = self._texts(rng, products, MEAN_TITLE)
        self.query_ids, self.query_mask = self._texts(rng, rows, MEAN_QUERY)
        self.patches = torch.randn(products, PATCHES + 1, WIDTH)
        self.title = torch.from_numpy(rng.integers(0, products, 2 * rows))
        self.image = torch.from_numpy(rng.integers(0, products, 2 * rows))
        self.query = torch.from_numpy(rng.integers(0, rows, 3 * rows))
        self.product = torch.from_numpy(rng.integers(0, products, 3 * rows))

    def to(self, device: str) -> Shapes:
        """Return the same batch on a device."""
        moved = copy.copy(self)
        vars(moved).update({name: value.to(device) for name, value in vars(self).items()})
        return moved

    def padded(self) -> Shapes:
        """Return the same batch with every place of its texts a real token."""
        full = copy.copy(self)
        full.title_mask = torch.ones_like(self.title_mask)
        full.query_mask = torch.ones_like(self.query_mask)
        return full

    @staticmethod
    def _texts(rng: np.random.Generator, count: int, mean: int) -> tuple[Tensor, Tensor]:
        lengths = np.clip(rng.poisson(mean, count), 3, LONGEST)
        mask = torch.from_numpy(np.arange(lengths.max()) < lengths[:, None]).long()
        ids = torch.from_numpy(rng.integers(1000, VOCABULARY, (count, lengths.max())))
        return ids * mask, mask


def ours(model: QueryLife, batch: Shapes) -> Tensor:
    """Return a scalar of all passes of a stage-2 step, as the objective runs them."""
    states = model.encoder.image(batch.patches)
    titles = model.begin(batch.title_ids, batch.title_mask)
    queries = model.begin(batch.query_ids, batch.query_mask)
    assert titles is not None
    assert queries is not None
    title = model.encode_titles(batch.title_ids, batch.title_mask, titles)
    fused = model.fuse(batch.title_ids, batch.title_mask, states, titles)
    query = model.encode_queries(batch.query_ids, batch.query_mask, queries)
    itm = model.match_titles(
        batch.title_ids[batch.title],
        batch.title_mask[batch.title],
        states,
        batch.image,
        titles.index_select(0, batch.title),
    )
    qmm = model.match_queries(
        batch.query_ids[batch.query],
        batch.query_mask[batch.query],
        Memory(fused.states, fused.mask, batch.product),
        queries.index_select(0, batch.query),
    )
    parts = (title.embedding, fused.embedding, query.embedding, itm, qmm)
    return torch.stack([part.float().square().mean() for part in parts]).sum()


def plain(model: PlainPasses, batch: Shapes) -> Tensor:
    """Return a scalar of the same passes."""
    states = model.run(batch.patches, None, None)
    title = model.text(batch.title_ids, batch.title_mask)
    fused = model.text(batch.title_ids, batch.title_mask, (states, None))
    query = model.text(batch.query_ids, batch.query_mask)
    itm = model.text(
        batch.title_ids[batch.title], batch.title_mask[batch.title], (states[batch.image], None)
    )
    qmm = model.text(
        batch.query_ids[batch.query],
        batch.query_mask[batch.query],
        (fused[batch.product], batch.title_mask[batch.product]),
    )
    parts = (title, fused, query, itm, qmm)
    return torch.stack([part[:, 0].float().square().mean() for part in parts]).sum()


def seconds(step: Callable[[], Tensor], half: bool, device: str) -> float:
    """Return the time of a step and its gradients: of the CPU, in which other processes do not
    count, or on the clock until the GPU has done it."""
    gpu = device == "cuda"
    clock = time.perf_counter if gpu else time.process_time
    if gpu:
        torch.cuda.synchronize()
    began = clock()
    with torch.autocast(device, torch.bfloat16, enabled=half):
        loss = step()
    loss.backward()
    if gpu:
        torch.cuda.synchronize()
    return clock() - began


def peak_gib(device: str) -> float:
    """Return the largest memory of the process so far, on a GPU that of its tensors, in GiB."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Print the times, their ratios and the memory."""
    options = argparse.ArgumentParser(description="A stage-2 step against plain BertLayers.")
    options.add_argument("--rows", type=int, default=64)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    given = options.parse_args()
    torch.manual_seed(0)
    config = ModelConfig(
        hidden_size=WIDTH, num_layers=LAYERS, num_heads=HEADS, embed_dim=256, pooling="mean"
    )
    from trainer.model.encoder import load_bert

    device = given.device
    model = QueryLife(config, load_bert(config), SmallTower(32, 8, 32, 1), None).to(device)
    reference, batch = PlainPasses().to(device), Shapes(given.rows).to(device)
    padded = batch.padded()
    steps = {
        "plain BertLayers, float32": (lambda: plain(reference, batch), False),
        "ours, float32": (lambda: ours(model, batch), False),
        "ours, float32, padded": (lambda: ours(model, padded), False),
    }
    if bfloat16_flags() or device == "cuda":
        steps["plain BertLayers, bfloat16"] = (lambda: plain(reference, batch), True)
        steps["ours, bfloat16"] = (lambda: ours(model, batch), True)
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(given.rounds):
        for name, (step, half) in steps.items():
            best[name] = min(best[name], seconds(step, half, device))
    base = next(iter(best.values()))
    print(f"{given.rows} rows, {torch.get_num_threads()} threads, torch {torch.__version__},")
    if device == "cuda":
        print(torch.cuda.get_device_name(), "\n")
    else:
        print(f"bfloat16 instructions: {', '.join(bfloat16_flags()) or 'none: not measured'}\n")
    kind = "Seconds" if device == "cuda" else "CPU seconds"
    print(f"| step | {kind} | times as fast |\n|---|---:|---:|")
    for name, took in best.items():
        print(f"| {name} | {took:.4f} | {base / took:.2f} |")
    print(f"\nPeak memory of the process: {peak_gib(device):.2f} GiB.")


if __name__ == "__main__":
    main()
