"""What the import of a DICOM case wrote down beside its image: UIDs and numbers of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_ssl.core.case import Case
from napari_ssl.io.dicom_series import picture_number
from napari_ssl.io.documents import read_document

__all__ = ["kept_details", "picture_numbers"]

_DICOM = "dicom"


def kept_details(case: Case) -> dict[str, Any]:
    """Return what was kept of a case's DICOM files; empty for cases that were none."""
    if (case.source or {}).get("format") != _DICOM:
        return {}
    return read_document(Path(case.image_path).with_name(f"{case.id}.json")) or {}


def picture_numbers(case: Case) -> Sequence[Sequence[int]]:
    """Return the InstanceNumber of each frame and slice: the scanner's, or those that this program's exports give.

    The scanner's are taken where its series numbers every picture once; contours that are named by them then lie on the
    original pictures.
    """
    numbers = kept_details(case).get("instance_numbers") or []
    flat = [n for row in numbers for n in row]
    fits = len(numbers) == case.n_frames and all(len(row) == case.n_slices for row in numbers)
    if fits and all(isinstance(n, int) and n > 0 for n in flat) and len(set(flat)) == len(flat):
        return numbers
    return [[picture_number(t, z, case.n_frames) for z in range(case.n_slices)] for t in range(case.n_frames)]
