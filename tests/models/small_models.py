"""Small models with random weights, saved as folders that the real code loads by their path."""

from __future__ import annotations

from pathlib import Path

VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
    "initializer_range": 0.5,
}
QFORMER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "encoder_hidden_size": 32,
    "initializer_range": 0.5,
}
CHAT = "{% for m in messages %}{{ m['content'] }}{% endfor %}\nAnswer:"


def save_tokenizer(
    folder: Path, texts: list[str], size: int = 2048, extra: list[str] | None = None
):
    """A byte-level BPE that was trained on `texts`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", *(extra or [])]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    fast.chat_template = CHAT
    fast.save_pretrained(folder)
    return fast


def save_llama(folder: Path) -> Path:
    """A Llama of two layers whose words are noise: what constrained decoding has to tame."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from genfilt.generators.llm.title_request import title_messages

    messages = [m for n in range(40) for m in title_messages(f"Größe {n} coat 不锈钢")]
    tokenizer = save_tokenizer(folder, [str(message["content"]) for message in messages])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def save_instructblip(folder: Path, language: str) -> Path:
    """An InstructBLIP of a few hundred thousand weights over "t5", "opt" or "llama"."""
    import torch
    from transformers import (
        BlipImageProcessorPil,
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipProcessor,
    )

    texts = ["Name the product in this picture in three words.", "a red coat of wool"] * 20
    tokenizer = save_tokenizer(folder / "t", texts, 400)
    qformer_tokenizer = save_tokenizer(folder / "q", texts, 400)
    processor = InstructBlipProcessor(
        BlipImageProcessorPil(size={"height": 28, "width": 28}),
        tokenizer,
        qformer_tokenizer,
        num_query_tokens=4,
    )
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    config = InstructBlipConfig(
        vision_config=VISION,
        qformer_config={"vocab_size": len(qformer_tokenizer), **QFORMER},
        text_config=_language_config(language, tokenizer),
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = InstructBlipForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens)
    _let_pictures_count(model)
    model.save_pretrained(folder)
    return folder


def _let_pictures_count(model) -> None:
    """Fresh weights attend so weakly that the caption would be the same for every picture."""
    import torch

    torch.nn.init.normal_(model.language_projection.weight)
    for name, weight in model.language_model.named_parameters():
        if weight.dim() == 2 and "tt" in name:  # attention, however the model spells it
            torch.nn.init.normal_(weight, std=0.6)


def _language_config(language: str, tokenizer) -> dict:
    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "vocab_size": len(tokenizer),
    }
    if language == "t5":
        sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
        return {
            "model_type": "t5",
            **sizes,
            "decoder_start_token_id": tokenizer.pad_token_id,
            **ends,
        }
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, **ends}
    if language == "opt":
        return {
            "model_type": "opt",
            **sizes,
            "ffn_dim": 64,
            "word_embed_proj_dim": 32,
            "tie_word_embeddings": False,
        }
    return {"model_type": "llama", **sizes, "intermediate_size": 64}
