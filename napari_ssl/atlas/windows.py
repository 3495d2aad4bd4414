"""Sums over square windows of a slice, the same work whatever the window's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["box_sums"]


def _along(values: NDArray[np.floating], radius: int, axis: int) -> NDArray[np.floating]:
    n = values.shape[axis]
    pad = [(0, 0)] * values.ndim
    pad[axis] = (radius + 1, radius)
    running = np.cumsum(np.pad(values, pad), axis=axis)
    upper = [slice(None)] * values.ndim
    lower = list(upper)
    upper[axis], lower[axis] = slice(2 * radius + 1, 2 * radius + 1 + n), slice(0, n)
    return running[tuple(upper)] - running[tuple(lower)]


def box_sums(values: NDArray[np.floating], radius: int) -> NDArray[np.float64]:
    """Sum over the last two axes' windows of ``2 radius + 1``, zeros beyond the edges; the same shape ``(…, Y, X)``."""
    values = np.asarray(values, np.float64)
    return _along(_along(values, radius, -1), radius, -2) if radius > 0 else values
