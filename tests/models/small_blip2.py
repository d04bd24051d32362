"""A BLIP-2 with OPT, small and of random weights: what vLLM serves to the captioner's test."""

from __future__ import annotations

from pathlib import Path

from tests.models.small_models import QFORMER, VISION, save_tokenizer


def save_blip2(folder: Path) -> Path:
    """Save model, processor and tokenizer to a folder."""
    import torch
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessorPil,
    )

    texts = ["Name the product in this picture in three words.", "a red coat of wool"] * 20
    tokenizer = save_tokenizer(folder, texts, 400)
    processor = Blip2Processor(
        BlipImageProcessorPil(size={"height": 28, "width": 28}), tokenizer, num_query_tokens=4
    )
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    config = Blip2Config(
        vision_config=VISION,
        qformer_config=QFORMER,
        text_config=_opt(tokenizer),
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = Blip2ForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens)
    torch.nn.init.normal_(model.language_projection.weight)
    for name, weight in model.language_model.named_parameters():
        if weight.dim() == 2 and "attn" in name:
            torch.nn.init.normal_(weight, std=0.6)
    with torch.no_grad():  # a sentence shall end now and then
        model.language_model.lm_head.weight[tokenizer.eos_token_id] *= 2
    model.save_pretrained(folder)
    return folder


def _opt(tokenizer) -> dict:
    return {
        "model_type": "opt",
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 64,
        "word_embed_proj_dim": 64,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
