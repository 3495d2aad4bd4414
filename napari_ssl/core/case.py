"""A case: one image series of one subject, and the split that its subject belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from napari_ssl.errors import GeometryError, StudyError

__all__ = ["CASE_ID_PATTERN", "Case", "Split", "is_device_name"]

CASE_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,79}"
"""Identifiers become folder names: no separators, no leading dot, at most 80 characters."""

_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))})


def is_device_name(name: str) -> bool:
    """Whether Windows takes a file's name for a device, whatever its suffix: ``NUL.txt``, ``com1``."""
    return name.partition(".")[0].strip().lower() in _DEVICES


class Split(StrEnum):
    """Fixed at import, by subject: a subject is in one split with all its cases."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One image series. Frames and slices count from 0; arrays are ``(T, Z, Y, X)``, static volumes have T = 1.

    Parameters
    ----------
    id, subject_id : str
        A subject may have several cases; splits are by subject.
    split : Split
    image_path : str
        Absolute path of the original, which is never changed.
    image_hash : str
        SHA-256 of the file's bytes (hexadecimal).
    spacing_zyx_mm : tuple of three floats
    shape_tzyx : tuple of four ints
    frame_interval_ms : float or None
        Time between frames when known.
    ed_frame, es_frame : int or None
        End-diastole and end-systole when known.
    group : str or None
        Free grouping, e.g. the diagnosis.
    source : mapping or None
        Where the image came from, plain JSON types: ``{"format": "dicom", …}``, ``frame_times_ms``; as the import
        wrote it.
    """

    id: str
    subject_id: str
    split: Split
    image_path: str
    image_hash: str
    spacing_zyx_mm: tuple[float, float, float]
    shape_tzyx: tuple[int, int, int, int]
    frame_interval_ms: float | None = None
    ed_frame: int | None = None
    es_frame: int | None = None
    group: str | None = None
    source: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for what in ("id", "subject_id"):
            value = getattr(self, what)
            if not re.fullmatch(CASE_ID_PATTERN, value):
                raise StudyError(
                    f"{what} {value!r}: use 1 to 80 letters, digits, '_', '-' or '.', beginning with a letter or digit"
                )
        object.__setattr__(self, "split", Split(self.split))
        if len(self.shape_tzyx) != 4 or min(self.shape_tzyx) < 1:
            raise GeometryError(f"case {self.id}: expected a shape (T, Z, Y, X), got {self.shape_tzyx}")
        if len(self.spacing_zyx_mm) != 3 or not all(1e-3 <= s <= 1e3 for s in self.spacing_zyx_mm):
            raise GeometryError(
                f"case {self.id}: spacing must be 0.001 to 1000 mm (z, y, x), got {self.spacing_zyx_mm}"
            )
        for what in ("ed_frame", "es_frame"):
            frame = getattr(self, what)
            if frame is not None and not 0 <= frame < self.n_frames:
                raise StudyError(f"case {self.id}: {what} is {frame}, the image has frames 0 to {self.n_frames - 1}")

    @property
    def n_frames(self) -> int:
        """Number of frames, T."""
        return self.shape_tzyx[0]

    @property
    def n_slices(self) -> int:
        """Number of slices, Z."""
        return self.shape_tzyx[1]

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of a voxel in ml."""
        z, y, x = self.spacing_zyx_mm
        return z * y * x / 1000.0
