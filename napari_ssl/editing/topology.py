"""Changes of single pixels that leave the topology of every structure as it is.

G. Bertrand and G. Malandain, A new characterization of three-dimensional simple points, Pattern Recognition Letters 15,
1994 (here in 2D): a pixel is *simple* for a set when taking it out or in joins, splits, makes and fills nothing. The
set is 8-connected and its complement 4-connected. Relabelling a pixel from a to b keeps the topology of all labels when
it is simple for a and for b (P.-L. Bazin and D. L. Pham, Topology-preserving tissue classification, IEEE TMI 26, 2007).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["is_simple", "relabel"]

_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
_OUTSIDE = 256


@lru_cache(maxsize=256)
def is_simple(neighbours: int) -> bool:
    """Whether the centre of 3 × 3 pixels is simple; bit k says whether neighbour k, clockwise from top left, is in."""
    inside = np.zeros((3, 3), bool)
    for k, (dy, dx) in enumerate(_AROUND):
        inside[1 + dy, 1 + dx] = bool(neighbours >> k & 1)
    _, n_inside = ndimage.label(inside, np.ones((3, 3)))
    outside = ~inside
    outside[1, 1] = False
    components, _ = ndimage.label(outside)
    touching = {int(components[1 + dy, 1 + dx]) for dy, dx in _AROUND if dy == 0 or dx == 0} - {0}
    return n_inside == 1 and len(touching) == 1


def _bits(padded: NDArray[np.int16], y: int, x: int, label: int) -> int:
    return sum(1 << k for k, (dy, dx) in enumerate(_AROUND) if padded[y + dy, x + dx] == label)


def relabel(
    labels: NDArray[np.uint8], wanted: NDArray[np.uint8], order: NDArray[np.floating], *, passes: int = 8
) -> NDArray[np.uint8]:
    """Change as many pixels of a slice to `wanted` as leave the topology of all labels as it is.

    Parameters
    ----------
    labels, wanted : (Y, X) uint8
    order : (Y, X) float
        Pixels of larger values go first.
    passes : int
        A change may make others possible: how often to go through those that remain.

    Returns
    -------
    (Y, X) uint8, a new array
    """
    padded = np.pad(labels.astype(np.int16), 1, constant_values=_OUTSIDE)
    y, x = np.nonzero(labels != wanted)
    sorting = np.argsort(-order[y, x], kind="stable")
    waiting = list(zip((y[sorting] + 1).tolist(), (x[sorting] + 1).tolist(), strict=True))
    for _ in range(passes):
        remaining = []
        for at in waiting:
            old, new = int(padded[at]), int(wanted[at[0] - 1, at[1] - 1])
            if is_simple(_bits(padded, *at, old)) and is_simple(_bits(padded, *at, new)):
                padded[at] = new
            else:
                remaining.append(at)
        if len(remaining) in (0, len(waiting)):
            break
        waiting = remaining
    return padded[1:-1, 1:-1].astype(np.uint8)
