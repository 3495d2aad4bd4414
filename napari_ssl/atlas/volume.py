"""One frame of a cine with its spacing, and the way between numpy and SimpleITK.

Frames of different patients share no coordinate system that means anything: every volume gets its origin at its own
centre, without rotation. A single slice is repeated to three, because a B-spline needs an extent along every axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_ssl.errors import GeometryError

__all__ = ["Volume", "at_spacing", "to_image", "warp_image", "warp_labels"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """Intensities ``(Z, Y, X) float32``, usually in [0, 1], on a grid with `spacing_zyx_mm`.

    Raises
    ------
    GeometryError
        Not three axes, an empty axis, or a spacing that is not positive.
    """

    data: NDArray[np.float32]
    spacing_zyx_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        data = np.ascontiguousarray(self.data, np.float32)
        spacing = tuple(float(s) for s in self.spacing_zyx_mm)
        if data.ndim != 3 or 0 in data.shape:
            raise GeometryError(f"expected a volume (Z, Y, X) with voxels, got shape {data.shape}")
        if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
            raise GeometryError(f"spacing (z, y, x) must be three positive numbers of mm, got {spacing}")
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "spacing_zyx_mm", spacing)

    def crop(self, region: tuple[slice, slice, slice]) -> tuple[Volume, tuple[float, float, float]]:
        """Cut a box out; return it and where its centre lies from this volume's centre, in mm (x, y, z)."""
        offset = [
            ((part.start + part.stop) - n) / 2 * s
            for part, n, s in zip(region, self.data.shape, self.spacing_zyx_mm, strict=True)
        ]
        return Volume(data=self.data[region], spacing_zyx_mm=self.spacing_zyx_mm), (offset[2], offset[1], offset[0])


def to_image(
    data: NDArray[np.generic],
    spacing_zyx_mm: tuple[float, float, float],
    centre_xyz_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> sitk.Image:
    """Return ``(Z, Y, X)`` as an image whose centre lies at `centre_xyz_mm`."""
    if data.shape[0] == 1:
        data = np.repeat(data, 3, axis=0)
    image = sitk.GetImageFromArray(data)
    spacing = spacing_zyx_mm[::-1]
    image.SetSpacing(spacing)
    image.SetOrigin([c - (n - 1) * s / 2 for c, n, s in zip(centre_xyz_mm, data.shape[::-1], spacing, strict=True)])
    return image


def at_spacing(image: sitk.Image, in_plane_mm: float) -> sitk.Image:
    """Resample in-plane to at least `in_plane_mm`, smoothed against aliasing; slices are left as they are."""
    spacing, size = image.GetSpacing(), image.GetSize()
    new_size = [max(8, round(size[a] * spacing[a] / max(in_plane_mm, spacing[a]))) for a in (0, 1)] + [size[2]]
    new_size = [min(new, old) for new, old in zip(new_size, size, strict=True)]
    new_spacing = [s * n / m for s, n, m in zip(spacing, size, new_size, strict=True)]
    # A box of the new pixel has the variance (new² − old²)/12; the Gaussian of the same is enough against aliasing.
    variance = [max(0.0, (new**2 - old**2) / 12) for new, old in zip(new_spacing, spacing, strict=True)]
    if any(v > 0 for v in variance):
        image = sitk.DiscreteGaussian(image, variance, 32, 0.01, True)
    origin = [o + (new - old) / 2 for o, new, old in zip(image.GetOrigin(), new_spacing, spacing, strict=True)]
    return sitk.Resample(
        image, new_size, sitk.Transform(), sitk.sitkLinear, origin, new_spacing, image.GetDirection(), 0.0
    )


def _warp(data: NDArray[np.generic], moving: Volume, fixed: Volume, transform: sitk.Transform, how: int) -> sitk.Image:
    grid = to_image(fixed.data, fixed.spacing_zyx_mm)
    return sitk.Resample(to_image(data, moving.spacing_zyx_mm), grid, transform, how, 0.0)


def _middle(data: NDArray[np.generic], n_slices: int) -> NDArray[np.generic]:
    return data[1:2] if n_slices == 1 else data


def warp_image(moving: Volume, fixed: Volume, transform: sitk.Transform) -> NDArray[np.float32]:
    """Return the moving intensities on the fixed grid ``(Z, Y, X)``, linear; 0 outside the moving volume."""
    warped = sitk.GetArrayFromImage(_warp(moving.data, moving, fixed, transform, sitk.sitkLinear))
    return _middle(warped, fixed.data.shape[0]).astype(np.float32, copy=False)


def warp_labels(
    labels: NDArray[np.uint8], moving: Volume, fixed: Volume, transform: sitk.Transform
) -> NDArray[np.uint8]:
    """Return labels of the moving grid on the fixed grid ``(Z, Y, X)``, nearest neighbour; 0 outside.

    Raises
    ------
    GeometryError
        `labels` have another shape than the moving volume.
    """
    if labels.shape != moving.data.shape:
        raise GeometryError(f"labels have shape {labels.shape}, their image {moving.data.shape}")
    data = np.ascontiguousarray(labels, np.uint8)
    warped = sitk.GetArrayFromImage(_warp(data, moving, fixed, transform, sitk.sitkNearestNeighbor))
    return _middle(warped, fixed.data.shape[0])
