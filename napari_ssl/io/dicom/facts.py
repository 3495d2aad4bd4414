"""What is known of a DICOM file without its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["FileFacts", "Patient", "Picture", "Skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that is no image, and why: it is counted and left out.

    Parameters
    ----------
    path : Path
    reason : str
    is_damaged : bool
        It may have been an image: series that it lies beside are refused.
    """

    path: Path
    reason: str
    is_damaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Who the file says the image is of. Never printed: `repr` shows nothing.

    Parameters
    ----------
    key : str
        What pseudonyms are made of: identifier and its issuer, else name and birth date.
    identifier : str
        PatientID as it is.
    words : frozenset of str
        Words of name and identifiers, in lower case, that no message may hold.
    sex : {"F", "M", ""}
    height_cm, weight_kg : float or None
    birth_year : int or None
    """

    key: str = field(repr=False)
    identifier: str = field(repr=False)
    words: frozenset[str] = field(repr=False)
    sex: str = ""
    height_cm: float | None = None
    weight_kg: float | None = None
    birth_year: int | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One slice at one time: a file, or one frame of a file of many.

    Parameters
    ----------
    path : Path
    frame : int
        0-based in its file.
    uid : str
        SOPInstanceUID of the file.
    rows, columns : int
    spacing_yx : tuple of two floats
        PixelSpacing in mm: between rows, between columns.
    position : tuple of three floats
        ImagePositionPatient: centre of the first pixel in mm, left-posterior-superior.
    orientation : tuple of six floats
        ImageOrientationPatient: direction along a row, then along a column.
    trigger_ms : float or None
        TriggerTime, or NominalCardiacTriggerDelayTime of enhanced files.
    temporal_index : int or None
        TemporalPositionIdentifier, or TemporalPositionIndex of enhanced files.
    instance : int or None
        InstanceNumber.
    slope, intercept : float
        Value = slope × stored + intercept.
    thickness_mm, gap_mm : float or None
        SliceThickness and SpacingBetweenSlices; only looked at where there is one slice.
    kind : tuple of str
        What else tells apart images of one series: image type, echo, b-value.
    """

    path: Path
    frame: int
    uid: str
    rows: int
    columns: int
    spacing_yx: tuple[float, float]
    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    trigger_ms: float | None = None
    temporal_index: int | None = None
    instance: int | None = None
    slope: float = 1.0
    intercept: float = 0.0
    thickness_mm: float | None = None
    gap_mm: float | None = None
    kind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """One image file.

    Parameters
    ----------
    path : Path
    patient : Patient
    study, series, frame_of_reference : str
        UIDs.
    series_number : int or None
    description : str
        SeriesDescription: shown when a person chooses what to import, never stored.
    modality, syntax : str
        Modality, and the transfer syntax's UID.
    pictures : tuple of Picture
        Empty where `faults` says why.
    faults : tuple of str
        What is wrong with the file, without its name.
    """

    path: Path
    patient: Patient
    study: str
    series: str
    frame_of_reference: str
    series_number: int | None
    description: str
    modality: str
    syntax: str
    pictures: tuple[Picture, ...]
    faults: tuple[str, ...] = ()
