"""Where a heart that is known in one image lies in another: matching a template by normalised cross-correlation.

Scanners place the heart anywhere in the field of view; an optimiser that starts 50 mm off ends elsewhere. The atlas's
labels say where its heart is: that box is moved over the other image at every in-plane position (by Fourier
transforms), a few rotations and scales and some shifts along the stack, and the most similar place is the start.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_ssl.atlas.volume import Volume, at_spacing, to_image

__all__ = ["Box", "Place", "agree", "box_of", "corners_mm", "locate", "mapped_box"]

Box = tuple[slice, slice, slice]
_ROTATIONS = (-30.0, -15.0, 0.0, 15.0, 30.0)
_SCALES = (0.8, 1.0, 1.25)
_OUTSIDE = -1e6
_MIN_INSIDE = 0.6  # a template of which less lies in the image says nothing


def box_of(labels: NDArray[np.uint8], spacing_zyx_mm: tuple[float, float, float], margin_mm: float) -> Box | None:
    """In-plane bounding box of what is labelled, with a margin, over all slices; None when nothing is."""
    plane = (labels > 0).any(axis=0)
    if not plane.any():
        return None
    parts = [slice(0, labels.shape[0])]
    for axis in (0, 1):
        where = np.flatnonzero(plane.any(axis=1 - axis))
        margin = round(margin_mm / spacing_zyx_mm[1 + axis])
        parts.append(slice(max(0, int(where[0]) - margin), min(plane.shape[axis], int(where[-1]) + 1 + margin)))
    return parts[0], parts[1], parts[2]


def corners_mm(volume: Volume, box: Box) -> NDArray[np.float64]:
    """The four in-plane corners of a box, ``(4, 3)`` in mm (x, y, z) from the volume's centre, at its mid-slice."""
    _, n_y, n_x = volume.data.shape
    _, s_y, s_x = volume.spacing_zyx_mm
    xs, ys = ([(p - n / 2) * s for p in (b.start, b.stop)] for b, n, s in ((box[2], n_x, s_x), (box[1], n_y, s_y)))
    return np.array([(x, y, 0.0) for x, y in itertools.product(xs, ys)])


def mapped_box(fixed: Volume, moving: Volume, box: Box, to_moving: sitk.AffineTransform) -> Box:
    """Return the box of the fixed volume, all its slices, that covers a box of the moving one."""
    back = to_moving.GetInverse()
    points = np.array([back.TransformPoint(p) for p in corners_mm(moving, box).tolist()])
    parts = [slice(0, fixed.data.shape[0])]
    for axis, coordinate in ((1, 1), (2, 0)):
        n, s = fixed.data.shape[axis], fixed.spacing_zyx_mm[axis]
        low, high = (float(f(points[:, coordinate])) / s + n / 2 for f in (np.min, np.max))
        start = int(np.clip(np.floor(low), 0, max(0, n - 8)))
        parts.append(slice(start, int(np.clip(np.ceil(high), min(n, start + 8), n))))
    return parts[0], parts[1], parts[2]


def _candidate(
    angle_degrees: float, scale: float, moving_centre: NDArray[np.float64], z_mm: float
) -> sitk.AffineTransform:
    """Points about the template's centre → points of the moving volume."""
    a = np.deg2rad(angle_degrees)
    transform = sitk.AffineTransform(3)
    rotation = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    matrix = np.eye(3)
    matrix[:2, :2] = rotation
    transform.SetMatrix(matrix.ravel().tolist())
    transform.SetTranslation((moving_centre[0], moving_centre[1], z_mm))
    return transform


class _Search:
    """A volume ``(Z, Y, X)`` in which masked templates ``(Z, y, x)`` are looked for, over in-plane shifts."""

    def __init__(self, image: NDArray[np.float64], template_yx: tuple[int, int]) -> None:
        self.size = image.shape[1:]
        self.shape = [n + m for n, m in zip(self.size, template_yx, strict=True)]
        self.ones, self.image, self.squares = (
            np.fft.rfft2(a, self.shape) for a in (np.ones_like(image), image, image**2)
        )

    def _slide(self, transformed: NDArray[np.complex128], template: NDArray[np.complex128]) -> NDArray[np.float64]:
        return np.fft.irfft2((transformed * template).sum(axis=0), self.shape)

    def best(self, template: NDArray[np.float64], mask: NDArray[np.bool_]) -> tuple[float, tuple[int, ...]]:
        """Highest correlation coefficient, and the pixel of the image under the template's first pixel."""
        n = float(mask.sum())
        t = (template - template[mask].mean()) * mask if n else template
        energy = float((t**2).sum())
        if n < 16 or energy < 1e-9:
            return -1.0, (0, 0)
        m_hat, t_hat = (np.conj(np.fft.rfft2(a, self.shape)) for a in (mask.astype(np.float64), t))
        total, squares = self._slide(self.image, m_hat), self._slide(self.squares, m_hat)
        value = self._slide(self.image, t_hat) / np.sqrt(np.maximum(squares - total**2 / n, 1e-3 * n) * energy)
        value[self._slide(self.ones, m_hat) < _MIN_INSIDE * n] = -1.0
        place = np.unravel_index(int(value.argmax()), value.shape)
        wrapped = zip(place, self.size, self.shape, strict=True)
        return float(value.max()), tuple(int(p) if p < n_image else int(p) - n_all for p, n_image, n_all in wrapped)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """Where a box was found: the transform from fixed to moving points, the correlation there, the centre in mm."""

    transform: sitk.AffineTransform
    correlation: float
    centre_xy_mm: tuple[float, float]

    def moved_to(self, centre_xy_mm: tuple[float, float]) -> Place:
        """The same rotation and scale about another centre in the fixed volume."""
        matrix = np.array(self.transform.GetMatrix()).reshape(3, 3)
        by = np.array([*np.subtract(centre_xy_mm, self.centre_xy_mm), 0.0])
        transform = sitk.AffineTransform(self.transform)
        transform.SetTranslation((np.array(self.transform.GetTranslation()) - matrix @ by).tolist())
        return Place(transform=transform, correlation=self.correlation, centre_xy_mm=centre_xy_mm)


def _grid(image: sitk.Image, reach_mm: float) -> sitk.Image:
    """Grid of the image's pixels and slices that reaches so far in-plane about the origin."""
    spacing = image.GetSpacing()
    n_xy = [2 * int(np.ceil(reach_mm / s)) + 1 for s in spacing[:2]]
    grid = sitk.Image([*n_xy, image.GetSize()[2]], sitk.sitkFloat32)
    grid.SetSpacing(spacing)
    grid.SetOrigin([-(n - 1) / 2 * s for n, s in zip(n_xy, spacing[:2], strict=True)] + [image.GetOrigin()[2]])
    return grid


def locate(fixed: Volume, moving: Volume, box: Box, *, pixel_mm: float = 5.0, search_slices: float = 0.0) -> Place:
    """Find the box of the moving volume in the fixed one, up to in-plane rotation, scale and translation.

    Parameters
    ----------
    pixel_mm : float
        In-plane pixel of the search.
    search_slices : float
        Shifts along the stack that are tried, up to so many slices, in halves.
    """
    f, m = (at_spacing(to_image(v.data, v.spacing_zyx_mm), pixel_mm) for v in (fixed, moving))
    corners = corners_mm(moving, box)
    centre, half = corners.mean(axis=0), np.ptp(corners[:, :2], axis=0) / 2
    grid = _grid(f, float(np.hypot(*half)) / min(_SCALES))
    (n_x, n_y, _), origin, spacing = grid.GetSize(), grid.GetOrigin(), grid.GetSpacing()
    x, y = np.arange(n_x) * spacing[0] + origin[0], np.arange(n_y)[:, None] * spacing[1] + origin[1]
    search = _Search(sitk.GetArrayFromImage(f).astype(np.float64), (n_y, n_x))
    half_slice, n_steps = min(fixed.spacing_zyx_mm[0], moving.spacing_zyx_mm[0]) / 2, round(2 * search_slices)
    best: tuple[float, sitk.AffineTransform, tuple[int, ...]] | None = None
    for angle, scale, k in itertools.product(_ROTATIONS, _SCALES, sorted(range(-n_steps, n_steps + 1), key=abs)):
        candidate = _candidate(angle, scale, centre, k * half_slice)
        template = sitk.GetArrayFromImage(sitk.Resample(m, grid, candidate, sitk.sitkLinear, _OUTSIDE))
        a = np.deg2rad(angle)
        u, v = scale * (np.cos(a) * x - np.sin(a) * y), scale * (np.sin(a) * x + np.cos(a) * y)
        mask = (template > _OUTSIDE / 2) & (np.abs(u) <= half[0]) & (np.abs(v) <= half[1])
        value, place = search.best(np.where(mask, template, 0.0).astype(np.float64), mask)
        if best is None or value > best[0] + 1e-9:
            best = (value, candidate, place)
    value, candidate, (row, column) = best  # type: ignore[misc]  # there is at least one candidate
    found = (
        f.GetOrigin()[0] + column * spacing[0] - origin[0],
        f.GetOrigin()[1] + row * spacing[1] - origin[1],
    )
    return Place(transform=candidate, correlation=value, centre_xy_mm=(0.0, 0.0)).moved_to(found)


def agree(places: list[Place], within_mm: float = 25.0) -> list[Place]:
    """Move the places of outliers to where most of several searches for the same organ found it.

    The centre of most weight (correlation to the fourth power) within `within_mm` wins; its weighted mean is where
    those that lie farther away are moved to.
    """
    if len(places) < 3:
        return places
    centres = np.array([p.centre_xy_mm for p in places])
    weights = np.array([max(p.correlation, 0.0) for p in places]) ** 4 + 1e-12
    near = np.linalg.norm(centres[:, None] - centres[None], axis=2) <= within_mm
    winner = near[int((near * weights).sum(axis=1).argmax())]
    x, y = (centres[winner] * weights[winner, None]).sum(axis=0) / weights[winner].sum()
    return [p if np.hypot(*np.subtract(p.centre_xy_mm, (x, y))) <= within_mm else p.moved_to((x, y)) for p in places]
