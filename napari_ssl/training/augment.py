"""Augmentation of whole batches on the device: one resampling for all that moves, then intensities.

All random numbers come from the generator that is passed (on the CPU), so that a run repeats and resumes exactly.

Volumes are moved in their planes, all slices of a patch alike, where the patch is more than three times as wide as
deep, since its voxels are then far from cubes (as in nnU-Net, Isensee et al. 2021); deeper ones are turned, shifted and
bent along all axes. The distortions that `napari_ssl.training.recipes` has from Albumentations stay in the plane.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_ssl.errors import CatalogueError
from napari_ssl.training.augment_geometry import mirrored, nearest_in_plane, plane_grid, volume_grid
from napari_ssl.training.augment_intensity import change_intensities, to_unit_range
from napari_ssl.training.recipes import RECIPES, Recipe

__all__ = ["RECIPES", "Recipe", "augment"]

_WIDE = 3
_EXACT_BELOW = 2**24
"""Whole numbers that single precision tells apart."""


def augment(images: Tensor, classes: Tensor, *, name: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Transform a batch; image and classes move together.

    Parameters
    ----------
    images : Tensor (B, C, Y, X) or (B, C, Z, Y, X) float32
        Intensities in [0, 1] or z-scores; what moves in from outside is 0, or the sample's lowest value below 0.
    classes : Tensor (B, Y, X) or (B, Z, Y, X) uint8
        What moves in from outside is background.
    name : {"none", "paper", "strong", "rotation-flips", "albumentations"}
        The last two mirror and are for organs in CT, never for hearts.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    images, classes : Tensor
        New tensors of the same shapes and types; the arguments themselves for ``none``. Images may leave their range.

    Raises
    ------
    CatalogueError
        An unknown recipe.
    """
    if name not in RECIPES:
        raise CatalogueError(f"no augmentation {name!r}; there are: {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    if recipe is None:
        return images, classes
    with torch.no_grad():
        # Slices of a volume are channels of one picture: what moves a picture moves them alike.
        flat = images.flatten(1, -3)
        flat_classes = classes.flatten(1, -3) if classes.ndim == 4 else classes[:, None]
        flat, offset, scale = to_unit_range(flat)
        flat, flat_classes = mirrored(flat, flat_classes, recipe, generator)
        if images.ndim == 5 and images.shape[-1] <= _WIDE * images.shape[2] and not _is_flat(recipe):
            volumes, labels = flat.reshape(images.shape), flat_classes.reshape(classes.shape)[:, None]
            moved, labels = _sampled(volumes, labels, volume_grid(volumes, recipe, generator))
            moved = moved.flatten(1, -3)
        else:
            moved, labels = _sampled(flat, flat_classes, plane_grid(flat, recipe, generator))
        moved = change_intensities(moved, recipe, generator)
        if bool((offset < 0).any()):
            moved = moved * scale + offset
        return moved.reshape(images.shape), labels.reshape(classes.shape).to(classes.dtype)


def _is_flat(recipe: Recipe) -> bool:
    """Whether a recipe has distortions that are of the plane alone."""
    return recipe.grid_p > 0 or recipe.optical_p > 0 or recipe.rotation_p > 0


def _sampled(images: Tensor, classes: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    n_pixels = (classes.shape[-2] + 2) * (classes.shape[-1] + 2)
    if grid.ndim == 4 and n_pixels < _EXACT_BELOW and n_pixels * len(classes) < 2**31:
        return moved, nearest_in_plane(classes, grid)
    labels = functional.grid_sample(
        classes.to(images.dtype), grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    return moved, labels
