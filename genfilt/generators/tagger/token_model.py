"""The tagger's network: MiniLM with merged low-rank updates, and a linear head over words.

The encoder computes in bfloat16 where the processor multiplies such matrices itself (Intel's AMX),
in float32 elsewhere, by oneDNN; the head is in float32 everywhere.

LoRA (Hu et al. 2021, eq. 3): a weight W (out, in) becomes W + B A with B (out, r) and A (r, in).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from genfilt.common.onednn_linear import use_onednn
from genfilt.generators.tagger.title_words import NO_CASE, TitleWords, model_folder
from genfilt.generators.tagger.word_labels import LABELS, Scores

WEIGHTS = "tagger.safetensors"
LORA_A, LORA_B = ".lora_a", ".lora_b"


class TokenModel(nn.Module):
    """Scores each label for each word of a title."""

    def __init__(self, encoder: BertModel) -> None:
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.case_input = nn.Embedding(NO_CASE + 1, width)
        self.case_head = nn.Embedding(NO_CASE + 1, width)
        self.head = nn.Linear(width, LABELS)
        nn.init.zeros_(self.case_input.weight)
        nn.init.normal_(self.case_head.weight, std=0.02)

    def forward(
        self, pieces: Tensor, mask: Tensor | None, word_of: Tensor, cases: Tensor
    ) -> Tensor:
        """Return label scores (N, W, L).

        Args:
            pieces: (N, T) numbers of wordpieces.
            mask: (N, T) 1 for a piece, 0 for padding; None without padding.
            word_of: (N, T) the word that each piece belongs to, W for none.
            cases: (N, W + 1) number of each word's case, NO_CASE for none.
        """
        inputs = self.encoder.embeddings.word_embeddings(pieces)
        inputs = (inputs + self.case_input(cases.gather(1, word_of))).to(self.encoder.dtype)
        encoded = self.encoder(inputs_embeds=inputs, attention_mask=mask)
        hidden = encoded.last_hidden_state.float()
        member = nn.functional.one_hot(word_of, cases.shape[1]).to(hidden.dtype)  # (N, T, W + 1)
        share = member / member.sum(dim=1, keepdim=True).clamp(min=1)
        means = torch.einsum("ntw,ntd->nwd", share, hidden)
        scores: Tensor = self.head(nn.functional.gelu(means + self.case_head(cases)))
        return scores[:, :-1]


def minilm() -> BertModel:
    """Return the installed MiniLM without its pooler."""
    config = BertConfig.from_pretrained(str(model_folder()))
    encoder = BertModel(config, add_pooling_layer=False)  # type: ignore[no-untyped-call]
    state = load_file(str(model_folder() / "model.safetensors"))
    wanted = encoder.state_dict().keys()
    encoder.load_state_dict({name: state[name] for name in wanted if name in state}, strict=True)
    return encoder


def linear_layers(encoder: nn.Module) -> dict[str, nn.Linear]:
    """Return all linear layers of the encoder, which are those with a low-rank update."""
    return {name: each for name, each in encoder.named_modules() if isinstance(each, nn.Linear)}


def merge(model: TokenModel, weights: Mapping[str, Tensor]) -> None:
    """Add low-rank updates to the encoder's weights and set the other trained weights."""
    with torch.no_grad():
        for name, layer in linear_layers(model.encoder).items():
            layer.weight += weights[name + LORA_B].float() @ weights[name + LORA_A].float()
        for part in ("case_input", "case_head", "head"):
            for name, parameter in getattr(model, part).named_parameters():
                parameter.copy_(weights[f"{part}.{name}"].float())


def load_model(path: Path | None = None) -> TokenModel:
    """Return the trained model, by default with the weights of this package."""
    model = TokenModel(minilm())
    merge(model, load_file(path or Path(str(files(__package__) / WEIGHTS))))
    if multiplies_bfloat16():
        model.encoder.bfloat16()
    model.eval().requires_grad_(False)
    use_onednn(model.encoder, lambda: _states_of_a_probe(model.encoder), model.encoder.dtype)
    return model


def _states_of_a_probe(encoder: BertModel) -> Tensor:
    with torch.inference_mode():
        states: Tensor = encoder(torch.arange(1000, 1008)[None]).last_hidden_state
    return states


def multiplies_bfloat16() -> bool:
    """Tell whether the processor multiplies matrices of bfloat16, which is 3 times as fast."""
    known = getattr(torch.cpu, "get_capabilities", None)  # torch 2.9 has none
    return known is not None and bool(known().get("amx_bf16"))


def batch(titles: Sequence[TitleWords]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the arguments of TokenModel.forward for titles of any lengths."""
    length = max(len(each.pieces) for each in titles)
    words = max(len(each.words) for each in titles)
    pieces = np.zeros((len(titles), length), np.int64)
    mask = np.zeros((len(titles), length), np.int64)
    word_of = np.full((len(titles), length), words, np.int64)
    cases = np.full((len(titles), words + 1), NO_CASE, np.int64)
    for row, each in enumerate(titles):
        count = len(each.pieces)
        pieces[row, :count], mask[row, :count] = each.pieces, 1
        word_of[row, :count] = np.where(each.word_of < 0, words, each.word_of)
        cases[row, : len(each.words)] = each.cases
    return tuple(torch.from_numpy(each) for each in (pieces, mask, word_of, cases))  # type: ignore[return-value]


def score(model: TokenModel, titles: Sequence[TitleWords]) -> list[Scores]:
    """Return log probabilities (W, L) of the labels of each title's words."""
    pieces, mask, word_of, cases = batch(titles)
    padded = bool((mask == 0).any())
    with torch.inference_mode():
        scores = model(pieces, mask if padded else None, word_of, cases)
        found = torch.log_softmax(scores, dim=-1).numpy()
    return [row[: len(title.words)] for row, title in zip(found, titles, strict=True)]
