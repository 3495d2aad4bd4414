"""The two Gaussian kernels of Bai 2017, Eq. 4, on a set of pixels of one slice.

``bilateral(j, k)  = exp(-|p_j - p_k|² / 2σα² - (x_j - x_k)² / 2σβ²)``, weight w₁;
``smoothness(j, k) = exp(-|p_j - p_k|² / 2σγ²)``, weight w₂; positions p in pixels, grey values x times
`CRFParameters.intensity_range`. A kernel is *narrow* when it falls below `KERNEL_FLOOR` within `MAX_WINDOW` pixels:
then sums over a window of that radius replace the sums over all pixels.

As in the program of Krähenbühl and Koltun (the paper's reference for its CRF) a pixel is its own neighbour,
k(j, j) = 1. The energy does not feel that, because equal labels cost nothing; mean field does: a pixel supports its own
label a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from napari_ssl.core.catalogue import CRFParameters

__all__ = [
    "KERNEL_FLOOR",
    "MAX_WINDOW",
    "Kernel",
    "PixelSet",
    "active_kernels",
    "gaussian_matrix",
    "is_narrow",
    "reach",
    "window_weights",
]

KERNEL_FLOOR = 1e-4
"""A narrow kernel counts as zero where it is below this."""

MAX_WINDOW = 8.0
"""Largest reach in pixels that is summed window by window."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One term of Eq. 4: weight, position scale in pixels, intensity scale in [0, 1] units (None: position only)."""

    weight: float
    sigma: float
    sigma_intensity: float | None

    @property
    def reach(self) -> float:
        """Distance in pixels at which the kernel falls to `KERNEL_FLOOR`."""
        return self.sigma * sqrt(2 * log(1 / KERNEL_FLOOR))


@dataclass(frozen=True, slots=True, eq=False)
class PixelSet:
    """Pixels of a slice in row-major order: the ones where ``mask`` (Y, X) bool is true; ``image`` (Y, X) float32."""

    mask: np.ndarray
    image: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, image: np.ndarray) -> PixelSet:
        """Collect the pixels of `mask`."""
        rows, columns = np.nonzero(mask)
        return cls(mask, image, rows, columns)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_whole(self) -> bool:
        """Whether every pixel of the slice is in the set."""
        return len(self) == self.mask.size

    def features(self, kernel: Kernel) -> np.ndarray:
        """Return (D, N) float32 features, scaled so that the kernel is ``exp(-|f_j - f_k|² / 2)``."""
        features = [self.rows / kernel.sigma, self.columns / kernel.sigma]
        if kernel.sigma_intensity is not None:
            features.append(self.image[self.rows, self.columns] / kernel.sigma_intensity)
        return np.ascontiguousarray(np.stack(features), dtype=np.float32)


def active_kernels(parameters: CRFParameters) -> tuple[Kernel, ...]:
    """Return the kernels of Eq. 4 whose weight is not zero."""
    sigma_intensity = parameters.sigma_beta / parameters.intensity_range
    kernels = (
        Kernel(parameters.w1, parameters.sigma_alpha, sigma_intensity),
        Kernel(parameters.w2, parameters.sigma_gamma, None),
    )
    return tuple(kernel for kernel in kernels if kernel.weight > 0)


def reach(kernels: tuple[Kernel, ...]) -> int:
    """Return the largest reach in whole pixels (0 without kernels)."""
    return max((int(np.ceil(kernel.reach)) for kernel in kernels), default=0)


def is_narrow(kernel: Kernel) -> bool:
    """Whether window sums are used for this kernel."""
    return kernel.reach <= MAX_WINDOW


def window_weights(kernel: Kernel, pixels: PixelSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluate a narrow kernel between each pixel of a set and its window.

    Returns
    -------
    neighbours : (N, M) int32
        Index in the set of each window position, -1 outside the set; ascending along M.
    values : (N, M) float32
        Kernel values without the weight; 0 outside the set.
    sums : (N,) float32
        Sums of the kernel over the whole slice, also over pixels outside the set (for the normalisation).
    """
    radius = int(kernel.reach)
    steps = np.arange(-radius, radius + 1)
    dy, dx = (grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij"))
    inside = dy**2 + dx**2 <= kernel.reach**2
    dy, dx = dy[inside], dx[inside]
    index = np.full(pixels.mask.shape, -1, np.int32)
    index[pixels.rows, pixels.columns] = np.arange(len(pixels), dtype=np.int32)
    width = pixels.mask.shape[1] + 2 * radius
    centre = (pixels.rows + radius) * width + pixels.columns + radius
    flat = (centre[:, None] + (dy * width + dx)[None, :]).astype(np.intp)
    neighbours = np.pad(index, radius, constant_values=-1).ravel()[flat]
    values = np.broadcast_to(np.exp(-(dy**2 + dx**2) / (2 * kernel.sigma**2)).astype(np.float32), flat.shape)
    in_slice = np.pad(np.ones(pixels.mask.shape, np.float32), radius).ravel()[flat]
    if kernel.sigma_intensity is not None:
        grey = np.pad(pixels.image, radius).ravel()[flat]
        difference = (grey - pixels.image[pixels.rows, pixels.columns][:, None]) / kernel.sigma_intensity
        values = values * np.exp(-0.5 * difference * difference)
    values = values * in_slice
    sums = values.sum(axis=1)
    return neighbours, np.where(neighbours >= 0, values, np.float32(0)), sums


def gaussian_matrix(n: int, sigma: float) -> np.ndarray:
    """Return ``exp(-(a - b)² / 2σ²)`` for pixel positions a, b below n, (n, n) float64: one axis of a Gaussian."""
    position = np.arange(n) / sigma
    return np.exp(-0.5 * (position[:, None] - position[None, :]) ** 2)
