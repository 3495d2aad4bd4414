"""Labels of an item, checked: the order names them by hash, and a result is only worth something for those.

Soft labels are the class probabilities of the item's frames in 8 bits each, in a compressed numpy archive.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import TrainingItem
from napari_ssl.errors import LabelError
from napari_ssl.io.atomic import replacing
from napari_ssl.io.images import hash_file, hash_labels, read_labels

__all__ = ["read_item_labels", "read_soft_labels", "write_soft_labels"]


def read_item_labels(
    item: TrainingItem, scheme: LabelScheme, expected_shape_tzyx: tuple[int, ...] | None = None
) -> NDArray[np.uint8]:
    """Return the labels ``(T, Z, Y, X) uint8`` of an item that has some.

    Raises
    ------
    LabelError
        The file cannot be read, does not fit, or holds other labels than the order was made with.
    """
    labels = read_labels(item.label_path, expected_shape_tzyx=expected_shape_tzyx, scheme=scheme)
    if hash_labels(labels) != item.label_hash:
        raise LabelError(
            f"case {item.case_id}: {item.label_path} holds not the labels of the order (the checksum differs); restore "
            "the file from a backup, or make a new order"
        )
    return labels


def write_soft_labels(path: Path, probabilities: NDArray[np.uint8]) -> str:
    """Write ``(F, K, Z, Y, X)`` whole or not at all and return the file's SHA-256; StorageError as `io.atomic`."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, probabilities=probabilities)
    return hash_file(path)


def read_soft_labels(item: TrainingItem, shape_tzyx: tuple[int, ...], n_classes: int) -> NDArray[np.uint8]:
    """Return the class probabilities ``(F, K, Z, Y, X) uint8`` (255 = 1) of an item's frames.

    Raises
    ------
    LabelError
        Absent, damaged, changed since the order was made, or of another shape.
    """
    expected = (len(item.frames), n_classes, *shape_tzyx[1:])
    try:
        if hash_file(item.soft_path) != item.soft_hash:
            raise LabelError("the checksum differs")
        with np.load(item.soft_path, allow_pickle=False) as archive:
            probabilities = archive["probabilities"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, LabelError) as error:
        raise LabelError(
            f"case {item.case_id}: cannot use the soft labels {item.soft_path} ({error}); remove its step folder "
            "to make them again"
        ) from error
    if probabilities.shape != expected or probabilities.dtype != np.uint8:
        raise LabelError(
            f"case {item.case_id}: soft labels {probabilities.dtype} {probabilities.shape}, expected uint8 {expected}"
        )
    return probabilities
