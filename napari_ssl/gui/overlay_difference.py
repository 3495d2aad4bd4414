"""Where two label maps of a case differ, worked out for what is on screen only, so that it follows every stroke."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES", "LabelDifference", "Voxels"]

CLASSES: dict[int, tuple[str, str]] = {
    1: ("only in the labels shown", "#FFE94D"),
    2: ("only in the other", "#7A3CFF"),
    3: ("another structure", "#FFFFFF"),
}
"""Value, meaning and colour of a voxel of the difference; 0 is no difference."""

Voxels = NDArray[np.uint8]


class LabelDifference:
    """An array-like ``(T, Z, Y, X) uint8`` of the values of `CLASSES`; a part is computed when it is asked for.

    Parameters
    ----------
    shown, other : array (T, Z, Y, X) uint8
        Kept, not copied: what is painted into `shown` shows in the difference.
    frames : collection of int
        Frames that `other` labels; on the others there is nothing to compare and so no difference.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, shown: Voxels, other: Voxels, frames: Collection[int]) -> None:
        if shown.shape != other.shape:
            raise ValueError(f"label maps of shapes {shown.shape} and {other.shape} cannot be compared")
        self._shown, self._other = shown, other
        self._compared = np.zeros(shown.shape[0], bool)
        self._compared[sorted(frames)] = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of both label maps."""
        return self._shown.shape

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        key = key if isinstance(key, tuple) else (key,)
        first = key[0] if key and key[0] is not Ellipsis else slice(None)
        shown, other = self._shown[key], self._other[key]
        part = np.where(other == 0, 1, np.where(shown == 0, 2, 3)).astype(np.uint8)
        part[...] = np.where(shown == other, 0, part)
        compared = self._compared[first]
        if np.ndim(compared) == 0:
            return part if compared else np.zeros_like(part)
        return part * compared.reshape(-1, *(1,) * (np.ndim(part) - 1)).astype(np.uint8)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)
