"""Smoothing of one structure's outline, slice by slice.

The indicator of each label is smoothed by a Gaussian in the slice, and a pixel takes the label whose smoothed indicator
is largest there; only pixels that the structure gains or loses change. A circle of radius r shrinks by about σ²/2r (0.1
mm for σ = 2 mm, r = 20 mm). Changes that would join, split, open or close any structure are left out
(`napari_ssl.editing.topology`): the myocardium stays a closed ring, and islands stay too (`editing.islands` is for
them).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_ssl.editing.topology import relabel
from napari_ssl.errors import LabelError

__all__ = ["SIGMA_MM", "smooth_structure"]

SIGMA_MM = 2.0
"""Standard deviation of the Gaussian, about the size of a cine's pixel; never below one pixel."""

_MARGIN_SIGMAS = 4


def smooth_structure(
    labels: NDArray[np.uint8],
    value: int,
    spacing_zyx_mm: tuple[float, float, float],
    *,
    sigma_mm: float = SIGMA_MM,
    locked: Collection[int] = (),
) -> NDArray[np.uint8]:
    """Smooth the outline of the structure `value` in each slice.

    Parameters
    ----------
    labels : (Z, Y, X) uint8
        One frame.
    locked : collection of int
        Labels that neither gain nor lose pixels.

    Returns
    -------
    (Z, Y, X) uint8, a new array

    Raises
    ------
    LabelError
        Not a frame, or the structure is locked itself.
    """
    if labels.ndim != 3:
        raise LabelError(f"expected labels (Z, Y, X), got shape {labels.shape}; pass one frame at a time")
    if value in locked:
        raise LabelError(f"label value {value} is locked; unlock it before it is smoothed")
    sigma = [max(1.0, sigma_mm / pixel) for pixel in spacing_zyx_mm[1:]]
    smooth = labels.copy()
    for z in np.flatnonzero((labels == value).any(axis=(1, 2))):
        box = _box(labels[z] == value, [int(np.ceil(_MARGIN_SIGMAS * s)) for s in sigma])
        smooth[z][box] = _smooth_slice(labels[z][box], value, sigma, locked)
    return smooth


def _box(mask: NDArray[np.bool_], margins: list[int]) -> tuple[slice, slice]:
    """Return the bounding box of a mask, widened."""
    [box] = ndimage.find_objects(mask.astype(np.uint8))
    return tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(box, margins, strict=True))


def _smooth_slice(
    labels: NDArray[np.uint8], value: int, sigma: list[float], locked: Collection[int]
) -> NDArray[np.uint8]:
    present = np.unique(labels)
    strength = np.stack(
        [ndimage.gaussian_filter((labels == v).astype(np.float32), sigma, mode="nearest") for v in present]
    )
    strongest = present[strength.argmax(axis=0)]
    own = strength[np.searchsorted(present, labels), *np.indices(labels.shape)]
    changed = (labels == value) != (strongest == value)
    for v in locked:
        changed &= (labels != v) & (strongest != v)
    return relabel(labels, np.where(changed, strongest, labels), strength.max(axis=0) - own)
