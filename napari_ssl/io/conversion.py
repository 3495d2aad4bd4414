"""Images that no study can use as they lie: they are converted once, into NIfTI inside the study.

What a layout finds is a `Conversion`: it tells what will come of it before anything is written, and gives the pixels
when the import wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ssl.io.geometry import Geometry
from napari_ssl.io.reading import ImageHeader

__all__ = ["Body", "Conversion", "Converted", "Drawn", "StoppedError"]


class StoppedError(Exception):
    """The user stopped the import while an image was read; nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a data set says about a subject's body, as far as it may be kept; None where unknown."""

    sex: str | None = None
    height_cm: float | None = None
    weight_kg: float | None = None
    birth_year: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """An image in memory, ready to be written.

    Parameters
    ----------
    data : (T, Z, Y, X) array
    geometry : Geometry
    source : mapping
        Plain JSON for ``cases.source``: ``format``, ``fingerprint``, ``frame_times_ms`` where known.
    details : mapping
        Plain JSON that lies beside the image as ``images/<case>.json``.
    """

    data: NDArray[Any]
    geometry: Geometry
    source: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


class Conversion(Protocol):
    """What can become an image of a study.

    Attributes
    ----------
    format : str
        Short name, e.g. ``"dicom"``.
    shown : str
        What messages call it; names no patient.
    problem : str
        Why it cannot be converted; empty when it can.
    notes : tuple of str
        What a person should know before importing it.
    """

    format: str
    shown: str
    problem: str
    notes: tuple[str, ...]

    def header(self) -> ImageHeader:
        """Return what the image will be, reading no pixels; ImageError with `problem`."""

    def fingerprint(self) -> str:
        """Return what tells this source from another, without reading pixels."""

    def convert(self, should_stop: Callable[[], bool] | None = None) -> Converted:
        """Read the pixels; ImageError when that fails, StoppedError when `should_stop` says so."""


class Drawn(Protocol):
    """Labels that are no label map yet, e.g. contours."""

    shown: str

    def labels(self, shape_tzyx: tuple[int, int, int, int]) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
        """Return label values ``(T, Z, Y, X)`` and the frames that they cover; LabelError when they do not fit."""
