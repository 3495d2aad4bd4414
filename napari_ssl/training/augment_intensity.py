"""Intensities of whole batches: contrast, brightness, gamma, blur, low resolution, noise.

Amounts are meant for a range of [0, 1]. Samples with values below 0 are z-scores: they are brought to [0, 1] by their
own range for the while (`to_unit_range`). Volumes come with their slices as channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from napari_ssl.training.augment_random import chosen, normal, per_sample
from napari_ssl.training.recipes import Recipe

__all__ = ["change_intensities", "to_unit_range"]


def to_unit_range(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``(B, C, Y, X)`` with z-scored samples brought to [0, 1], and offset and scale ``(B, 1, 1, 1)`` back.

    Samples without values below 0 have offset 0 and scale 1 and stay as they are.
    """
    low = images.amin(dim=(1, 2, 3), keepdim=True).clamp(max=0)
    if not (low < 0).any():
        return images, low, torch.ones_like(low)
    spread = images.amax(dim=(1, 2, 3), keepdim=True) - low
    scale = torch.where((low < 0) & (spread > 0), spread, torch.ones_like(low))
    return (images - low) / scale, low, scale


def change_intensities(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Change intensities of ``(B, C, Y, X)`` in place and return the images, which may leave [0, 1]."""
    n, device = len(images), images.device
    factor = 1 + normal((n,), recipe.intensity_sd, generator)
    offset = normal((n,), recipe.brightness_sd, generator)
    images.mul_(factor.to(device)[:, None, None, None]).add_(offset.to(device)[:, None, None, None])
    picked = chosen(n, recipe.gamma_p, generator, device)
    if len(picked):
        exponent = per_sample(len(picked), 0.7, 1.5, generator, device)
        images[picked] = images[picked].clamp_(0, 1).log_().mul_(exponent).exp_()  # a power, in half its time
    picked = chosen(n, recipe.contrast_p, generator, device)
    if len(picked):
        part = images[picked]
        mean = part.mean(dim=(1, 2, 3), keepdim=True)
        images[picked] = (part - mean) * per_sample(len(picked), 0.75, 1.25, generator, device) + mean
    picked = chosen(n, recipe.blur_p, generator, device)
    if len(picked):
        images[picked] = _blur(images[picked], 0.5 + float(torch.rand(1, generator=generator)))
    picked = chosen(n, recipe.low_resolution_p, generator, device)
    if len(picked):
        scale = 0.5 + 0.5 * float(torch.rand(1, generator=generator))
        images[picked] = _low_resolution(images[picked], scale)
    return _noise(images, recipe.noise_p, generator)


def _noise(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    picked = chosen(len(images), probability, generator, images.device)
    if len(picked):
        seed = int(torch.randint(2**31, (1,), generator=generator))
        own = torch.Generator(images.device).manual_seed(seed)
        part = images[picked]
        noise = torch.randn(part.shape, generator=own, device=images.device, dtype=images.dtype)
        images[picked] = part + noise * per_sample(len(picked), 0.0, 0.1, generator, images.device)
    return images


def _blur(images: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur of ``(B, C, Y, X)``, reflected at the border."""
    radius = max(1, math.ceil(2.5 * sigma_px))
    kernel = [math.exp(-0.5 * (offset / sigma_px) ** 2) for offset in range(radius + 1)]
    total = kernel[0] + 2 * sum(kernel[1:])
    height, width = images.shape[-2:]
    # Sums of shifted pictures: torch's convolution of a single channel takes four times as long.
    padded = functional.pad(images, (radius,) * 4, mode="reflect")
    rows = padded.narrow(-1, radius, width) * (kernel[0] / total)
    for offset in range(1, radius + 1):
        for start in (radius - offset, radius + offset):
            rows.add_(padded.narrow(-1, start, width), alpha=kernel[offset] / total)
    blurred = rows.narrow(-2, radius, height) * (kernel[0] / total)
    for offset in range(1, radius + 1):
        for start in (radius - offset, radius + offset):
            blurred.add_(rows.narrow(-2, start, height), alpha=kernel[offset] / total)
    return blurred


def _low_resolution(images: Tensor, scale: float) -> Tensor:
    """Shrink by `scale` (nearest neighbour) and enlarge again (bilinear), as in nnU-Net."""
    size = images.shape[-2:]
    small = functional.interpolate(images, size=[max(1, round(s * scale)) for s in size], mode="nearest-exact")
    return functional.interpolate(small, size=size, mode="bilinear", align_corners=False)
