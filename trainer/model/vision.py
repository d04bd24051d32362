"""Vision towers: any frozen transformers model through one path, and a small trainable one.

A tower turns pixels (B, 3, S, S) into patch features (B, P, W). The paper takes the second last
layer of ViT-g/14, as BLIP-2 does (section 4.2). BLIP-2's checkpoints are cut already, 39 of the 40
layers: of those the last hidden state is meant, through the checkpoint's own post_layernorm; of an
uncut tower (CLIP, SigLIP, ViT) the last but one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from genfilt.common.errors import UsageError, UserError
from genfilt.common.photos import to_rgb
from trainer.config import ModelConfig
from trainer.model.colors import TERMS, Palette
from trainer.model.encoder import load_whole

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import PretrainedConfig, PreTrainedModel

# Towers whose checkpoints end at the second last layer: their last hidden state is read.
CUT = ("blip_2_vision_model", "instructblip_vision_model")
# Weights of no layer that is read, which a checkpoint may lack.
UNUSED = ("pooler.", "head.", "layernorm.", "post_layernorm.", "final_layernorm.")
UNUSED_OF_CUT = ("pooler.", "head.")
GROUPS = 8
NAMED = 20.0  # first weight of a patch's colours, beside random shapes of about 1
# The classes that transformers' own mapping does not find by their vision config.
VISION_CLASSES = {
    "blip_2_vision_model": "Blip2VisionModel",
    "blip_vision_model": "BlipVisionModel",
    "instructblip_vision_model": "InstructBlipVisionModel",
}


@dataclass(frozen=True)
class ImageTransform:
    """Turns a picture into a tensor (3, size, size): white square around it, resized, scaled.

    Picklable, for worker processes. Called with a seed it also mirrors, shifts and zooms the
    picture, the same way for the same seed; colours are never touched, for they decide relevance.
    """

    size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    zoom: float = 0.12

    def __call__(self, image: Image, seed: int | None = None) -> Tensor:
        """Return image as float32 (3, size, size), augmented where a seed is given."""
        pixels = np.asarray(self.square(image, seed), dtype=np.float32) / 255.0
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1)))

    def square(self, image: Image, seed: int | None = None) -> Image:
        """Return image as a white square of size x size pixels; of such a one, itself."""
        from PIL import Image as Pillow

        picture = to_rgb(image)
        side = max(picture.size)
        left, top = ((side - extent) // 2 for extent in picture.size)
        square = Pillow.new("RGB", (side, side), "white")
        square.paste(picture, (left, top))
        if seed is not None:
            square = self._moved(square, np.random.default_rng(seed))
        return square.resize((self.size, self.size), Pillow.Resampling.BICUBIC)

    def _moved(self, square: Image, rng: np.random.Generator) -> Image:
        from PIL import Image as Pillow
        from PIL import ImageOps

        if rng.random() < 0.5:
            square = ImageOps.mirror(square)
        side = square.size[0]
        extent = side * rng.uniform(1 - self.zoom, 1 + self.zoom)
        shift = side * self.zoom / 2
        left, top = (side - extent) / 2 + rng.uniform(-shift, shift, size=2)
        box = (left, top, left + extent, top + extent)
        return square.transform(
            (side, side),
            Pillow.Transform.EXTENT,
            box,
            Pillow.Resampling.BILINEAR,
            fillcolor="white",
        )


class VisionTower(nn.Module):
    """Sizes that every tower has: `width` W, `patches` P, whether a [CLS] comes first."""

    width: int
    patches: int
    has_cls: bool
    frozen: bool
    transform: ImageTransform


class FrozenTower(VisionTower):
    """A transformers vision model that never learns: eval mode, its `patch_states`."""

    frozen = True

    def __init__(self, model: PreTrainedModel, transform: ImageTransform) -> None:
        super().__init__()
        self.transform = transform
        self.patches, self.width, self.has_cls = probe(model, transform.size)
        self.model = model.eval().requires_grad_(False)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> FrozenTower:
        """Stay in eval mode whatever the model around it does."""
        return super().train(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the features (B, P, W) of pixels (B, 3, S, S), without gradient."""
        with torch.no_grad():
            return patch_states(self.model, pixels)


def patch_states(model: PreTrainedModel, pixels: Tensor) -> Tensor:
    """Return a vision model's second last layer as (B, P, W), its last where that is cut off."""
    states: Tensor
    if model.config.model_type in CUT:
        states = model(pixel_values=pixels).last_hidden_state
    else:
        states = model(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
    return states.flatten(2).transpose(1, 2) if states.ndim == 4 else states


def probe(model: PreTrainedModel, size: int) -> tuple[int, int, bool]:
    """Return (patches, width, has [CLS]) of a vision model at pixel size, without computing."""
    with torch.device("meta"):
        shape = type(model)(model.config)
        states = patch_states(shape, torch.empty(1, 3, size, size))
    patch = getattr(model.config, "patch_size", None)
    square = (size // patch) ** 2 if isinstance(patch, int) else states.shape[1]
    return states.shape[1], states.shape[2], states.shape[1] > square


def load_frozen(name: str) -> FrozenTower:
    """Return a frozen tower by folder or hub name.

    Raises:
        UserError: there is no such model, or weights are missing that the layer which is read
            needs, and which transformers would fill with random numbers.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name)
        vision = getattr(config, "vision_config", config)
        model, info = load_whole(vision_class(vision), name, config=vision)
        if _needed(info, vision) and vision is not config:
            mapping = {r"^vision_model\.": ""}
            model, info = load_whole(vision_class(vision), name, config=vision, key_mapping=mapping)
        if model.main_input_name != "pixel_values":
            raise ValueError("it reads no pictures")
        transform = _transform(name, vision)
    except (OSError, ValueError, KeyError) as fault:
        raise UserError(
            f"No vision tower can be read from '{name}' ({str(fault).splitlines()[0]}); leave "
            "--vision out for the small tower, or give the folder or name of a transformers model."
        ) from fault
    if missing := _needed(info, vision):
        raise UserError(
            f"The vision tower '{name}' lacks {len(missing)} weights, {missing[0]} first; "
            "give --vision a checkpoint that holds the whole tower."
        )
    return FrozenTower(model, transform)


def vision_class(config: PretrainedConfig) -> Any:
    """Return the transformers class that runs a vision config."""
    import transformers

    if named := VISION_CLASSES.get(config.model_type):
        return getattr(transformers, named)
    return transformers.MODEL_MAPPING[type(config)]


def _needed(info: dict[str, Any], config: PretrainedConfig) -> list[str]:
    unused = UNUSED_OF_CUT if config.model_type in CUT else UNUSED
    return sorted(key for key in info["missing_keys"] if not key.startswith(unused))


def _transform(name: str, config: PretrainedConfig) -> ImageTransform:
    from transformers import BaseImageProcessor

    read, _ = BaseImageProcessor.get_image_processor_dict(name)
    size = config.image_size if hasattr(config, "image_size") else min(read["size"].values())
    return ImageTransform(int(size), tuple(read["image_mean"]), tuple(read["image_std"]))


class SmallTower(VisionTower):
    """A convolutional tower small enough to learn from a few hundred pictures on white.

    Each stage halves the picture until a patch is one place; the last places are refined by
    residual blocks. Beside it, named colours reach the features without normalisation, which
    removes how dark or grey a garment is, and colour is what titles most often leave out. Channel i
    begins as NAMED times the share of `terms[i]`.
    """

    has_cls = False
    frozen = False

    def __init__(self, size: int, patch: int, width: int, blocks: int) -> None:
        super().__init__()
        # White is zero, as the convolutions' padding is: no edge appears where a picture ends.
        self.transform = ImageTransform(size, mean=(1.0, 1.0, 1.0), std=(0.5, 0.5, 0.5))
        self.width = width
        self.patches = (size // patch) ** 2
        halvings = patch.bit_length() - 1
        growth = ((n / halvings) ** 1.5 for n in range(1, halvings))
        channels = [3, *(max(16, round(width * share / 8) * 8) for share in growth), width]
        self.stages = nn.Sequential(
            *(_stage(before, after) for before, after in pairwise(channels))
        )
        self.blocks = nn.Sequential(*(_Residual(width) for _ in range(blocks)))
        self.palette = Palette(patch)
        self.terms = TERMS[:width]
        self.colors = nn.Conv2d(len(self.palette.terms), width, 1, bias=False)
        with torch.no_grad():
            self.colors.weight.zero_()
            for shade, term in enumerate(self.palette.terms):
                if term in self.terms:
                    self.colors.weight[self.terms.index(term), shade] = NAMED
        self.position = nn.Parameter(0.02 * torch.randn(1, self.patches, width))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features (B, P, W) of pixels (B, 3, S, S)."""
        shapes = self.blocks(self.stages(pixels))
        colors = self.colors(self.palette(1 + pixels / 2))
        features: Tensor = shapes + colors
        return features.flatten(2).transpose(1, 2) + self.position


class _Residual(nn.Module):
    """Adds to each place a convolution of it and its neighbours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.mix = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, places: Tensor) -> Tensor:
        """Return places (B, W, h, w) refined."""
        mixed: Tensor = self.mix(functional.gelu(self.norm(places)))
        return places + mixed


def _stage(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
        nn.GroupNorm(GROUPS, after),
        nn.GELU(),
    )


def build_tower(config: ModelConfig) -> VisionTower:
    """Return the tower that config names: a frozen one, or the small one where it names none.

    Raises:
        UserError: the tower cannot be read whole.
        UsageError: impossible sizes.
    """
    if config.vision is not None:
        return load_frozen(config.vision)
    size, patch, width = config.image_size, config.patch_size, config.vision_width
    if patch < 4 or patch & (patch - 1) or size % patch:
        raise UsageError(
            f"patch_size is {patch} and image_size {size}; give a power of two from 4 on, "
            "and a multiple of it."
        )
    if width % GROUPS:
        raise UsageError(f"vision_width is {width}; give a multiple of {GROUPS}.")
    return SmallTower(size, patch, width, config.vision_layers)
