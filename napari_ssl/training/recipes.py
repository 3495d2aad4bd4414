"""Recipes of augmentation: which effects, how much, how often.

``paper`` is what Bai 2017 (Sec. 3.2) names: translation, rotation, scaling and intensity rescaling; the amounts are
open in the paper. ``strong`` follows nnU-Net (Isensee et al. 2021). Neither mirrors: the side on which the right
ventricle lies is anatomy.

``rotation-flips`` and ``albumentations`` mirror, as their papers did, and are for organs in CT alone. The first is
"random rotate and random flip" (Zhu 2022, Sec. 3.2) with the amounts of its network's public programs: quarter turns
and mirror images for half of the slices, ±20° for half. The second is what Baldeon Calisto 2022 (Sec. 3.4) names:
horizontal and vertical flip, rotation up to ±90°, elastic, grid and optical distortion, with the probabilities and
limits that are the defaults of Albumentations (Buslaev et al. 2020); that library's default elastic displacement is
too small to see, here it has a standard deviation of 4 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Amounts; a standard deviation (SD) means normal draws cut at three of them, p a probability per sample.

    `rotation_limit_deg` is drawn evenly, in either direction; `grid_limit` is the largest relative change of a cell's
    side, `optical_limit` the largest coefficient of radial distortion.
    """

    mirror_x_p: float = 0.0
    mirror_y_p: float = 0.0
    quarter_turn_p: float = 0.0
    shift_sd_px: float = 0.0
    rotation_sd_deg: float = 0.0
    rotation_limit_deg: float = 0.0
    rotation_p: float = 0.0
    log_scale_sd: float = 0.0
    elastic_sd_px: float = 0.0
    elastic_p: float = 0.0
    grid_limit: float = 0.0
    grid_p: float = 0.0
    optical_limit: float = 0.0
    optical_p: float = 0.0
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
    "rotation-flips": Recipe(mirror_x_p=0.5, mirror_y_p=0.5, quarter_turn_p=0.5, rotation_limit_deg=20, rotation_p=0.5),
    "albumentations": Recipe(
        mirror_x_p=0.5,
        mirror_y_p=0.5,
        rotation_limit_deg=90,
        rotation_p=0.5,
        elastic_sd_px=4,
        elastic_p=0.5,
        grid_limit=0.3,
        grid_p=0.5,
        optical_limit=0.05,
        optical_p=0.5,
    ),
}
