"""Fingerprints: of a file's bytes, and of a label map's shape and values."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.errors import ImageError

__all__ = ["hash_file", "hash_labels"]


def hash_file(path: str | Path) -> str:
    """Return the SHA-256 of the file's bytes, hexadecimal; ImageError when it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error}); check that it is there") from error


def hash_labels(labels: NDArray[Any]) -> str:
    """Return the SHA-256 over shape and values, hexadecimal; integer type and memory layout do not matter.

    Values are taken as 8-bit, which label maps of the studies are.
    """
    values = np.ascontiguousarray(labels, np.uint8)
    digest = hashlib.sha256(",".join(map(str, values.shape)).encode() + b";")
    digest.update(values.data)
    return digest.hexdigest()
