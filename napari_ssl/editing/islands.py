"""Islands: parts of a structure that do not hang together with its largest part."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_ssl.errors import LabelError

__all__ = ["remove_islands"]

_TOUCHING = np.ones((3, 3, 3), bool)


def remove_islands(
    labels: NDArray[np.uint8], values: Collection[int], *, locked: Collection[int] = ()
) -> tuple[NDArray[np.uint8], int]:
    """Keep of each structure in `values` only its largest part in 3D; voxels hang together through corners, too.

    An island takes the label that most of the voxels around it (through faces) have, so that one of the cavity inside
    the myocardium becomes myocardium, not background. Of parts of equal size the first in array order stays.

    Parameters
    ----------
    labels : (Z, Y, X) uint8
        One frame.
    locked : collection of int
        Labels that neither lose nor gain voxels; an island that would become one takes the next frequent label.

    Returns
    -------
    (Z, Y, X) uint8, a new array; and the number of islands

    Raises
    ------
    LabelError
        Not a frame.
    """
    if labels.ndim != 3:
        raise LabelError(f"expected labels (Z, Y, X), got shape {labels.shape}; pass one frame at a time")
    tidy, n_islands = labels.copy(), 0
    for value in sorted(set(values) - set(locked) - {0}):
        parts, n_parts = ndimage.label(tidy == value, _TOUCHING)
        if n_parts < 2:
            continue
        largest = 1 + int(np.bincount(parts.ravel())[1:].argmax())
        for part, box in enumerate(ndimage.find_objects(parts), start=1):
            if part != largest:
                wide = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
                island = parts[wide] == part
                tidy[wide][island] = _around(tidy[wide], island, value, locked)
                n_islands += 1
    return tidy, n_islands


def _around(labels: NDArray[np.uint8], island: NDArray[np.bool_], value: int, locked: Collection[int]) -> int:
    """Return the most frequent label that touches the island; background when there is none that may be taken."""
    counts = np.bincount(labels[ndimage.binary_dilation(island) & ~island], minlength=1)
    for v in (value, *locked):
        if v < len(counts):
            counts[v] = 0
    return int(counts.argmax()) if counts.any() else 0
