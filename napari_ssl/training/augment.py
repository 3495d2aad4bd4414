"""Augmentation of whole batches on the device: one affine and elastic resampling, then intensities.

``paper`` is what Bai 2017 (Sec. 3.2) names: translation, rotation, scaling and intensity rescaling; the amounts are
open in the paper. ``strong`` follows nnU-Net (Isensee et al. 2021). Hearts are never mirrored: the side on which the
right ventricle lies is anatomy.

All random numbers come from the generator that is passed (on the CPU), so that a run repeats and resumes exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from napari_ssl.errors import CatalogueError

__all__ = ["RECIPES", "Recipe", "augment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Amounts; a standard deviation (SD) means normal draws cut at three of them, p a probability per slice."""

    shift_sd_px: float = 0.0
    rotation_sd_deg: float = 0.0
    log_scale_sd: float = 0.0
    elastic_sd_px: float = 0.0
    elastic_p: float = 0.0
    intensity_sd: float = 0.0
    brightness_sd: float = 0.0
    gamma_p: float = 0.0
    contrast_p: float = 0.0
    noise_p: float = 0.0
    blur_p: float = 0.0
    low_resolution_p: float = 0.0


RECIPES: dict[str, Recipe | None] = {
    "none": None,
    "paper": Recipe(shift_sd_px=10, rotation_sd_deg=10, log_scale_sd=0.1, intensity_sd=0.1),
    "strong": Recipe(
        shift_sd_px=10,
        rotation_sd_deg=20,
        log_scale_sd=0.15,
        elastic_sd_px=3,
        elastic_p=0.3,
        intensity_sd=0.1,
        brightness_sd=0.05,
        gamma_p=0.3,
        contrast_p=0.15,
        noise_p=0.1,
        blur_p=0.15,
        low_resolution_p=0.15,
    ),
}
_ELASTIC_NODES = 7


def augment(images: Tensor, classes: Tensor, *, name: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Transform a batch; image and classes move together.

    Parameters
    ----------
    images : Tensor (B, C, Y, X) float32
        Intensities in [0, 1]; what moves in from outside is 0.
    classes : Tensor (B, Y, X) uint8
        What moves in from outside is background.
    name : {"none", "paper", "strong"}
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    images, classes : Tensor
        New tensors of the same shapes and types; the arguments themselves for ``none``. Images may leave [0, 1].
    """
    if name not in RECIPES:
        raise CatalogueError(f"no augmentation {name!r}; there are: {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    if recipe is None:
        return images, classes
    with torch.no_grad():
        grid = _grid(images, recipe, generator)
        moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        labels = functional.grid_sample(
            classes[:, None].to(images.dtype), grid, mode="nearest", padding_mode="zeros", align_corners=False
        )
        return _intensities(moved, recipe, generator), labels[:, 0].to(classes.dtype)


def _normal(shape: tuple[int, ...], sd: float, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator).clamp_(-3, 3) * sd


def _chosen(n: int, probability: float, generator: torch.Generator, device: torch.device) -> Tensor:
    """Return the indices of the slices that an effect is applied to."""
    return torch.nonzero(torch.rand(n, generator=generator) < probability)[:, 0].to(device)


def _uniform(n: int, low: float, high: float, generator: torch.Generator, device: torch.device) -> Tensor:
    return (low + (high - low) * torch.rand(n, generator=generator)).to(device)[:, None, None, None]


def _grid(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Sampling positions ``(B, Y, X, 2)`` in the coordinates of `grid_sample` (−1 to 1, edge to edge)."""
    n, _, height, width = images.shape
    angle = _normal((n,), math.radians(recipe.rotation_sd_deg), generator)
    zoom = torch.exp(_normal((n,), recipe.log_scale_sd, generator))
    shift = _normal((n, 2), recipe.shift_sd_px, generator)
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    device, dtype = images.device, images.dtype
    x = _positions(width, device, dtype)[None, None, :]
    y = _positions(height, device, dtype)[None, :, None]
    # Rotation acts on pixels; the coordinates are per half axis, hence the ratios. Written out instead of
    # `affine_grid`, whose products of tiny matrices cost more than the sampling.
    terms = torch.stack(
        [
            cosine,
            sine * width / height,
            -sine * height / width,
            cosine,
            shift[:, 0] * 2 / width,
            shift[:, 1] * 2 / height,
        ]
    ).to(device)[..., None, None]
    # Stored with the two coordinates apart, which is faster to fill and to sample by.
    grid = torch.empty((n, 2, height, width), device=device, dtype=dtype)
    torch.add(terms[0] * x, terms[2] * y + terms[4], out=grid[:, 0])
    torch.add(terms[1] * x, terms[3] * y + terms[5], out=grid[:, 1])
    bent = _chosen(n, recipe.elastic_p, generator, device)
    if len(bent):
        grid[bent] += _bending(len(bent), recipe.elastic_sd_px, (height, width), generator, device)
    return grid.permute(0, 2, 3, 1)


def _positions(n: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Centres of `n` pixels on an axis from −1 to 1."""
    return (torch.arange(n, device=device, dtype=dtype) * 2 + 1) / n - 1


def _bending(
    n: int, sd_px: float, size_yx: tuple[int, int], generator: torch.Generator, device: torch.device
) -> Tensor:
    """Smooth random displacements ``(B, 2, Y, X)``: a coarse grid of nodes, cubic in between along each axis."""
    nodes = _normal((n, 2, _ELASTIC_NODES, _ELASTIC_NODES), sd_px * 2, generator)
    nodes /= torch.tensor([size_yx[1], size_yx[0]])[:, None, None]
    unit = torch.eye(_ELASTIC_NODES)[None, None]
    along_y, along_x = (
        functional.interpolate(unit, size=(size, _ELASTIC_NODES), mode="bicubic", align_corners=False)[0, 0].to(device)
        for size in size_yx
    )
    return along_y @ nodes.to(device) @ along_x.T


def _intensities(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Change intensities in place and return the images."""
    n, device = len(images), images.device
    factor = 1 + _normal((n,), recipe.intensity_sd, generator)
    offset = _normal((n,), recipe.brightness_sd, generator)
    images.mul_(factor.to(device)[:, None, None, None]).add_(offset.to(device)[:, None, None, None])
    chosen = _chosen(n, recipe.gamma_p, generator, device)
    if len(chosen):
        exponent = _uniform(len(chosen), 0.7, 1.5, generator, device)
        images[chosen] = images[chosen].clamp(0, 1) ** exponent
    chosen = _chosen(n, recipe.contrast_p, generator, device)
    if len(chosen):
        part = images[chosen]
        mean = part.mean(dim=(2, 3), keepdim=True)
        images[chosen] = (part - mean) * _uniform(len(chosen), 0.75, 1.25, generator, device) + mean
    chosen = _chosen(n, recipe.blur_p, generator, device)
    if len(chosen):
        images[chosen] = _blur(images[chosen], 0.5 + float(torch.rand(1, generator=generator)))
    chosen = _chosen(n, recipe.low_resolution_p, generator, device)
    if len(chosen):
        scale = 0.5 + 0.5 * float(torch.rand(1, generator=generator))
        images[chosen] = _low_resolution(images[chosen], scale)
    return _noise(images, recipe.noise_p, generator)


def _noise(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    chosen = _chosen(len(images), probability, generator, images.device)
    if len(chosen):
        seed = int(torch.randint(2**31, (1,), generator=generator))
        own = torch.Generator(images.device).manual_seed(seed)
        part = images[chosen]
        noise = torch.randn(part.shape, generator=own, device=images.device, dtype=images.dtype)
        images[chosen] = part + noise * _uniform(len(chosen), 0.0, 0.1, generator, images.device)
    return images


def _blur(images: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur of ``(B, C, Y, X)``, reflected at the border."""
    radius = max(1, math.ceil(2.5 * sigma_px))
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    n, channels, height, width = images.shape
    flat = functional.pad(images.reshape(n * channels, 1, height, width), (radius,) * 4, mode="reflect")
    flat = functional.conv2d(flat, kernel[None, None, None, :])
    return functional.conv2d(flat, kernel[None, None, :, None]).reshape(images.shape)


def _low_resolution(images: Tensor, scale: float) -> Tensor:
    """Shrink by `scale` (nearest neighbour) and enlarge again (bilinear), as in nnU-Net."""
    size = images.shape[-2:]
    small = functional.interpolate(images, size=[max(1, round(s * scale)) for s in size], mode="nearest-exact")
    return functional.interpolate(small, size=size, mode="bilinear", align_corners=False)
