"""Connected components of label maps."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_ssl.errors import LabelError

__all__ = ["keep_largest_component"]


def keep_largest_component(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Keep, for each foreground class, only its largest component in 3D; the rest becomes background.

    Voxels are connected through faces. Of two components of equal size the first in array order stays. A class that is
    absent stays absent.

    Parameters
    ----------
    labels : (Z, Y, X) uint8
        Class indices, 0 is background.
    n_classes : int
        Number of classes with the background.

    Returns
    -------
    (Z, Y, X) uint8, a new array

    Raises
    ------
    LabelError
        Not a volume of (Z, Y, X), or a class index beyond ``n_classes - 1``.
    """
    if labels.ndim != 3:
        raise LabelError(f"expected labels (Z, Y, X), got shape {labels.shape}; pass one frame at a time")
    if labels.size and int(labels.max()) >= n_classes:
        raise LabelError(f"class index {int(labels.max())} in the label map, but there are {n_classes} classes from 0")
    kept = labels.astype(np.uint8, copy=True)
    for k, box in enumerate(ndimage.find_objects(labels, max_label=n_classes - 1), start=1):
        if box is None:
            continue
        components, n_components = ndimage.label(labels[box] == k)
        if n_components > 1:
            sizes = np.bincount(components.ravel())[1:]
            kept[box][(components > 0) & (components != 1 + int(np.argmax(sizes)))] = 0
    return kept
