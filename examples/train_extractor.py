"""Train a small language model that reads the titles of the generated catalogue, and serve it.

    python examples/train_extractor.py --out artifacts/extractor --check

It proves the path from a title through a vLLM server to the attributes, with a model whose right
answers are known. It says nothing about the quality of a real model on real titles: this one
knows the words of the generated catalogue and no others.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from genfilt.generators.base import FIELDS, Attributes
from genfilt.generators.reply import MAX_CHARS, build_prompt
from genfilt.generators.vllm import VllmReader
from genfilt.synth import synthesize
from genfilt.synth.vocabulary import Vocabulary, Words, load_vocabulary

# The model learned one task, so its template leaves the instructions out; the title stands last.
TEMPLATE = "{{ bos_token + messages[-1]['content'].split('\\n')[-1] + '\\n' }}"
VOCABULARY = 2048
# What constrained decoding forces, a key with its signs, is one token: the grammar cuts there.
PIECES = r'\{"core_word":|,"[a-z_]+":|null|Title: "|\s|\d|[^\w\s]|_'
BATCH = 32
RATE = 2e-3


@dataclass(frozen=True)
class Example:
    """A title and what it says; None where it says nothing."""

    title: str
    fields: Mapping[str, str | None]
    split: str
    held_out: bool


def read_examples(folder: Path) -> list[Example]:
    """Return the distinct titles of a generated catalogue, each with what it says by the truth."""
    with duckdb.connect(str(folder / "truth.duckdb"), read_only=True) as truth:
        names = "product_id, split, type, color, material, brand, model, told, falsified, held_out"
        rows = {row[0]: row[1:] for row in truth.sql(f"SELECT {names} FROM facets").fetchall()}
    vocabulary = load_vocabulary()
    examples = {}
    with (folder / "products.csv").open(encoding="utf-8", newline="") as file:
        for product in csv.DictReader(file):
            split, kind, color, material, brand, model, told, false, held_out = rows[
                product["product_id"]
            ]
            facets = {"type": kind, "color": color, "material": material, "brand": brand}
            said = says(product["title"], facets, model, set(told), false, vocabulary)
            examples[product["title"]] = Example(product["title"], said, split, held_out)
    return list(examples.values())


def says(
    title: str,
    facets: Mapping[str, str],
    model: str | None,
    told: set[str],
    falsified: bool,
    vocabulary: Vocabulary,
) -> dict[str, str | None]:
    """Return the title's own words for each field.

    A falsified title says a colour or material that the product does not have, and that is what
    counts here.
    """
    colors = {name: color.words for name, color in vocabulary.colors.items()}
    found: dict[str, str | None] = dict.fromkeys(FIELDS)
    if "type" in told:
        found["core_word"] = find(title, vocabulary.types[facets["type"]].words)
    if "brand" in told:
        found["brand"] = find(title, Words((facets["brand"],)))
    for field, words in (("color", colors), ("material", vocabulary.materials)):
        if field in told:
            found[field] = find(title, words[facets[field]])
        elif falsified:
            found[field] = find(title, *words.values())
    if "model" in told and model is not None:
        pattern = r"\s?".join(map(re.escape, re.findall(r"\d+|\D", model.replace(" ", ""))))
        match = re.search(rf"(?<!\w){pattern}(?!\w)", title, re.IGNORECASE)
        found["model_parameters"] = match[0] if match else None
    return found


def find(title: str, *words: Words) -> str | None:
    """Return the first of the words in a title, the longest where several begin there."""
    every = sorted((w for each in words for w in each.seen + each.held_out), key=len, reverse=True)
    pattern = "|".join(map(re.escape, every))
    match = re.search(rf"(?<![\w'])(?:{pattern})(?![\w'])", title, re.IGNORECASE)
    return match[0] if match else None


def answer(fields: Mapping[str, str | None]) -> str:
    """Return the reply that is wanted: JSON without blanks, as constrained decoding writes it."""
    ordered = {name: fields[name] for name in FIELDS}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))


def with_new_words(example: Example, words: Sequence[str], rng: random.Random) -> Example:
    """Return the example with some of its values replaced by words that no train title holds.

    What they are must then be told from where they stand; and they are copied, whatever they are.
    """
    title, fields = example.title, dict(example.fields)
    for name, value in fields.items():
        if value and title.count(value) == 1 and rng.random() < 0.5:
            fields[name] = new = new_value(name, value, words, rng)
            title = title.replace(value, new)
    return Example(title, fields, example.split, example.held_out)


def unknown_words(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the vocabulary's words that none of the examples' titles holds."""
    known = {word for each in examples for word in re.findall(r"\w+", each.title.lower())}
    alphabetic = (token for token in tokenizer.get_vocab() if token.isalpha() and len(token) > 2)
    return sorted(token for token in alphabetic if token.lower() not in known)


def new_value(name: str, value: str, words: Sequence[str], rng: random.Random) -> str:
    """Return other digits for a specification, one or two words of like case for anything else."""
    if name == "model_parameters":
        return re.sub(r"\d", lambda _: str(rng.randint(0, 9)), value)
    new = " ".join(rng.choices(words, k=rng.choice((1, 1, 2))))
    return new.upper() if value.isupper() else new.title() if value[:1].isupper() else new.lower()


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
    texts = (f"{prompt_line(each)}{answer(dict.fromkeys(FIELDS))}" for each in examples)
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return fast


def prompt_line(example: Example) -> str:
    """Return the part of the prompt that the model's template keeps."""
    return build_prompt(example.title).split("\n")[-1] + "\n"


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained Llama of about two million weights."""
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
    return LlamaForCausalLM(config)


def batches(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, rng: random.Random
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (ids, labels), (B, L) each, of like lengths; what is not answer is not learned."""
    rows = []
    words = unknown_words(examples, tokenizer)
    for example in examples:
        shown = with_new_words(example, words, rng) if rng.random() < 0.6 else example
        prompt = tokenizer.encode(f"<s>{prompt_line(shown)}", add_special_tokens=False)
        reply = tokenizer.encode(f"{answer(shown.fields)}</s>", add_special_tokens=False)
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
        model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True
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


def accuracy(results: Mapping[str, Any], examples: Mapping[str, Example]) -> dict[str, float]:
    """Return the share of right values by field, and of all of them; a failure has none right."""
    right = dict.fromkeys(FIELDS, 0)
    for key, example in examples.items():
        found = results[key]
        if isinstance(found, Attributes):
            for name in FIELDS:
                said, wanted = getattr(found, name) or "", example.fields[name] or ""
                right[name] += said.lower() == wanted.lower()
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
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument(
        "--check", action="store_true", help="serve it and print what it gets right"
    )
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        synthesize(given.products, Path(folder) / "shop", seed=given.seed, pictures=False)
        examples = read_examples(Path(folder) / "shop")
    examples = [e for e in examples if all(len(v or "") <= MAX_CHARS for v in e.fields.values())]
    train(examples, given.out, epochs=given.epochs, seed=given.seed)
    if given.check:
        print(json.dumps(check(given.out, examples)))


if __name__ == "__main__":
    main()
