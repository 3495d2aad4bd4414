"""Outlines of labels: polygons half way between the pixels inside and those outside, in pixels and in patient mm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import contourpy
import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.errors import LabelError
from napari_ssl.io.geometry import Geometry

__all__ = ["Outline", "mask_outlines", "outlines_of_frame", "patient_points", "sunnybrook_outlines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One closed polygon in one slice.

    Parameters
    ----------
    slice : int
        From 0.
    structure : str
    is_hole : bool
        Whether it bounds a hole of the structure rather than the structure.
    points : (N, 2) float array
        Column and row in pixels; (0, 0) is the centre of the first pixel. The last point is not the first again.
    """

    slice: int
    structure: str
    is_hole: bool
    points: NDArray[np.float64]


def mask_outlines(mask_yx: NDArray[np.bool_]) -> list[tuple[NDArray[np.float64], bool]]:
    """Return the outlines of a mask as ``(points (N, 2) as column, row; is it a hole)``, largest first.

    Marching squares at the level ½ (Lorensen & Cline 1987) on the mask with a margin: exactly the pixels whose centres
    lie inside by the even-odd rule are in the mask.
    """
    padded = np.pad(np.asarray(mask_yx, float), 1)
    found = []
    for line in contourpy.contour_generator(z=padded, line_type="Separate").lines(0.5):
        points = np.asarray(line, float)[:-1] - 1.0
        found.append((points, _signed_area(points)))
    found.sort(key=lambda pair: -abs(pair[1]))
    outer = np.sign(found[0][1]) if found else 1.0  # the largest is never a hole; holes run the other way round
    return [(points, bool(np.sign(area) != outer)) for points, area in found]


def _signed_area(points: NDArray[np.float64]) -> float:
    x, y = points.T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def outlines_of_frame(labels_zyx: NDArray[np.uint8], scheme: LabelScheme) -> Iterator[Outline]:
    """Yield the outlines of every structure in every slice of one frame."""
    for z, plane in enumerate(labels_zyx):
        for structure in scheme.structures:
            for points, is_hole in mask_outlines(plane == structure.value):
                yield Outline(slice=z, structure=structure.name, is_hole=is_hole, points=points)


def sunnybrook_outlines(labels_zyx: NDArray[np.uint8], scheme: LabelScheme) -> Iterator[Outline]:
    """Yield the left ventricle's outlines as Sunnybrook draws them, one of each kind per slice, holes left out.

    ``icontour``: around the cavity; ``ocontour``: around cavity and myocardium together (Radau et al., MIDAS 2009).
    Where one falls into parts, the largest is taken.

    Raises
    ------
    LabelError
        The scheme has no left ventricular cavity.
    """
    cavity, wall = scheme.by_role(StructureRole.LV_CAVITY), scheme.by_role(StructureRole.MYOCARDIUM)
    if cavity is None:
        raise LabelError(
            f"label scheme {scheme.name!r} has no left ventricular cavity, the only thing that Sunnybrook contours "
            "draw; export contours instead"
        )
    for z, plane in enumerate(labels_zyx):
        inner = plane == cavity.value
        kinds = [("icontour", inner)]
        if wall is not None and (plane == wall.value).any():
            kinds.append(("ocontour", inner | (plane == wall.value)))
        for kind, mask in kinds:
            found = mask_outlines(mask)
            if found:
                yield Outline(slice=z, structure=kind, is_hole=False, points=found[0][0])


def patient_points(outline: Outline, geometry: Geometry) -> NDArray[np.float64]:
    """Return the points of an outline ``(N, 3)`` in mm, left-posterior-superior."""
    voxels = np.column_stack([outline.points, np.full(len(outline.points), float(outline.slice))])
    matrix = np.array(geometry.direction).reshape(3, 3)
    return np.array(geometry.origin_xyz) + (voxels * geometry.spacing_xyz) @ matrix.T
