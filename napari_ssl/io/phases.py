"""Which frame of a cine a picture of one phase is: the one whose pixels equal the picture's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.io.reading import read_image

__all__ = ["frames_of_picture"]


def frames_of_picture(picture: Path, cine: NDArray[Any]) -> list[int]:
    """Return the frames of a cine ``(T, Z, Y, X)`` that equal the first frame of a picture file.

    Raises
    ------
    ImageError
        The picture cannot be read.
    """
    still = read_image(picture).data
    if still.shape[1:] != cine.shape[1:]:
        return []
    return [t for t, frame in enumerate(cine) if np.array_equal(frame, still[0])]
