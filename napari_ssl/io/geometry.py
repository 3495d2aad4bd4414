"""Where an image lies in space: what a label file must share with its image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from napari_ssl.errors import GeometryError, ImageError

__all__ = ["SPACING_LIMITS_MM", "Geometry"]

SPACING_LIMITS_MM = (1e-3, 1e3)
"""Voxels outside this range are a damaged header or a wrong unit (the same limits as `core.case.Case`)."""

_UNKNOWN_INTERVAL = 1.0
_ORTHONORMAL_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Grid of an image as its file states it; nothing is reoriented.

    Parameters
    ----------
    size_xyz : tuple of three ints
        Columns, rows, slices; a 2D image has one slice.
    spacing_xyz : tuple of three floats
        mm; the third is 1.0 for a 2D image, whose file knows no thickness.
    origin_xyz : tuple of three floats
        Centre of the first voxel in mm, patient axes left-posterior-superior.
    direction : tuple of nine floats
        Row-major matrix whose columns are the patient directions of x, y and z.
    is_2d, is_4d : bool
        How many axes the file has; neither means 3D.
    frame_interval_ms : float or None
        Time between frames where the file states it in a unit.
    """

    size_xyz: tuple[int, int, int]
    spacing_xyz: tuple[float, float, float]
    origin_xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    is_2d: bool = False
    is_4d: bool = False
    frame_interval_ms: float | None = None

    def __post_init__(self) -> None:
        for what, length, kind in (
            ("size_xyz", 3, int),
            ("spacing_xyz", 3, float),
            ("origin_xyz", 3, float),
            ("direction", 9, float),
        ):
            values = tuple(kind(v) + 0 for v in getattr(self, what))  # -0.0 becomes 0.0
            if len(values) != length or not all(map(math.isfinite, values)):
                raise GeometryError(f"{what} must be {length} finite numbers, got {values}")
            object.__setattr__(self, what, values)
        if min(self.size_xyz) < 1:
            raise GeometryError(f"size (x, y, z) is {self.size_xyz}; every axis needs at least one voxel")
        if self.is_2d and (self.is_4d or self.size_xyz[2] != 1):
            raise GeometryError(f"a 2D image has one slice and one frame, got size (x, y, z) {self.size_xyz}")
        low, high = SPACING_LIMITS_MM
        if not all(low <= s <= high for s in self.spacing_xyz):
            raise GeometryError(f"spacing (x, y, z) is {self.spacing_xyz} mm; each must be {low:g} to {high:g} mm")
        matrix = np.array(self.direction).reshape(3, 3)
        error = float(np.abs(matrix.T @ matrix - np.eye(3)).max())
        if error > _ORTHONORMAL_TOLERANCE:
            raise GeometryError(
                f"direction {tuple(round(v, 4) for v in self.direction)} is not orthonormal (off by {error:.2g}); "
                "resample the image to perpendicular axes"
            )

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Spacing in the order of the arrays."""
        return self.spacing_xyz[::-1]

    @property
    def size_zyx(self) -> tuple[int, int, int]:
        """Size in the order of the arrays."""
        return self.size_xyz[::-1]

    def differs(self, other: Geometry) -> str | None:
        """Say in words how `other` lies elsewhere in space, or None when both are one grid.

        NIfTI keeps 32-bit floats: compared to 1e-5 (spacing, relative), 1e-3 mm + 1e-6 (origin) and 1e-4 (direction).
        """
        if self.size_xyz != other.size_xyz:
            return f"size (x, y, z) {self.size_xyz} against {other.size_xyz}"
        if not np.allclose(self.spacing_xyz, other.spacing_xyz, rtol=1e-5, atol=0):
            return f"spacing (x, y, z) {self.spacing_xyz} mm against {other.spacing_xyz} mm"
        if not np.allclose(self.origin_xyz, other.origin_xyz, rtol=1e-6, atol=1e-3):
            return f"origin {self.origin_xyz} mm against {other.origin_xyz} mm"
        if not np.allclose(self.direction, other.direction, rtol=0, atol=1e-4):
            return f"direction {self.direction} against {other.direction}"
        return None

    @classmethod
    def from_reader(cls, reader: sitk.ImageFileReader, path: Path) -> Geometry:
        """Take the geometry that SimpleITK reports for a file whose header was read.

        Raises
        ------
        ImageError
            One axis only, or more than four.
        GeometryError
            Sizes, spacing or direction that cannot be.
        """
        n_axes = reader.GetDimension()
        if n_axes not in (2, 3, 4):
            raise ImageError(
                f"{path}: has {n_axes} axes {tuple(reader.GetSize())}; napari-ssl reads 2D, 3D and 4D (x, y, z, time); "
                "split it into one file per channel or series"
            )
        matrix = np.array(reader.GetDirection(), float).reshape(n_axes, n_axes)
        direction = np.eye(3)
        n = min(n_axes, 3)
        direction[:n, :n] = matrix[:n, :n]
        if n_axes == 4 and not (np.allclose(matrix[3, :3], 0) and np.allclose(matrix[:3, 3], 0)):
            raise GeometryError(f"{path}: its time axis is mixed with the axes of space; save it again as 4D NIfTI")

        def three(values: Any, fill: float) -> tuple[Any, ...]:
            return tuple([*values[:n], fill][:3])

        try:
            return cls(
                size_xyz=three(reader.GetSize(), 1),
                spacing_xyz=three(reader.GetSpacing(), 1.0),
                origin_xyz=three(reader.GetOrigin(), 0.0),
                direction=tuple(direction.ravel()),
                is_2d=n_axes == 2,
                is_4d=n_axes == 4,
            )
        except GeometryError as error:
            raise GeometryError(f"{path}: {error}; correct its header or convert it anew") from error

    def to_image(self, array_tzyx: np.ndarray) -> sitk.Image:
        """Return a SimpleITK image of 2, 3 or 4 axes, as the geometry says, with this geometry.

        Raises
        ------
        GeometryError
            The array is not ``(T, Z, Y, X)`` of this size, or has several frames while the geometry is not 4D.
        """
        shape = tuple(array_tzyx.shape)
        if len(shape) != 4 or shape[1:] != self.size_zyx or (shape[0] != 1 and not self.is_4d) or shape[0] < 1:
            frames = "T" if self.is_4d else "1"
            raise GeometryError(
                f"array of shape {shape} does not fit the image, which is (T, Z, Y, X) = "
                f"({frames}, {', '.join(map(str, self.size_zyx))})"
            )
        array, n = array_tzyx, 4
        if not self.is_4d:
            array, n = (array[0, 0], 2) if self.is_2d else (array[0], 3)
        image = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=False)
        # NIfTI states time in seconds; 1 is the "not known" that most writers leave there.
        interval = _UNKNOWN_INTERVAL if self.frame_interval_ms is None else self.frame_interval_ms / 1000
        direction = np.eye(4)
        direction[:3, :3] = np.array(self.direction).reshape(3, 3)
        image.SetSpacing((*self.spacing_xyz, interval)[:n])
        image.SetOrigin((*self.origin_xyz, 0.0)[:n])
        image.SetDirection(direction[:n, :n].ravel().tolist())
        return image
