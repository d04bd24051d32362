"""Train a small language model that reads the titles of the generated catalogue, and serve it.

    python examples/train_small_extractor.py --out artifacts/extractor --check

It proves the path from a title through a vLLM server to the attributes, with a model whose right
answers are known. It is no check of quality, and tells nothing about a real model on real titles:
this one knows the words of the generated catalogue and few others. What it gets right is printed
apart for titles in words that it was taught and in words that no train title holds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from title_truth import Example, read_examples
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from genfilt.common.errors import UserError
from genfilt.features.embed import Embedder
from genfilt.generators.llm.served import VllmReader
from genfilt.generators.llm.title_request import MAX_CHARS, compact_json, title_messages
from genfilt.generators.llm.vllm_server import PYTHON_VARIABLE, installed_build
from genfilt.generators.protocols import FIELDS, Attributes
from genfilt.synth import synthesize

# The model learned one task, so its template leaves the instructions out; the title stands last.
TEMPLATE = "{{ bos_token + messages[-1]['content'].split('\\n')[-1] + '\\n' }}"
VOCABULARY = 4096  # at most; enough for each word to be one token
MEANINGS = 48  # of the 192 numbers of an embedding
# How often a value is replaced by new words in training: names carry no meaning to lose.
REPLACED = {
    "core_word": 0.25,
    "material": 0.25,
    "brand": 0.4,
    "color": 0.25,
    "model_parameters": 0.4,
}
# What constrained decoding forces, a key with its signs, is one token: the grammar cuts there.
PIECES = r'\{"core_word":|,"[a-z_]+":|null|Title: "|\s|\d|[^\w\s]|_'
BATCH = 16
RATE = 2e-3


def with_new_words(example: Example, rng: random.Random) -> Example:
    """Return the example with some of its values replaced by words that nobody has read before.

    Their field then follows from their place alone; and they are copied, whatever they are.
    """
    title, fields = example.title, dict(example.fields)
    for name, value in fields.items():
        if value and title.count(value) == 1 and rng.random() < REPLACED[name]:
            fields[name] = new = new_value(name, value, rng)
            title = title.replace(value, new)
    return Example(title, fields, example.split, example.held_out)


def new_value(name: str, value: str, rng: random.Random) -> str:
    """Return other digits for a specification, one or two made-up words for anything else."""
    if name == "model_parameters":
        return re.sub(r"\d", lambda _: str(rng.randint(0, 9)), value)
    new = " ".join(made_up_word(rng) for _ in range(rng.choice((1, 1, 2))))
    return new.upper() if value.isupper() else new.title() if value[:1].isupper() else new


def made_up_word(rng: random.Random) -> str:
    """Return a word of two or three syllables that means nothing."""
    syllables = (rng.choice("bcdfghklmnprstvwz") + rng.choice("aeiou") for _ in range(3))
    return "".join(list(syllables)[: rng.choice((2, 2, 3))]) + rng.choice(" nrsxlt").strip()


def train_tokenizer(examples: Sequence[Example], folder: Path) -> PreTrainedTokenizerFast:
    """Train and save a byte-level BPE; a word is the same after a blank and after a quote.

    Only the tokenizer sees the unseen titles, as text: a real model's knows every word, too.
    """
    tokenizer = Tokenizer(models.BPE())
    alone = pre_tokenizers.Split(Regex(PIECES), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([alone, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (f"{prompt_line(each)}{compact_json(dict.fromkeys(FIELDS))}" for each in examples)
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return fast


def prompt_line(example: Example) -> str:
    """Return the part of the prompt that the model's template keeps."""
    return f"{title_messages(example.title)[-1]['content']}\n"


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained Llama of about two million weights that is disposed to copy."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        give_meaning(model.get_input_embeddings().weight, tokenizer)
        for layer in model.model.layers[1:]:
            # Attention passes on the token that it looks at, and the tied head writes it: so the
            # model need not learn to copy, which takes longer than all the rest.
            torch.nn.init.eye_(layer.self_attn.v_proj.weight)
            torch.nn.init.eye_(layer.self_attn.o_proj.weight).mul_(0.5)
    return model


def give_meaning(embeddings: torch.nn.Parameter, tokenizer: PreTrainedTokenizerFast) -> None:
    """Set the tokens' embeddings, (V, D), and fix them.

    A part of each is where genfilt's sentence embedder puts the word, so that one that was never
    learned stands near its like, as it does in a real model; the rest is random, to tell all apart.
    """
    torch.nn.init.normal_(embeddings)
    tokens = [tokenizer.decode([n]) for n in range(len(embeddings))]
    words = [n for n, token in enumerate(tokens) if re.fullmatch(r"[A-Za-z][A-Za-z'-]+", token)]
    meanings = torch.from_numpy(Embedder().encode([tokens[n] for n in words]))
    main, sizes, _ = torch.linalg.svd(meanings - meanings.mean(0), full_matrices=False)
    main = main[:, :MEANINGS] * sizes[:MEANINGS]
    embeddings[words, :MEANINGS] = main / main.std()
    embeddings /= embeddings.norm(dim=1, keepdim=True)
    embeddings.requires_grad_(False)


def batches(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, rng: random.Random
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (ids, labels), (B, L) each, of like lengths; what is not answer is not learned."""
    rows = []
    for example in examples:
        shown = with_new_words(example, rng)
        prompt = tokenizer.encode(f"<s>{prompt_line(shown)}", add_special_tokens=False)
        reply = tokenizer.encode(f"{compact_json(shown.fields)}</s>", add_special_tokens=False)
        rows.append((prompt + reply, [-100] * len(prompt) + reply))
    rows.sort(key=lambda row: (len(row[0]), rng.random()))
    groups = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    rng.shuffle(groups)
    for group in groups:
        longest = max(len(ids) for ids, _ in group)
        ids = [row + [tokenizer.pad_token_id] * (longest - len(row)) for row, _ in group]
        labels = [row + [-100] * (longest - len(row)) for _, row in group]
        yield torch.tensor(ids), torch.tensor(labels)


def train(examples: Sequence[Example], folder: Path, *, epochs: int, seed: int = 0) -> None:
    """Train on the train titles and save model, tokenizer and chat template to a folder."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # matrices this small lose by threads
    learned = [each for each in examples if each.split == "train"]
    tokenizer = train_tokenizer(examples, folder)
    model = new_model(tokenizer)
    optimizer = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad],
        lr=RATE,
        betas=(0.9, 0.95),
        weight_decay=0.1,
        fused=True,
    )
    steps = epochs * -(-len(learned) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.1
    )
    started = time.monotonic()
    for epoch in range(epochs):
        total = 0.0
        for ids, labels in batches(learned, tokenizer, rng):
            loss = model(input_ids=ids, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            total += loss.item() * len(ids)
        took = time.monotonic() - started
        print(f"epoch {epoch + 1}: loss {total / len(learned):.4f}, {took:.0f} s", flush=True)
    model.save_pretrained(folder)


def accuracy(results: Mapping[str, object], examples: Mapping[str, Example]) -> dict[str, float]:
    """Return the share of right values by field, and of all of them; a failure has none right."""
    right = dict.fromkeys(FIELDS, 0)
    for key, example in examples.items():
        found = results[key]
        if isinstance(found, Attributes):
            for name in FIELDS:
                value, wanted = getattr(found, name) or "", example.fields[name] or ""
                right[name] += value.lower() == wanted.lower()
    shares = {name: round(count / len(examples), 4) for name, count in right.items()}
    mean = round(sum(shares.values()) / len(FIELDS), 4)
    return {"titles": len(examples), **shares, "all fields": mean}


def check(folder: Path, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Serve the model, read the unseen titles and return the accuracies."""
    unseen = {str(n): each for n, each in enumerate(examples) if each.split != "train"}
    with VllmReader(model=str(folder)) as reader:
        results = dict(reader.read({key: each.title for key, each in unseen.items()}))
    groups = {
        "all unseen titles": unseen,
        "seen words": {key: each for key, each in unseen.items() if not each.held_out},
        "held-out words": {key: each for key, each in unseen.items() if each.held_out},
    }
    return {name: accuracy(results, group) for name, group in groups.items()}


def main() -> None:
    """Make a catalogue, train on it and, with --check, read its unseen titles through vLLM."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True, help="folder of the model")
    options.add_argument("--products", type=int, default=12_000)
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument(
        "--check", action="store_true", help="serve it and print what it gets right"
    )
    given = options.parse_args()
    if given.check:  # before the training, not after it
        installed_build(os.environ.get(PYTHON_VARIABLE) or sys.executable)
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        synthesize(given.products, Path(folder) / "shop", seed=given.seed, pictures=False)
        examples = read_examples(Path(folder) / "shop")
    examples = [e for e in examples if all(len(v or "") <= MAX_CHARS for v in e.fields.values())]
    train(examples, given.out, epochs=given.epochs, seed=given.seed)
    if given.check:
        print(json.dumps(check(given.out, examples)))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
