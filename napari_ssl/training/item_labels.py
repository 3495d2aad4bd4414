"""Labels of an item, checked: the order names them by hash, and a result is only worth something for those."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import TrainingItem
from napari_ssl.errors import LabelError
from napari_ssl.io.images import hash_labels, read_labels

__all__ = ["read_item_labels"]


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
