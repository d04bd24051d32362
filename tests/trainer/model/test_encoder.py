"""The universal modal encoder: BERT in text mode, cross-attention that starts as a sum."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from genfilt.common.errors import UserError
from trainer.config import MINILM, ModelConfig
from trainer.model.encoder import (
    CrossAttention,
    Memory,
    ModalEncoder,
    bert_folder,
    load_bert,
    load_tokenizer,
)
from trainer.model.packed import PackedLayout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.3,
    )
    path = tmp_path_factory.mktemp("bert")
    BertModel(config).save_pretrained(path)
    return path


def tokens(rows: int = 3, length: int = 7, vocabulary: int = 99) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(rows, length, dtype=torch.long)
    mask[0, length // 2 :] = 0
    return torch.randint(1, vocabulary, (rows, length)), mask


def wake(encoder: ModalEncoder) -> None:
    for cross in encoder.cross:
        torch.nn.init.normal_(cross.output.weight, std=0.3)


def test_text_mode_is_bert(folder: Path) -> None:
    bert = BertModel.from_pretrained(folder).eval()
    encoder = ModalEncoder(load_bert(ModelConfig(bert=str(folder)))).eval()
    ids, mask = tokens()
    expected = bert(input_ids=ids, attention_mask=mask).last_hidden_state
    real = mask.bool()
    torch.testing.assert_close(encoder.text(ids, mask)[real], expected[real], atol=1e-5, rtol=0)


def test_text_mode_is_minilm() -> None:
    config = ModelConfig(bert=MINILM)
    batch = load_tokenizer(config)(["women's red hoodie", "tee"], padding=True, return_tensors="pt")
    bert = BertModel.from_pretrained(bert_folder(MINILM)).eval()
    expected = bert(**batch).last_hidden_state
    got = ModalEncoder(load_bert(config)).eval().text(batch["input_ids"], batch["attention_mask"])
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(got[real], expected[real], atol=1e-5, rtol=0)


def test_fused_reads_its_memory(folder: Path) -> None:
    encoder = ModalEncoder(load_bert(ModelConfig(bert=str(folder)))).eval()
    ids, mask = tokens()
    memory = torch.randn(3, 5, 32)
    text = encoder.text(ids, mask)
    assert not text[~mask.bool()].any()
    torch.testing.assert_close(encoder.fused(ids, mask, Memory(torch.zeros(3, 5, 32))), text)
    read = encoder.fused(ids, mask, Memory(memory))
    assert (read - text).abs().max() > 0.01
    assert (encoder.fused(ids, mask, Memory(memory + 1)) - read).abs().max() > 0.01


def test_cross_attention_begins_by_adding_a_mean_of_its_memory() -> None:
    block = CrossAttention(8, 2, 0.0, share=0.25)
    torch.nn.init.zeros_(block.query.weight)
    torch.nn.init.zeros_(block.query.bias)
    states, memory = torch.randn(6, 8), torch.randn(2, 4, 8)
    mean = memory.mean(dim=1, keepdim=True).expand(2, 3, 8).flatten(0, 1)
    torch.testing.assert_close(
        block(states, PackedLayout(2, 3), Memory(memory)), states + 0.25 * mean
    )


def test_padding_of_text_and_memory_changes_nothing(folder: Path) -> None:
    encoder = ModalEncoder(load_bert(ModelConfig(bert=str(folder)))).eval()
    wake(encoder)
    ids, _ = tokens()
    memory = torch.randn(3, 5, 32)
    alone = encoder.fused(ids, torch.ones_like(ids), Memory(memory))
    padded_ids = torch.cat([ids, torch.randint(1, 99, (3, 4))], 1)
    mask = torch.ones_like(padded_ids)
    mask[:, 7:] = 0
    padded_memory = torch.cat([memory, torch.randn(3, 2, 32)], 1)
    memory_mask = torch.ones(3, 7)
    memory_mask[:, 5:] = 0
    padded = encoder.fused(padded_ids, mask, Memory(padded_memory, memory_mask))
    torch.testing.assert_close(padded[:, :7], alone, atol=1e-5, rtol=1e-5)


def test_first_state_alone_is_that_of_all(folder: Path) -> None:
    encoder = ModalEncoder(load_bert(ModelConfig(bert=str(folder)))).eval()
    wake(encoder)
    ids, mask = tokens()
    memory = Memory(torch.randn(2, 5, 32), torch.rand(2, 5) < 0.7, torch.tensor([1, 0, 1]))
    found, grads = [], []
    for run in (
        lambda: encoder.fused(ids, mask, memory)[:, 0],
        lambda: encoder.fused_first(ids, mask, memory),
    ):
        encoder.zero_grad()
        first = run()
        first.square().sum().backward()
        found.append(first.detach())
        grads.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-5)
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)


def test_cross_attention_is_softmax_over_the_memory() -> None:
    torch.manual_seed(2)
    block = CrossAttention(8, 2, 0.0)
    torch.nn.init.normal_(block.value.weight)
    states, memory = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    q, k, v = block.query(states)[0], block.key(memory)[0], block.value(memory)[0]
    read = torch.empty(3, 8)
    for head in (slice(0, 4), slice(4, 8)):
        for row in range(3):
            weight = torch.softmax(q[row, head] @ k[:, head].T / 4**0.5, -1)
            read[row, head] = weight @ v[:, head]
    got = block(states[0], PackedLayout(1, 3), Memory(memory))
    torch.testing.assert_close(got, states[0] + read)


def test_one_set_of_weights_serves_all_three_uses(folder: Path) -> None:
    encoder = ModalEncoder(load_bert(ModelConfig(bert=str(folder))))
    wake(encoder)
    ids, mask = tokens()
    for use in (
        lambda: encoder.text(ids, mask),
        lambda: encoder.image(torch.randn(3, 5, 32)),
        lambda: encoder.fused(ids, mask, Memory(torch.randn(3, 5, 32))),
    ):
        encoder.zero_grad()
        use().sum().backward()
        for layer in encoder.layers:
            assert layer.attention.self.query.weight.grad is not None
            assert layer.intermediate.dense.weight.grad.abs().sum() > 0


def test_dropout_comes_from_the_config(folder: Path) -> None:
    bert = load_bert(ModelConfig(bert=str(folder), dropout=0.25))
    encoder = ModalEncoder(bert)
    assert encoder.cross[0].dropout == 0.25
    assert encoder.layers[0].output.dropout.p == 0.25
    ids, mask = tokens()
    encoder.train()
    assert not torch.equal(encoder.text(ids, mask), encoder.text(ids, mask))


def test_unknown_bert_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No BERT model can be read from .*--bert") as caught:
        load_bert(ModelConfig(bert=str(tmp_path / "none")))
    assert "\n" not in str(caught.value)


def test_missing_weights_are_an_error(folder: Path, tmp_path: Path) -> None:
    whole = BertModel.from_pretrained(folder)
    state = {k: v for k, v in whole.state_dict().items() if "layer.1.attention" not in k}
    whole.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(UserError, match=r"lacks 10 weights, .*layer\.1\.attention"):
        load_bert(ModelConfig(bert=str(tmp_path)))


def test_a_begun_text_goes_on_as_one_from_its_ids() -> None:
    encoder = ModalEncoder(load_bert(ModelConfig(num_layers=3)))
    for cross in encoder.cross:
        torch.nn.init.normal_(cross.output.weight, std=0.2)
    ids, mask = torch.randint(1000, 2000, (4, 6)), torch.ones(4, 6, dtype=torch.long)
    mask[1, 3:] = 0
    memory = Memory(torch.randn(4, 5, 32))
    begun = encoder.begin(ids, mask)
    torch.testing.assert_close(encoder.text(ids, mask, begun), encoder.text(ids, mask))
    torch.testing.assert_close(
        encoder.fused(ids, mask, memory, begun), encoder.fused(ids, mask, memory)
    )
    first = encoder.fused_first(ids, mask, memory, begun)
    torch.testing.assert_close(first, encoder.fused(ids, mask, memory)[:, 0])
