"""A version of a case's labels: what made it, which frames it covers, where its file lies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

__all__ = ["Segmentation", "Source"]


class Source(StrEnum):
    """Where a label map comes from."""

    REFERENCE = "reference"
    """An expert's labels that came with the data."""
    MODEL = "model"
    """A network's arg-max."""
    REFINED = "refined"
    """A network's labels after the CRF or the components filter."""
    CORRECTED = "corrected"
    """Painted by a reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """One stored version of labels ``(T, Z, Y, X) uint8`` of a case; the arrays lie in the study folder.

    Parameters
    ----------
    id : int
        Row in the study.
    case_id : str
    source : Source
    version : int
        Counts from 1 within the case.
    frames : tuple of int
        Frames that hold labels; the others are zero and mean "not labelled".
    label_path : str
        Relative to the study folder.
    label_hash : str
        SHA-256 over shape and values, independent of compression.
    confidence_path : str or None
        Relative path of the confidence map ``(T, Z, Y, X)``, 8-bit, 255 = certain.
    model_id : str or None
        The model that proposed it.
    parent_id : int or None
        The version that a correction started from.
    reader : str or None
    created_at : datetime
        UTC.
    """

    id: int
    case_id: str
    source: Source
    version: int
    frames: tuple[int, ...]
    label_path: str
    label_hash: str
    confidence_path: str | None = None
    model_id: str | None = None
    parent_id: int | None = None
    reader: str | None = None
    created_at: datetime
