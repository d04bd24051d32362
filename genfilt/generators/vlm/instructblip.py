"""Pictures described by InstructBLIP in this process, through transformers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genfilt.common.errors import UserError
from genfilt.common.photos import open_photo
from genfilt.generators.llm.reply import caption_prompt_key, check_caption
from genfilt.generators.prompts import caption_prompt
from genfilt.generators.protocols import Caption, Failure

if TYPE_CHECKING:
    import torch

NEW_TOKENS = 60
BATCH = {"cuda": 32, "cpu": 4}
_OPENING_THREADS = 8
_CPU_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory")


@dataclass(frozen=True)
class Loaded:
    """A model with its processor and the prompt that every picture gets, ids and masks (1, L)."""

    processor: Any
    model: Any
    text: Mapping[str, torch.Tensor]


class InstructBlipCaptioner:
    """InstructBLIP with whatever language model the checkpoint has: T5, OPT or Llama.

    Args:
        model: a Hugging Face name or a folder; loaded when there is a picture to describe.
        batch: pictures at once; halved, for good, when memory runs out.
        prompt: a file with another prompt.
    """

    def __init__(self, model: str, *, batch: int | None = None, prompt: Path | None = None) -> None:
        self.name = f"instructblip:{model}"
        self._prompt = caption_prompt(prompt)
        self.prompt_key = caption_prompt_key(self._prompt)
        self._model, self._device = model, _device()
        self.batch = batch or BATCH[self._device]

    @cached_property
    def _loaded(self) -> Loaded:
        return _load(self._model, self._prompt, self._device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the weights."""
        import torch

        self.__dict__.pop("_loaded", None)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def describe(self, pictures: Mapping[str, Path]) -> Iterator[tuple[str, Caption | Failure]]:
        """Yield (image key, result) for each picture, batch by batch.

        Raises UserError where there is no such model, or weights are missing from it.
        """
        _ = self._loaded  # before threads ask for it, and before a picture could be blamed
        with ThreadPoolExecutor(_OPENING_THREADS) as pool:
            opened = self._opened(pictures, pool)
            while pixels := dict(islice(opened, self.batch)):
                good = {key: p for key, p in pixels.items() if not isinstance(p, Failure)}
                yield from ((key, p) for key, p in pixels.items() if isinstance(p, Failure))
                texts = self._generate_within_memory(list(good.values()))
                yield from zip(good, (self._checked(text) for text in texts), strict=True)

    def _opened(
        self, pictures: Mapping[str, Path], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[str, torch.Tensor | Failure]]:
        """Yield each picture's pixels in order; those of the next batch are opened meanwhile.

        Pillow decodes and resizes without Python's lock, so threads keep all cores busy while the
        model generates; processes, which must hand over 600 KB of pixels a picture, prepare
        fewer (benchmarks/results/2026-11-26-picture-decoding.md).
        """
        rest = iter(pictures.items())
        waiting: deque[tuple[str, Future[torch.Tensor | Failure]]] = deque()
        while True:
            for key, path in islice(rest, max(1, 2 * self.batch - len(waiting))):
                waiting.append((key, pool.submit(self._pixels, path)))
            if not waiting:
                return
            key, opened = waiting.popleft()
            yield key, opened.result()

    def _checked(self, text: str | Failure) -> Caption | Failure:
        return text if isinstance(text, Failure) else check_caption(self._prompt, text)

    def _pixels(self, path: Path) -> torch.Tensor | Failure:
        """Return a picture's pixels, (3, H, W) as the model takes them."""
        try:
            image = open_photo(path)
            prepared = self._loaded.processor.image_processor(image, return_tensors="pt")
        except Exception as error:
            return Failure("unreadable picture", f"{path}: {error}")
        pixels: torch.Tensor = prepared["pixel_values"][0]
        return pixels

    def _generate_within_memory(self, pixels: Sequence[torch.Tensor]) -> list[str | Failure]:
        """Return one text for each picture, in ever smaller batches where memory runs out."""
        texts: list[str | Failure] = []
        while len(texts) < len(pixels):
            part = pixels[len(texts) : len(texts) + self.batch]
            try:
                texts += self._generate(part)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                _free_memory()
                if len(part) == 1:
                    texts.append(Failure("out of memory", str(error)))
                else:
                    self.batch = max(1, len(part) // 2)
        return texts

    def _generate(self, pixels: Sequence[torch.Tensor]) -> list[str]:
        import torch

        model, processor = self._loaded.model, self._loaded.processor
        text = {name: ids.expand(len(pixels), -1) for name, ids in self._loaded.text.items()}
        images = torch.stack(list(pixels)).to(model.device, model.dtype)
        with torch.inference_mode():
            tokens = model.generate(
                pixel_values=images,  # (B, 3, H, W)
                **text,  # (B, L) each
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                num_beams=1,
            )
        if not model.language_model.config.is_encoder_decoder:
            tokens = tokens[:, text["input_ids"].shape[1] :]  # decoders repeat the prompt
        decoded: list[str] = processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return decoded


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _load(model: str, prompt: str, device: str) -> Loaded:
    import torch
    from PIL import Image
    from transformers import InstructBlipForConditionalGeneration, InstructBlipProcessor

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    try:
        # Pillow prepares the same pixels on every machine.
        processor = InstructBlipProcessor.from_pretrained(model, backend="pil")
        found: Any = InstructBlipForConditionalGeneration.from_pretrained(
            model, dtype=dtype, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{model} cannot be loaded as InstructBLIP ({error}); give --captioner-model a folder "
            "or a name such as Salesforce/instructblip-flan-t5-xl."
        ) from None
    loaded, report = found
    absent = sorted(report["missing_keys"])
    if absent:
        raise UserError(
            f"{model} lacks {len(absent)} weights of InstructBLIP, {absent[0]} among them, which "
            "would be random; give --captioner-model a whole InstructBLIP checkpoint."
        )
    processor.num_query_tokens = loaded.config.num_query_tokens
    encoded = processor(images=Image.new("RGB", (8, 8)), text=prompt, return_tensors="pt")
    encoded.pop("pixel_values")  # what is left has the picture's places in the text
    text = {name: ids.to(device) for name, ids in encoded.items()}
    return Loaded(processor, loaded.to(device).eval(), text)


def _is_out_of_memory(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in _CPU_OUT_OF_MEMORY
    )


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
