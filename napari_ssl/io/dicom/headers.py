"""Read what a DICOM file says about itself; pixels are not read, but that they are there is checked.

Sources: DICOM PS3.3 C.7.6.2 (Image Plane), C.7.6.3 (Image Pixel), C.7.6.16 (multi-frame functional groups), C.7.6.18
(Cardiac Synchronisation, Trigger Time), PS3.10 (file format).
"""

from __future__ import annotations

import logging
import math
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pydicom.config
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import Tag
from pydicom.uid import UID

from napari_ssl.io.dicom.enhanced import FUNCTIONAL_GROUPS, pictures_of_frames
from napari_ssl.io.dicom.facts import FileFacts, Patient, Picture, Skipped
from napari_ssl.io.dicom.values import geometry_faults, integer, number, numbers, text

__all__ = ["DAMAGE", "read_facts"]

DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What parsing a damaged file may end in."""

# What it would say of odd values quotes them, patients' names among them; odd values are looked at here.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

_KEYWORDS = """
    SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID Modality SeriesDescription
    PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientSize PatientWeight OtherPatientIDs
    SliceThickness SpacingBetweenSlices EchoNumbers EchoTime TriggerTime DiffusionBValue
    StudyInstanceUID SeriesInstanceUID SeriesNumber InstanceNumber ImagePositionPatient ImageOrientationPatient
    FrameOfReferenceUID TemporalPositionIdentifier SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns
    PixelSpacing BitsAllocated BurnedInAnnotation RescaleIntercept RescaleSlope AcquisitionNumber
""".split()  # noqa: SIM905 - a list of so many words is read more easily so

_TAGS = [Tag(k) for k in _KEYWORDS] + [Tag(k) for k in FUNCTIONAL_GROUPS]
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_NO_IMAGES = {
    "1.2.840.10008.1.3.10": "DICOMDIR",
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "segmentation",
    "1.2.840.10008.5.1.4.1.1.481.3": "structure set",
}
_FIRST_GROUPS = (b"\x08\x00", b"\x02\x00")


def read_facts(path: Path) -> FileFacts | Skipped:
    """Return what a file says of its image, or why it holds none; a damaged file of DICOM is told by its faults.

    Never raises for what is in the file.
    """
    length: list[tuple[int, int]] = []
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            head = file.read(132)
            has_preamble = head[128:132] == b"DICM"
            if not has_preamble and head[:2] not in _FIRST_GROUPS:
                return Skipped(path=path, reason="no DICOM")
            file.seek(0)
            dataset = read_partial(file, _at_pixels(file, length), force=not has_preamble, specific_tags=_TAGS)
            return _facts(path, dataset, length[0] if length else None, has_preamble)
    except OSError as error:
        return Skipped(path=path, reason=f"cannot be read ({error.strerror or type(error).__name__})", is_damaged=True)
    except DAMAGE as error:
        return Skipped(path=path, reason=f"damaged DICOM ({type(error).__name__})", is_damaged=True)


def _at_pixels(file: BinaryIO, length: list[tuple[int, int]]) -> Callable[[Any, Any, int], bool]:
    """Return the function that ends reading at the pixels and notes their length and where they begin."""

    def stop(tag: int, _vr: str | None, n_bytes: int) -> bool:
        value = int(tag)  # comparing tags themselves is slow
        if value in _PIXELS:
            length.append((n_bytes, file.tell()))
        return value >= _PIXELS[0]

    return stop


def _facts(path: Path, dataset: FileDataset, pixels: tuple[int, int] | None, has_preamble: bool) -> FileFacts | Skipped:
    meta = getattr(dataset, "file_meta", Dataset())
    sop_class = text(dataset, "SOPClassUID") or text(meta, "MediaStorageSOPClassUID")
    if sop_class in _NO_IMAGES:
        return Skipped(path=path, reason=f"no image ({_NO_IMAGES[sop_class]})")
    if not text(dataset, "SOPInstanceUID"):
        reason = "damaged DICOM (no SOPInstanceUID)" if has_preamble else "no DICOM"
        return Skipped(path=path, reason=reason, is_damaged=has_preamble)
    if "Rows" not in dataset and pixels is None and "Image" not in UID(sop_class).name:
        return Skipped(path=path, reason=f"no image ({text(dataset, 'Modality') or 'other object'})")
    faults = _faults(path, dataset, meta, pixels)
    pictures: tuple[Picture, ...] = ()
    if not faults:
        n_frames = integer(dataset, "NumberOfFrames") or 1
        many = any(keyword in dataset and len(dataset[keyword].value) for keyword in FUNCTIONAL_GROUPS)
        enhanced = "Enhanced" in UID(sop_class).name or (many and n_frames > 1)
        if enhanced:
            pictures, faults = pictures_of_frames(path, dataset, n_frames)
        elif n_frames > 1:
            faults = (
                f"holds {n_frames} frames without saying where each lies; export it as enhanced or single frames",
            )
        else:
            pictures, faults = _one_picture(path, dataset)
    return FileFacts(
        path=path,
        patient=_patient(dataset),
        study=text(dataset, "StudyInstanceUID"),
        series=text(dataset, "SeriesInstanceUID"),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        series_number=integer(dataset, "SeriesNumber"),
        description=text(dataset, "SeriesDescription"),
        modality=text(dataset, "Modality"),
        syntax=text(meta, "TransferSyntaxUID"),
        pictures=() if faults else pictures,
        faults=faults,
    )


def _faults(path: Path, dataset: Dataset, meta: Dataset, pixels: tuple[int, int] | None) -> tuple[str, ...]:
    """Say what makes the file's pixels unusable, as far as its header tells."""
    if not text(dataset, "SeriesInstanceUID"):
        return ("names no series (SeriesInstanceUID); export it again",)
    rows, columns = integer(dataset, "Rows") or 0, integer(dataset, "Columns") or 0
    if rows < 1 or columns < 1:
        return (f"has {rows} rows and {columns} columns; export it again",)
    samples = integer(dataset, "SamplesPerPixel") or 1
    colour = text(dataset, "PhotometricInterpretation")
    if samples != 1 or colour not in ("MONOCHROME1", "MONOCHROME2", ""):
        return (f"is a colour image ({colour or f'{samples} values per pixel'}); export the grey values",)
    if text(dataset, "BurnedInAnnotation").upper() == "YES":
        return ("says that text is burned into its pixels, which may name the patient; export it without",)
    if pixels is None:
        return ("holds no pixel data; export it again with its images",)
    n_bytes, start = pixels
    bits = integer(dataset, "BitsAllocated") or 0
    if n_bytes == 0xFFFFFFFF:  # compressed: how long, only decoding tells
        return ()
    expected = math.ceil(rows * columns * (integer(dataset, "NumberOfFrames") or 1) * bits / 8)
    deflated = text(meta, "TransferSyntaxUID") == "1.2.840.10008.1.2.1.99"
    there = n_bytes if deflated else min(n_bytes, path.stat().st_size - start)
    if there < expected:
        return (f"is truncated: {max(there, 0)} of {expected} bytes of pixels; copy it again from its source",)
    return ()


def _one_picture(path: Path, dataset: Dataset) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    position, orientation = numbers(dataset, "ImagePositionPatient"), numbers(dataset, "ImageOrientationPatient")
    spacing = numbers(dataset, "PixelSpacing")
    faults = geometry_faults(position, orientation, spacing)
    if faults:
        return (), faults
    picture = Picture(
        path=path,
        frame=0,
        uid=text(dataset, "SOPInstanceUID"),
        rows=integer(dataset, "Rows") or 0,
        columns=integer(dataset, "Columns") or 0,
        spacing_yx=spacing,
        position=position,
        orientation=orientation,
        trigger_ms=number(dataset, "TriggerTime"),
        temporal_index=integer(dataset, "TemporalPositionIdentifier"),
        instance=integer(dataset, "InstanceNumber"),
        slope=number(dataset, "RescaleSlope", 1.0),
        intercept=number(dataset, "RescaleIntercept", 0.0),
        thickness_mm=number(dataset, "SliceThickness"),
        gap_mm=number(dataset, "SpacingBetweenSlices"),
        kind=_kind(dataset),
    )
    return (picture,), ()


def _kind(dataset: Dataset) -> tuple[str, ...]:
    """Return what separates images of one series that are not slices or phases of one another."""
    image_type = dataset.get("ImageType") or ()
    parts = [image_type] if isinstance(image_type, str) else [str(v) for v in image_type]
    echo = text(dataset, "EchoNumbers")
    b_value = text(dataset, "DiffusionBValue")
    return (*parts[2:], *([f"echo {echo}"] if echo else []), *([f"b {b_value}"] if b_value else []))


def _patient(dataset: Dataset) -> Patient:
    identifier, issuer = text(dataset, "PatientID"), text(dataset, "IssuerOfPatientID")
    name, birth = text(dataset, "PatientName"), text(dataset, "PatientBirthDate")
    key = f"id\0{issuer}\0{identifier}" if identifier else f"name\0{name}\0{birth}"
    if not identifier and not name:
        key = f"study\0{text(dataset, 'StudyInstanceUID')}"
    private = " ".join((identifier, name, text(dataset, "OtherPatientIDs")))
    words = frozenset(w.lower() for w in re.split(r"[\s^=\\,;/]+", private) if len(w) > 2)
    size, weight = number(dataset, "PatientSize"), number(dataset, "PatientWeight")
    sex = text(dataset, "PatientSex").upper()
    year = birth[:4]
    return Patient(
        key=key,
        identifier=identifier or name,
        words=words,
        sex=sex if sex in ("F", "M") else "",
        height_cm=round(size * 100, 1) if size and 0.2 < size < 2.7 else None,
        weight_kg=weight if weight and 0.3 < weight < 500 else None,
        birth_year=int(year) if year.isdigit() and 1850 < int(year) < 2200 else None,
    )
