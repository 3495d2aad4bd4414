"""Swin-Unet: Cao et al., Swin-Unet: Unet-like pure transformer for medical image segmentation, 2021, as Zhu and Tian,
FLARE 2022, use it (27.17 M parameters, 6.19 GFLOPs at 3×224×224).

Patches of 4×4 pixels become tokens of 96 channels. Down: stages of two Swin blocks (attention within windows of 7×7
tokens, shifted by 3 in every second block; Liu et al., ICCV 2021), patch merging halves the resolution and doubles the
channels. Up: patch expanding does the reverse; the tokens of the same resolution are concatenated and reduced to half
the channels, then two blocks again. At the end patches expand fourfold and a 1×1 convolution classifies pixels.
Depths 2, 2, 2, 2, heads 3, 6, 12, 24, MLP ratio 4, stochastic depth rising to 0.2; truncated-normal initialisation
(standard deviation 0.02, biases 0: Zhu and Tian, Tables 2 and 3, and the public code).

Open, settled here
    The public configuration lists decoder depths 2, 2, 2, 1; the 1 is the coarsest step up, patch expanding alone: so
    the parameters come to the published number.
    FLOPs are multiply-adds, as the counter that the challenge names counts them.

Departures
    Images of any size: padded to multiples of 32 pixels, and tokens in every stage to whole windows, which the
    attention leaves out. No weights from ImageNet, as in Zhu and Tian. Images with one channel have patches with one
    channel; they are not repeated to three.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import DropPath
from torch import Tensor, nn

from napari_ssl.core.catalogue import SwinUnetParameters
from napari_ssl.networks.encoder_decoder import EncoderDecoder
from napari_ssl.networks.swin_attention import WindowAttention

__all__ = ["SwinUnet", "build"]

_PATCH = 4
_DEPTHS = (2, 2, 2, 2)
_HEADS = (3, 6, 12, 24)
_MLP_RATIO = 4


class _Block(nn.Module):
    """Attention within windows, then a perceptron, each around a residual connection; ``(B, Y, X, C)``."""

    def __init__(self, width: int, n_heads: int, *, is_shifted: bool, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = WindowAttention(width, n_heads, is_shifted=is_shifted)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.norm2 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, _MLP_RATIO * width), nn.GELU(), nn.Linear(_MLP_RATIO * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attention(self.norm1(x)))
        return x + self.drop_path(self.perceptron(self.norm2(x)))


class _Merge(nn.Module):
    """Patch merging: 2×2 tokens become one of twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        four = [x[:, y::2, z::2] for z in (0, 1) for y in (0, 1)]
        return self.reduce(self.norm(torch.cat(four, dim=-1)))


class _Expand(nn.Module):
    """Patch expanding: one token becomes `scale` × `scale` of `n_out` channels."""

    def __init__(self, n_in: int, n_out: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.expand = nn.Linear(n_in, scale * scale * n_out, bias=False)
        self.norm = nn.LayerNorm(n_out)

    def forward(self, x: Tensor) -> Tensor:
        n, y, x_size, _ = x.shape
        s = self.scale
        tokens = self.expand(x).view(n, y, x_size, s, s, -1).permute(0, 1, 3, 2, 4, 5)
        return self.norm(tokens.reshape(n, y * s, x_size * s, -1))


def _stage(width: int, n_heads: int, rates: Sequence[float]) -> nn.Sequential:
    return nn.Sequential(
        *(_Block(width, n_heads, is_shifted=bool(n % 2), drop_path=rate) for n, rate in enumerate(rates))
    )


class SwinUnet(EncoderDecoder):
    """Maps ``(B, C, Y, X)`` to logits ``(B, K, Y, X)``.

    Parameters
    ----------
    in_channels, n_classes : int
    parameters : SwinUnetParameters
    """

    multiple = _PATCH * 2 ** (len(_DEPTHS) - 1)

    def __init__(self, *, in_channels: int, n_classes: int, parameters: SwinUnetParameters) -> None:
        super().__init__()
        n, base = len(_DEPTHS), parameters.embedding
        widths = [base * 2**level for level in range(n)]
        drops = torch.linspace(0, parameters.drop_path, sum(_DEPTHS), device="cpu").tolist()
        rates = [drops[sum(_DEPTHS[:level]) : sum(_DEPTHS[: level + 1])] for level in range(n)]
        self.embed = nn.Conv2d(in_channels, base, _PATCH, stride=_PATCH)
        self.embed_norm = nn.LayerNorm(base)
        self.down = nn.ModuleList(_stage(widths[level], _HEADS[level], rates[level]) for level in range(n))
        self.merge = nn.ModuleList(_Merge(width) for width in widths[:-1])
        self.bottom_norm = nn.LayerNorm(widths[-1])
        finer = list(reversed(range(n - 1)))
        self.expand_by_2 = nn.ModuleList(_Expand(widths[level + 1], widths[level], 2) for level in finer)
        self.join = nn.ModuleList(nn.Linear(2 * widths[level], widths[level]) for level in finer)
        self.up = nn.ModuleList(_stage(widths[level], _HEADS[level], rates[level]) for level in finer)
        self.up_norm = nn.LayerNorm(base)
        self.expand_by_4 = _Expand(base, base, _PATCH)
        self.head = nn.Conv2d(base, n_classes, 1, bias=False)
        self.apply(_initialise)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the tokens that every stage down takes, and what the last gives: ``(B, F, Y, X)``, finest first."""
        self.check_size(images)
        x = self.embed_norm(self.embed(images).permute(0, 2, 3, 1))
        features = []
        for stage, merge in zip(self.down, self.merge, strict=False):
            features.append(x)
            x = merge(stage(x))
        features.append(self.bottom_norm(self.down[-1](x)))
        return [f.permute(0, 3, 1, 2) for f in features]

    def expand(self, features: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the pixels' channels in front of the last convolution."""
        *skips, x = (f.permute(0, 2, 3, 1) for f in features)
        for expand, join, stage, skip in zip(self.expand_by_2, self.join, self.up, reversed(skips), strict=True):
            x = stage(join(torch.cat([expand(x), skip], dim=-1)))
        return self.expand_by_4(self.up_norm(x)).permute(0, 3, 1, 2), ()

    def classify(self, embedding: Tensor) -> Tensor:
        """1×1 convolution."""
        return self.head(embedding)


def _initialise(module: nn.Module) -> None:
    """Truncated normal, biases 0."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(*, in_channels: int, n_classes: int, parameters: SwinUnetParameters, dimensions: int = 2) -> SwinUnet:
    """Build the network with random weights; it knows slices alone, `dimensions` is always 2."""
    return SwinUnet(in_channels=in_channels, n_classes=n_classes, parameters=parameters)
