"""Read label files: whole numbers in the range of a label scheme, on the grid of their image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import ImageError, LabelError
from napari_ssl.io.reading import read_header, read_image

__all__ = ["as_labels", "check_grid", "read_labels"]


def read_labels(
    path: str | Path,
    *,
    expected_shape_tzyx: tuple[int, ...] | None = None,
    scheme: LabelScheme | None = None,
) -> NDArray[np.uint8]:
    """Read a label map as ``(T, Z, Y, X) uint8``.

    Whole numbers stored as floating point are accepted.

    Parameters
    ----------
    path : path
    expected_shape_tzyx : tuple of four ints, optional
        Shape of the image.
    scheme : LabelScheme, optional
        The only values allowed, besides 0.

    Raises
    ------
    ImageError
        The file cannot be read.
    LabelError
        Another shape, a fraction, a NaN, a value outside 0 to 255 or outside the scheme.
    """
    path = Path(path)
    if expected_shape_tzyx is not None:
        shape = read_header(path).shape_tzyx
        if shape != tuple(expected_shape_tzyx):
            raise LabelError(
                f"{path}: label map has shape (T, Z, Y, X) = {shape}, its image has {tuple(expected_shape_tzyx)}; "
                "name the label file that belongs to this image"
            )
    try:
        data = read_image(path).data
    except ImageError as error:
        if "NaN" in str(error):
            raise LabelError(f"{error} (label maps hold whole numbers)") from error
        raise
    labels = as_labels(data, str(path))
    if scheme is not None:
        scheme.check(labels, str(path))
    return labels


def as_labels(values: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """Return `values` as uint8; LabelError, naming `where`, when one is no whole number in [0, 255]."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f":
        fractions = values[values != np.round(values)]
        if fractions.size:
            raise LabelError(
                f"{where}: label value {fractions.flat[0]:g} is not a whole number ({fractions.size} voxels have "
                "fractions); it is an image, or labels resampled without nearest-neighbour interpolation"
            )
    low, high = values.min(), values.max()
    if low < 0 or high > 255:
        raise LabelError(
            f"{where}: label value {low if low < 0 else high:g} is outside 0 to 255; map it to a value of the scheme"
        )
    return values.astype(np.uint8)


def check_grid(label_path: str | Path, image_path: str | Path) -> None:
    """Raise LabelError when a label file lies elsewhere in space than its image; frames are not compared."""
    difference = read_header(image_path).geometry.differs(read_header(label_path).geometry)
    if difference:
        raise LabelError(
            f"{label_path}: does not lie on the grid of {Path(image_path).name}: {difference}; "
            "resample the labels to the image with nearest-neighbour interpolation"
        )
