"""Builds a BLIP-2 of LAVIS with T5, of a few hundred thousand weights; runs in LAVIS's environment.

    python -P build_small_lavis.py FOLDER

The folder then holds config.yaml, the checkpoint that it names, and beside them the language
model and `bert-base-uncased`, which LAVIS looks for in its working folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from omegaconf import OmegaConf
from small_lavis_worker import use_small_tower
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    T5TokenizerFast,
)

WORDS = ["a", "red", "blue", "green", "coat", "mug", "shoe", "of", "wool", "with", "stripes"]


def save_bert(folder: Path) -> None:
    import torch
    from lavis.models.blip2_models.Qformer import BertLMHeadModel

    folder.mkdir()
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    )
    BertTokenizer(folder / "vocab.txt").save_pretrained(folder)
    config = BertConfig(
        vocab_size=32,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.5,
    )
    config.encoder_width, config.add_cross_attention = 32, True
    config.cross_attention_freq, config.query_length = 2, 4
    torch.manual_seed(0)
    BertLMHeadModel(config).save_pretrained(folder)


def save_t5(folder: Path) -> None:
    import torch

    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    unigram.train_from_iterator([" ".join(WORDS)] * 50, trainer)
    end = [("</s>", unigram.token_to_id("</s>"))]
    unigram.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=end)
    tokenizer = T5TokenizerFast(tokenizer_object=unigram, extra_ids=0)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        tie_word_embeddings=False,
        initializer_factor=3.0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)


def main() -> None:
    import torch
    from lavis.models.blip2_models.blip2_t5 import Blip2T5

    os.chdir(sys.argv[1])
    use_small_tower()
    save_bert(Path("bert-base-uncased"))
    save_t5(Path("small-t5"))
    sizes = {
        "image_size": 28,
        "num_query_token": 4,
        "t5_model": "small-t5",
        "vit_precision": "fp32",
    }
    torch.manual_seed(0)
    model = Blip2T5(
        img_size=28, num_query_token=4, t5_model="small-t5", vit_precision="fp32"
    ).float()
    torch.nn.init.normal_(model.t5_proj.weight)
    torch.nn.init.normal_(model.query_tokens)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.t5_model.named_parameters():
            if "Attention" in name:  # fresh weights attend too weakly for the picture to count
                torch.nn.init.normal_(weight, std=0.6)
        model.t5_model.lm_head.weight[1] *= 2  # a sentence shall end now and then
    torch.save({"model": model.state_dict()}, "checkpoint.pth")
    processor = {"name": "blip_image_eval", "image_size": 28}
    config = {
        "model": {
            "arch": "blip2_t5",
            "load_finetuned": False,
            "pretrained": "checkpoint.pth",
            **sizes,
        },
        "preprocess": {"vis_processor": {"eval": processor}, "text_processor": {}},
    }
    OmegaConf.save(OmegaConf.create(config), "config.yaml")


if __name__ == "__main__":
    main()
