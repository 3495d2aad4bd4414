"""Reference labels that an experiment hands to the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.errors import LabelError
from napari_ssl.io.images import hash_file, read_labels

__all__ = ["read_reference"]


def read_reference(
    references: Mapping[str, Mapping[str, Any]], case_id: str
) -> tuple[NDArray[np.uint8], tuple[int, ...]] | None:
    """Return the labels ``(T, Z, Y, X)`` of a case and the frames they hold; None when there are none.

    `references` maps a case id to ``{"path": label file, "frames": [...], "hash": SHA-256 of the file}``; the hash may
    be absent, and then nothing is checked.

    Raises
    ------
    LabelError
        The file cannot be read or has changed.
    """
    entry = references.get(case_id)
    if entry is None:
        return None
    if "hash" in entry and hash_file(entry["path"]) != entry["hash"]:
        raise LabelError(f"case {case_id}: {entry['path']} has changed since the order was made; make a new order")
    return read_labels(entry["path"]), tuple(int(f) for f in entry["frames"])
