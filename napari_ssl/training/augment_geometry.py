"""Where augmented samples take their values from: positions in the coordinates of `grid_sample`, −1 to 1, edge to edge.

In the plane the distortion of a grid's cells comes first, radial distortion next, then rotation, scaling and shift,
and smooth bending last; all in one resampling. Mirror images and quarter turns only move whole pixels and are exact.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from napari_ssl.training.augment_random import chosen, normal, uniform
from napari_ssl.training.recipes import Recipe

__all__ = [
    "cell_distortion",
    "mirrored",
    "nearest_in_plane",
    "plane_grid",
    "positions",
    "radial_factor",
    "volume_grid",
]

_ELASTIC_NODES = 7
_CELLS = 5  # per axis, as in Albumentations


def positions(n: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Centres of `n` pixels on an axis from −1 to 1."""
    return (torch.arange(n, device=device, dtype=dtype) * 2 + 1) / n - 1


def mirrored(images: Tensor, classes: Tensor, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror and turn samples ``(B, C, Y, X)`` and ``(B, M, Y, X)``; quarter turns only where they are square."""
    device = images.device
    moves = [(recipe.mirror_x_p, lambda t: t.flip(-1)), (recipe.mirror_y_p, lambda t: t.flip(-2))]
    if images.shape[-1] == images.shape[-2]:
        moves.append((recipe.quarter_turn_p, lambda t: t.rot90(1, (-2, -1))))
    if not any(p for p, _ in moves):
        return images, classes
    images, classes = images.clone(), classes.clone()
    for probability, move in moves:
        picked = chosen(len(images), probability, generator, device)
        if len(picked):
            images[picked], classes[picked] = move(images[picked]), move(classes[picked])
    return images, classes


def cell_distortion(n_pixels: int, steps: Tensor) -> Tensor:
    """Positions ``(B, n)`` when the cells of an axis have relative sizes `steps` ``(B, cells)``; ends stay in place.

    Inside a cell positions are linear (Albumentations, GridDistortion, normalised).
    """
    n_cells = steps.shape[1]
    ends = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(dim=1)], dim=1)
    ends = ends / ends[:, -1:] * 2 - 1
    place = (positions(n_pixels, steps.device, steps.dtype) + 1) / 2 * n_cells
    cell = place.floor().clamp(max=n_cells - 1).long()
    return ends[:, cell] + (place - cell) * (ends[:, cell + 1] - ends[:, cell])


def radial_factor(x: Tensor, y: Tensor, k: Tensor, ratio: float) -> Tensor:
    """Return 1 + k r² + k r⁴ by which positions are multiplied, r in widths (Albumentations, OpticalDistortion).

    Parameters
    ----------
    x, y : Tensor
        Positions from −1 to 1; broadcast against each other and `k`.
    k : Tensor
        Coefficient of each sample.
    ratio : float
        Height over width.
    """
    squared = (x / 2) ** 2 + (y / 2 * ratio) ** 2
    return torch.addcmul(squared, squared, squared).mul_(k).add_(1)


def plane_grid(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Sampling positions ``(B, Y, X, 2)`` of ``(B, C, Y, X)``."""
    n, _, height, width = images.shape
    cosine, sine = _rotation(n, recipe, generator)
    shift = normal((n, 2), recipe.shift_sd_px, generator)
    device, dtype = images.device, images.dtype
    x = positions(width, device, dtype)[None, None, :]
    y = positions(height, device, dtype)[None, :, None]
    x, y = _stretched(x, y, n, recipe, generator)
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
    barrelled = chosen(n, recipe.optical_p, generator, device)
    if len(barrelled):  # rotation and scaling are linear, so the factor may come after them
        k = uniform((len(barrelled), 1, 1), -recipe.optical_limit, recipe.optical_limit, generator).to(device)
        factor = radial_factor(*(t.expand(n, -1, -1)[barrelled] for t in (x, y)), k, height / width)
        middle = terms[4:].transpose(0, 1)[barrelled]
        grid[barrelled] = torch.lerp(middle, grid[barrelled], factor[:, None])
    bent = chosen(n, recipe.elastic_p, generator, device)
    if len(bent):
        for i, bending in zip(
            bent.tolist(), _bending(len(bent), recipe.elastic_sd_px, (height, width), generator, device), strict=True
        ):
            grid[i] += bending
    return grid.permute(0, 2, 3, 1)


def _rotation(n: int, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angles in the plane, times the zoom ``(n,)``."""
    angle = normal((n,), math.radians(recipe.rotation_sd_deg), generator)
    zoom = torch.exp(normal((n,), recipe.log_scale_sd, generator))
    if recipe.rotation_p:
        limit = math.radians(recipe.rotation_limit_deg)
        turned = torch.rand(n, generator=generator) < recipe.rotation_p
        angle = angle + uniform((n,), -limit, limit, generator) * turned
    return torch.cos(angle) * zoom, torch.sin(angle) * zoom


def _stretched(x: Tensor, y: Tensor, n: int, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions ``(1 or n, 1, X)`` and ``(1 or n, Y, 1)`` after the distortion of cells."""
    if not recipe.grid_p:
        return x, y
    picked = (torch.rand(n, generator=generator) < recipe.grid_p)[:, None]
    changes = [uniform((n, _CELLS), -recipe.grid_limit, recipe.grid_limit, generator) for _ in range(2)]
    along_x, along_y = ((1 + change * picked).to(x.device) for change in changes)
    return cell_distortion(x.shape[2], along_x)[:, None, :], cell_distortion(y.shape[1], along_y)[:, :, None]


def _bending(
    n: int, sd_px: float, size_yx: tuple[int, int], generator: torch.Generator, device: torch.device
) -> Tensor:
    """Smooth random displacements ``(B, 2, Y, X)``: a coarse grid of nodes, cubic in between along each axis."""
    nodes = normal((n, 2, _ELASTIC_NODES, _ELASTIC_NODES), sd_px * 2, generator)
    nodes /= torch.tensor([size_yx[1], size_yx[0]])[:, None, None]
    unit = torch.eye(_ELASTIC_NODES)[None, None]
    along_y, along_x = (
        functional.interpolate(unit, size=(size, _ELASTIC_NODES), mode="bicubic", align_corners=False)[0, 0].to(device)
        for size in size_yx
    )
    return along_y @ nodes.to(device) @ along_x.T


def nearest_in_plane(classes: Tensor, grid: Tensor) -> Tensor:
    """What `grid_sample` takes from ``(B, M, Y, X)`` by nearest neighbour, 0 outside; the type stays, in half the time.

    Parameters
    ----------
    grid : Tensor (B, Y, X, 2)
        Positions from −1 to 1.
    """
    n, _, height, width = classes.shape
    x, y = (
        grid[..., axis].mul(size / 2).add_((size - 1) / 2).round_().clamp_(-1, size)
        for axis, size in ((0, width), (1, height))
    )
    index = torch.add(x, y, alpha=width + 2).add_(width + 3).int()  # into the map with a border of background
    bordered = functional.pad(classes, (1, 1, 1, 1)).transpose(0, 1).flatten(1)
    first = torch.arange(n, device=grid.device, dtype=torch.int32) * ((height + 2) * (width + 2))
    index += first[:, None, None]
    taken = [of_channel.index_select(0, index.flatten()).reshape(index.shape) for of_channel in bordered]
    return torch.stack(taken, dim=1)


def volume_grid(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Sampling positions ``(B, Z, Y, X, 3)`` of ``(B, C, Z, Y, X)``: turned about all three axes, bent along them.

    Amounts along Z are those of the plane times depth over width.
    """
    n, _, depth, height, width = images.shape
    device, dtype = images.device, images.dtype
    cosine, sine = _rotation(n, recipe, generator)
    flat = depth / width
    tilt = normal((n, 2), math.radians(recipe.rotation_sd_deg), generator)
    zeros, ones = torch.zeros(n), torch.ones(n)
    zoom = torch.sqrt(cosine**2 + sine**2)
    in_plane = _matrices([cosine, -sine, zeros, sine, cosine, zeros, zeros, zeros, zoom])
    c, s = torch.cos(tilt), torch.sin(tilt)
    about_x = _matrices([ones, zeros, zeros, zeros, c[:, 0], -s[:, 0], zeros, s[:, 0], c[:, 0]])
    about_y = _matrices([c[:, 1], zeros, s[:, 1], zeros, ones, zeros, -s[:, 1], zeros, c[:, 1]])
    size = torch.tensor([width, height, depth], dtype=torch.float32)
    turned = (in_plane @ about_x @ about_y * (size[None, :] / size[:, None])).to(device, dtype)
    shift = normal((n, 3), recipe.shift_sd_px, generator) * torch.tensor([1.0, 1.0, flat]) * 2 / size
    axes = (
        positions(width, device, dtype)[None, None, None, :],
        positions(height, device, dtype)[None, None, :, None],
        positions(depth, device, dtype)[None, :, None, None],
    )
    terms, offsets = turned[..., None, None, None], shift.to(device, dtype)[..., None, None, None]
    grid = torch.stack([sum((terms[:, i, j] * axes[j] for j in range(3)), offsets[:, i]) for i in range(3)], dim=1)
    bent = chosen(n, recipe.elastic_p, generator, device)
    if len(bent):
        nodes = normal((len(bent), 3, *(_ELASTIC_NODES,) * 3), recipe.elastic_sd_px * 2, generator)
        nodes *= (torch.tensor([1.0, 1.0, flat]) / size)[:, None, None, None]
        grid[bent] += functional.interpolate(
            nodes.to(device, dtype), size=(depth, height, width), mode="trilinear", align_corners=False
        )
    return grid.permute(0, 2, 3, 4, 1)


def _matrices(entries: list[Tensor]) -> Tensor:
    return torch.stack(entries, dim=1).reshape(-1, 3, 3)
