"""Where a layer lies in the patient, and which DICOM pictures it is of: kept in a layer's metadata. Knows no Qt.

A labels layer that is made in napari knows nothing of it: it takes the place of the image that it was drawn over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_ssl.errors import LabelError
from napari_ssl.io.geometry import Geometry

__all__ = ["GEOMETRY", "PICTURES", "LayerTuple", "images_of", "place_of"]

GEOMETRY = "napari_ssl_geometry"
"""Key in a layer's metadata: `Geometry`."""

PICTURES = "napari_ssl_dicom_pictures"
"""Key in an image layer's metadata: paths of its single-frame DICOM files, ``[t][z]``."""

LayerTuple = tuple[Any, dict[str, Any], str]

_STILL = 1e-9


def images_of(layers: Sequence[LayerTuple], around: Sequence[LayerTuple], shape_zyx: tuple[int, ...]) -> list[dict]:
    """Return metadata of the images that labels of this shape may have been drawn over.

    Parameters
    ----------
    layers : sequence of layer data
        What is saved: an image saved together with labels is meant.
    around : sequence of layer data
        All layers of the window; asked where no image is saved.
    shape_zyx : tuple of int
    """
    for candidates in (layers, around):
        found = [attributes.get("metadata", {}) for _, attributes, kind in candidates if kind == "image"]
        fitting = [m for m in found if isinstance(m.get(GEOMETRY), Geometry) and m[GEOMETRY].size_zyx == shape_zyx]
        if fitting:
            return fitting
    return []


def place_of(
    shape: tuple[int, ...], attributes: Mapping[str, Any], images: Sequence[Mapping[str, Any]], path: str
) -> Geometry:
    """Return the geometry that labels are written with, of as many axes as they have.

    That of the layer itself where it was read from a file; else that of the image that it was drawn over; else the
    layer's scale and translation.

    Parameters
    ----------
    shape : tuple of 2 to 4 ints
    attributes : mapping
        Of the labels layer.
    images : sequence of mappings
        `images_of` it.
    path : str
        For messages.

    Raises
    ------
    LabelError
        Several images lie elsewhere from each other, or the layer is turned, sheared or moved by hand.
    """
    size_zyx = (1,) * (3 - min(3, len(shape))) + shape[-3:]
    own = attributes.get("metadata", {}).get(GEOMETRY)
    known = [own] if isinstance(own, Geometry) and own.size_zyx == size_zyx else [m[GEOMETRY] for m in images]
    if known:
        difference = next((d for d in map(known[0].differs, known[1:]) if d), None)
        if difference:
            raise LabelError(
                f"{path}: the window holds images that lie elsewhere from each other ({difference}), so nobody knows "
                "which one the labels are of; select labels and their image together, then save the selected layers"
            )
        return _with_axes(known[0], len(shape))
    return _of_scale(shape, size_zyx, attributes, path)


def _with_axes(geometry: Geometry, n_axes: int) -> Geometry:
    return Geometry(
        size_xyz=geometry.size_xyz,
        spacing_xyz=geometry.spacing_xyz,
        origin_xyz=geometry.origin_xyz,
        direction=geometry.direction,
        is_2d=n_axes == 2,
        is_4d=n_axes == 4,
        frame_interval_ms=geometry.frame_interval_ms if n_axes == 4 else None,
    )


def _of_scale(shape: tuple[int, ...], size_zyx: tuple[int, ...], attributes: Mapping[str, Any], path: str) -> Geometry:
    n = len(shape)
    rotate, shear = np.asarray(attributes.get("rotate", np.eye(n))), np.asarray(attributes.get("shear", 0.0))
    affine = np.asarray(attributes.get("affine", np.eye(n + 1)))
    turned = rotate.ndim == 2 and np.abs(rotate - np.eye(len(rotate))).max() > _STILL
    moved = affine.ndim == 2 and np.abs(affine - np.eye(len(affine))).max() > _STILL
    if turned or moved or np.abs(shear[..., np.newaxis]).max() > _STILL:
        raise LabelError(
            f"{path}: the layer is turned, sheared or has an affine transform, which no label file of this kind keeps; "
            "reset its transforms, or save it together with the image that it was drawn over"
        )
    count = min(3, n)
    scale = tuple(float(s) for s in attributes["scale"])[-count:]
    translate = tuple(float(s) for s in attributes.get("translate", (0.0,) * n))[-count:]
    pad = 3 - count
    return Geometry(
        size_xyz=size_zyx[::-1],
        spacing_xyz=((1.0,) * pad + scale)[::-1],
        origin_xyz=((0.0,) * pad + translate)[::-1],
        is_2d=n == 2,
        is_4d=n == 4,
    )
