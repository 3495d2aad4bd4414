"""Values of DICOM elements as plain types; what is absent or makes no sense is None."""

from __future__ import annotations

import math

import numpy as np
from pydicom.dataset import Dataset

from napari_ssl.io.geometry import SPACING_LIMITS_MM

__all__ = ["geometry_faults", "integer", "number", "numbers", "text"]

_ORTHONORMAL_TOLERANCE = 1e-3


def text(dataset: Dataset, keyword: str) -> str:
    """Return an element as stripped text; empty where it is absent."""
    value = dataset.get(keyword)
    if value is None:
        return ""
    return str(value).replace("\0", "").strip()


def number(dataset: Dataset, keyword: str, default: float | None = None) -> float | None:
    """Return an element's finite number."""
    try:
        value = float(dataset.get(keyword))
    except (TypeError, ValueError, OverflowError):
        return default
    return value if math.isfinite(value) else default


def integer(dataset: Dataset, keyword: str) -> int | None:
    """Return an element's whole number."""
    value = number(dataset, keyword)
    return int(value) if value is not None and value == round(value) else None


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return an element's numbers; empty where one of them is none."""
    value = dataset.get(keyword)
    try:
        found = tuple(float(v) for v in value)
    except (TypeError, ValueError, OverflowError):
        return ()
    return found if all(map(math.isfinite, found)) else ()


def geometry_faults(
    position: tuple[float, ...], orientation: tuple[float, ...], spacing: tuple[float, ...]
) -> tuple[str, ...]:
    """Say why nobody can know where a picture lies in the patient; empty where it is known."""
    if len(position) != 3:
        return ("has no position in the patient (ImagePositionPatient); export the original images",)
    if len(orientation) != 6:
        return ("has no orientation in the patient (ImageOrientationPatient); export the original images",)
    axes = np.array(orientation).reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > _ORTHONORMAL_TOLERANCE:
        return (f"has an orientation that is no pair of perpendicular directions ({orientation}); export it again",)
    low, high = SPACING_LIMITS_MM
    if len(spacing) != 2 or not all(low <= s <= high for s in spacing):
        shown = " × ".join(f"{s:g}" for s in spacing) or "absent"
        return (f"has a pixel spacing of {shown} mm; each value must be {low:g} to {high:g} mm; export it again",)
    return ()
