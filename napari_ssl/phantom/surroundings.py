"""What lies around the phantom heart: chest wall, lungs with vessels, liver, stomach, spine and descending aorta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Appearance", "Surroundings", "coil_shading", "random_appearance", "random_surroundings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """Signal of the tissues on a bSSFP cine, 0 to 255 before shading, and the standard deviation of the noise."""

    blood: float = 190.0
    muscle: float = 72.0
    fat: float = 225.0
    lung: float = 12.0
    liver: float = 88.0
    noise: float = 6.0
    shading: float = 0.35
    shading_angle: float = 2.4
    trabeculation: float = 0.25


def random_appearance(rng: np.random.Generator) -> Appearance:
    """Draw contrast, noise and shading as they differ between scanners and subjects."""
    blood = rng.uniform(120, 215)
    return Appearance(
        blood=blood,
        muscle=blood * rng.uniform(0.3, 0.58),
        fat=rng.uniform(165, 240),
        lung=rng.uniform(6, 20),
        liver=rng.uniform(65, 120),
        noise=rng.uniform(4.0, 10.0),
        shading=rng.uniform(0.15, 0.55),
        shading_angle=rng.uniform(1.9, 3.2),
        trabeculation=rng.uniform(0.1, 0.5),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Places of the organs around the heart; mm from the centre of the image, x to the right and y downwards."""

    chest_centre: tuple[float, float]
    chest_radii: tuple[float, float]
    fat_mm: float
    diaphragm_y: float
    diaphragm_slope: float
    aorta: tuple[float, float, float]
    spine: tuple[float, float, float]
    stomach: tuple[float, float, float]
    vessels: NDArray[np.float64]
    """(n, 4): x, y, radius, share of the depth at which a lung vessel crosses."""

    def paint(
        self, x: NDArray[np.floating], y: NDArray[np.floating], depth_share: float, look: Appearance
    ) -> NDArray[np.float32]:
        """Signal at the points (x, y) of the slice at `depth_share` (0 base to 1 apex)."""
        image = np.full(x.shape, look.lung, np.float32)
        for vx, vy, radius, where in self.vessels:
            if abs(where - depth_share) < 0.18:
                blob = np.exp(-((x - vx) ** 2 + (y - vy) ** 2) / (2 * radius**2))
                image += np.float32(0.5 * look.blood) * blob.astype(np.float32)
        self._paint_below(image, x, y, depth_share, look)
        _disc(image, x, y, self.spine, 0.5 * look.blood, rim=0.4 * look.muscle, rim_mm=2.5)
        _disc(image, x, y, self.aorta, 1.03 * look.blood, rim=0.6 * look.muscle, rim_mm=2.0)
        self._paint_chest(image, x, y, look)
        return image

    def _paint_below(
        self,
        image: NDArray[np.float32],
        x: NDArray[np.floating],
        y: NDArray[np.floating],
        share: float,
        look: Appearance,
    ) -> None:
        """Liver below the diaphragm, which rises towards the apex, and the stomach beside it."""
        top = self.diaphragm_y - 24 * share + self.diaphragm_slope * x + 0.0025 * (x + 25) ** 2
        below = y > top
        texture = 1 + 0.12 * np.sin(0.35 * x + 0.2 * y) * np.sin(0.28 * y - 0.15 * x)
        image[below] = (look.liver * texture)[below]
        image[(y > top - 2.5) & ~below] = 0.7 * look.muscle
        if share > 0.35:
            sx, sy, radius = self.stomach
            _disc(image, x, y, (sx, sy - 20 * share, radius), 0.75 * look.blood, rim=look.muscle, rim_mm=4.0)

    def _paint_chest(
        self, image: NDArray[np.float32], x: NDArray[np.floating], y: NDArray[np.floating], look: Appearance
    ) -> None:
        """Muscle with ribs, then the bright subcutaneous fat, then air."""
        (cx, cy), (rx, ry) = self.chest_centre, self.chest_radii
        outwards = (np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2) - 1) * 0.5 * (rx + ry)
        ribs = 0.5 + 0.5 * np.sin(6 * np.arctan2(y - cy, x - cx))
        wall = (outwards > 0) & (outwards <= 9)
        image[wall] = (look.muscle * (0.75 + 0.9 * ribs))[wall]
        image[(outwards > 9) & (outwards <= 9 + self.fat_mm)] = look.fat
        image[outwards > 9 + self.fat_mm] = 0.3 * look.lung


def _disc(
    image: NDArray[np.float32],
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    place: tuple[float, float, float],
    signal: float,
    *,
    rim: float,
    rim_mm: float,
) -> None:
    cx, cy, radius = place
    r2 = (x - cx) ** 2 + (y - cy) ** 2
    image[r2 < (radius + rim_mm) ** 2] = rim
    image[r2 < radius**2] = signal


def random_surroundings(rng: np.random.Generator) -> Surroundings:
    """Draw the neighbourhood of one subject's heart."""
    vessels = np.column_stack(
        [rng.uniform(-80, 80, 60), rng.uniform(-75, 60, 60), rng.uniform(0.8, 2.2, 60), rng.uniform(0, 1, 60)]
    )
    aorta = (rng.uniform(44, 58), rng.uniform(46, 60), rng.uniform(8.5, 12.0))
    return Surroundings(
        chest_centre=(rng.uniform(26, 44), rng.uniform(24, 40)),
        chest_radii=(rng.uniform(108, 126), rng.uniform(98, 114)),
        fat_mm=rng.uniform(8, 24),
        diaphragm_y=rng.uniform(46, 62),
        diaphragm_slope=rng.uniform(-0.05, 0.2),
        aorta=aorta,
        spine=(aorta[0] + rng.uniform(8, 18), aorta[1] + rng.uniform(24, 32), rng.uniform(16, 20)),
        stomach=(rng.uniform(30, 50), rng.uniform(72, 84), rng.uniform(14, 22)),
        vessels=vessels,
    )


def coil_shading(x: NDArray[np.floating], y: NDArray[np.floating], look: Appearance) -> NDArray[np.float32]:
    """Multiplicative receive field: bright beside the surface coil (direction `shading_angle`), mean near 1."""
    towards = (np.cos(look.shading_angle) * x - np.sin(look.shading_angle) * y) / 90.0
    across = (np.sin(look.shading_angle) * x + np.cos(look.shading_angle) * y) / 90.0
    return np.exp(look.shading * (towards + 0.25 * towards**2 - 0.2 * across**2)).astype(np.float32)
