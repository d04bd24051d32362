"""The colours of a picture as shares of named ones, which an encoder of text can begin from.

A few hundred pictures teach shapes but hardly every shade that people call blue. Names of colours
are known, and the encoder has vectors of their words.
"""

from __future__ import annotations

import torch
from PIL import ImageColor
from torch import Tensor, nn
from torch.nn import functional

TERMS = (
    *("black", "white", "gray", "red", "orange", "yellow"),
    *("green", "blue", "purple", "pink", "brown"),
)
"""English's basic colour terms (Berlin and Kay, 1969)."""
GROUND = 0.965  # what is lighter than this in every channel is the ground of a picture on white
LIGHTNESS = 0.5  # weight of lightness beside hue: light and shadow change it, not the colour's name
SPREAD = 5.0  # distance in CIELAB within which names are shared


def named_shades() -> list[tuple[str, tuple[float, float, float]]]:
    """Return (term, RGB in [0, 1]) of each CSS colour whose name ends with a basic term."""
    return [
        (term, tuple(channel / 255 for channel in ImageColor.getrgb(name)[:3]))  # type: ignore[misc]
        for name in ImageColor.colormap
        for term in TERMS
        if name.endswith(term)
    ]


class Palette(nn.Module):
    """The share of each patch that has each named shade; nothing in it is learned."""

    shades: Tensor

    def __init__(self, patch: int) -> None:
        super().__init__()
        named = named_shades()
        self.terms = tuple(term for term, _ in named)
        self.cell = max(1, patch // 8)
        self.patch = patch
        rgb = torch.tensor([color for _, color in named])
        shades = lab(rgb[:, :, None, None])[:, :, 0, 0]
        self.register_buffer("shades", shades, persistent=False)

    @torch.no_grad()
    def forward(self, rgb: Tensor) -> Tensor:
        """Return the roots of shares (B, K, S / patch, S / patch) of rgb (B, 3, S, S) in [0, 1].

        Roots, so that a shade that covers little is not lost beside what covers much. The shares
        of a patch and its white ground sum to 1. They come in rgb's own type.
        """
        with torch.autocast(rgb.device.type, enabled=False):
            given, exact = rgb.dtype, torch.promote_types(rgb.dtype, torch.float32)
            rgb = functional.avg_pool2d(rgb.to(exact), self.cell)
            colors, shades = lab(rgb), self.shades.to(exact)
            squares = (colors**2).sum(1, keepdim=True) + (shades**2).sum(1)[:, None, None]
            distances = squares - 2 * torch.einsum("bchw,kc->bkhw", colors, shades)
            shares = (-distances / (2 * SPREAD**2)).softmax(1)
            shares = shares * (rgb.amin(1, keepdim=True) <= GROUND)
            return functional.avg_pool2d(shares, self.patch // self.cell).sqrt().to(given)


def lab(rgb: Tensor) -> Tensor:
    """Return CIELAB (B, 3, H, W), lightness scaled by LIGHTNESS, of sRGB (B, 3, H, W) in [0, 1]."""
    rgb = rgb.clamp(0, 1)
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = rgb.new_tensor(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    white = rgb.new_tensor([0.95047, 1.0, 1.08883]).view(1, 3, 1, 1)
    xyz = torch.einsum("bchw,kc->bkhw", linear, to_xyz) / white
    root = torch.where(xyz > 0.008856, xyz.clamp_min(1e-9) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = root.unbind(1)
    return torch.stack([LIGHTNESS * (116 * y - 16), 500 * (x - y), 200 * (y - z)], dim=1)
