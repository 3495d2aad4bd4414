"""An analytic pulsating aorta: single-slice cines whose area is known in closed form in every frame.

The vessel is a disc of area A(t) = Amin + (Amax − Amin) · p(φ), with the pulse p(φ) rising as a raised cosine during
the first fifth of the cycle after the upstroke and falling exponentially afterwards, as in the Windkessel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from napari_ssl.core.label_scheme import PRESETS, StructureRole
from napari_ssl.errors import GeometryError

__all__ = ["AortaCase", "PhantomAorta", "random_aorta", "render_aorta"]

_POINTS = 4  # points per pixel and axis that partial volume is averaged over
_BLUR_PIXELS = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomAorta:
    """A vessel across the slice.

    Parameters
    ----------
    min_area_mm2, max_area_mm2 : float
        At end-diastole and at the peak of the pulse.
    upstroke, rise, decay : float
        Shares of the cycle: start of the pulse, its rise, and the time constant of its fall.
    centre_xy_mm : two floats
        From the middle of the image.
    cycle_ms : float
    """

    min_area_mm2: float
    max_area_mm2: float
    upstroke: float = 0.08
    rise: float = 0.2
    decay: float = 0.3
    centre_xy_mm: tuple[float, float] = (0.0, 0.0)
    cycle_ms: float = 900.0

    def __post_init__(self) -> None:
        if not 0 < self.min_area_mm2 <= self.max_area_mm2:
            raise GeometryError(
                f"phantom: min_area_mm2 must be in (0, max_area_mm2 = {self.max_area_mm2:g}], got {self.min_area_mm2:g}"
            )

    def area_mm2(self, phase: ArrayLike) -> NDArray[np.float64]:
        """Closed-form area by phase (share of the cycle)."""
        since = (np.asarray(phase, float) - self.upstroke) % 1.0
        end = np.exp(-(1 - self.rise) / self.decay)
        fall = (np.exp(-(since - self.rise) / self.decay) - end) / (1 - end)
        pulse = np.where(since < self.rise, np.sin(np.pi / 2 * since / self.rise) ** 2, fall)
        return self.min_area_mm2 + (self.max_area_mm2 - self.min_area_mm2) * pulse


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AortaCase:
    """A rendered cine: ``image`` and ``labels`` uint8 (T, 1, Y, X), labels of the preset ``aorta``, true area (T,)."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    spacing_zyx_mm: tuple[float, float, float]
    frame_interval_ms: float
    true_area_mm2: NDArray[np.float64]


def random_aorta(rng: np.random.Generator) -> PhantomAorta:
    """Draw a vessel: 20 to 32 mm wide, strain 8 to 40 % (Redheuil et al., Hypertension 55:319, 2010, all ages)."""
    smallest = np.pi * rng.uniform(10, 16) ** 2
    return PhantomAorta(
        min_area_mm2=smallest,
        max_area_mm2=smallest * (1 + rng.uniform(0.08, 0.4)),
        upstroke=rng.uniform(0.05, 0.12),
        centre_xy_mm=(rng.uniform(-6, 6), rng.uniform(-6, 6)),
        cycle_ms=rng.uniform(700, 1050),
    )


def render_aorta(
    aorta: PhantomAorta,
    *,
    rng: np.random.Generator,
    n_frames: int = 100,
    matrix_yx: tuple[int, int] = (80, 80),
    spacing_zyx_mm: tuple[float, float, float] = (6.0, 1.5, 1.5),
    noise: float = 8.0,
) -> AortaCase:
    """Take a cine of the vessel: 100 frames of one slice by default, as in UK Biobank.

    Raises
    ------
    GeometryError
        The vessel does not fit into the image.
    """
    area = aorta.area_mm2(np.arange(n_frames) / n_frames)
    x, y = _grid(matrix_yx, spacing_zyx_mm[1:])
    reach = np.abs(aorta.centre_xy_mm) + np.sqrt(area.max() / np.pi)
    if reach[0] > x.max() or reach[1] > y.max():
        raise GeometryError(
            f"phantom: a vessel that reaches {reach.max():.0f} mm from the middle does not fit into {matrix_yx[0]} x "
            f"{matrix_yx[1]} pixels of {spacing_zyx_mm[1]:g} x {spacing_zyx_mm[2]:g} mm"
        )
    r2 = (x - aorta.centre_xy_mm[0]) ** 2 + (y - aorta.centre_xy_mm[1]) ** 2
    still = _mean_of_points(_surroundings(x, y, rng))
    value = PRESETS["aorta"].by_role(StructureRole.AORTA).value
    image = np.empty((n_frames, 1, *matrix_yx), np.uint8)
    labels = np.empty_like(image)
    for t, a in enumerate(area):
        share = _mean_of_points((r2 < a / np.pi).astype(np.float32))
        wall = _mean_of_points((r2 < (np.sqrt(a / np.pi) + 2.0) ** 2).astype(np.float32)) - share
        signal = gaussian_filter(still * (1 - share - wall) + 190 * share + 60 * wall, _BLUR_PIXELS)
        noisy = np.hypot(signal + rng.normal(0, noise, matrix_yx), rng.normal(0, noise, matrix_yx))
        image[t, 0] = np.clip(noisy, 0, 255)
        labels[t, 0] = value * (share >= 0.5)
    return AortaCase(
        image=image,
        labels=labels,
        spacing_zyx_mm=spacing_zyx_mm,
        frame_interval_ms=aorta.cycle_ms / n_frames,
        true_area_mm2=area,
    )


def _grid(
    matrix_yx: tuple[int, int], pixel_yx_mm: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coordinates (x, y) of all points in mm from the middle of the image."""
    axes = [
        ((np.arange(n * _POINTS) + 0.5) / _POINTS - n / 2) * mm for n, mm in zip(matrix_yx, pixel_yx_mm, strict=True)
    ]
    y, x = np.meshgrid(*axes, indexing="ij")
    return x.astype(np.float32), y.astype(np.float32)


def _mean_of_points(points: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = points.shape
    return points.reshape(rows // _POINTS, _POINTS, columns // _POINTS, _POINTS).mean(axis=(1, 3))


def _surroundings(x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Mediastinal fat between dark lungs, with the pulmonary trunk beside the aorta and a spine below."""
    signal = np.full(x.shape, 15.0, np.float32)
    signal[(x / 32) ** 2 + (y / 50) ** 2 < 1] = rng.uniform(95, 125)
    for cx, cy, radius, value in ((24.0, -16.0, 7.0, 165.0), (12.0, 34.0, 6.0, 175.0), (-4.0, 46.0, 12.0, 70.0)):
        signal[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = value * rng.uniform(0.9, 1.05)
    return signal
