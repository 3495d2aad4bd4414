"""Synthetic DICOM: a stack of slices and phases whose every pixel has a value of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
NAME, PATIENT = "Surname^Given", "ID-4711"


def phantom(shape_tzyx: tuple[int, int, int, int] = (2, 3, 4, 5)) -> NDArray[np.int16]:
    """Every voxel another value, so that any swapped axis shows."""
    return np.arange(np.prod(shape_tzyx), dtype=np.int16).reshape(shape_tzyx)


def picture(
    pixels_yx: NDArray[Any],
    *,
    position: Any = (0.0, 0.0, 0.0),
    row: Any = (1.0, 0.0, 0.0),
    column: Any = (0.0, 1.0, 0.0),
    spacing_yx: tuple[float, float] = (1.5, 1.25),
    trigger_ms: float | None = None,
    series: str = "1.2.3.4",
    **elements: Any,
) -> FileDataset:
    """Return one slice at one time."""
    uid = generate_uid()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MR, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = MR, uid, "MR"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, PATIENT, "19700203"
    dataset.PatientSex, dataset.PatientSize, dataset.PatientWeight = "F", "1.68", "61"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.3", series, 7
    dataset.FrameOfReferenceUID = "1.2.9"
    dataset.SliceThickness = "6"  # says nothing about the distance of slices
    dataset.ImagePositionPatient = [f"{v:.10g}" for v in position]
    dataset.ImageOrientationPatient = [f"{v:.10g}" for v in (*row, *column)]
    dataset.PixelSpacing = list(spacing_yx)
    if trigger_ms is not None:
        dataset.TriggerTime = trigger_ms
    dataset.Rows, dataset.Columns = pixels_yx.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels_yx.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(pixels_yx.dtype.kind == "i")
    dataset.PixelData = np.ascontiguousarray(pixels_yx).tobytes()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def cine(
    data: NDArray[Any] | None = None,
    *,
    origin: Any = (-10.0, 20.0, 30.0),
    axes: Any = ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    slice_mm: float = 8.0,
    interval_ms: float = 40.0,
    **elements: Any,
) -> list[list[FileDataset]]:
    """Return pictures ``[t][z]``; the columns of `axes` are the directions of x, y and z."""
    data = phantom() if data is None else data
    axes = np.asarray(axes, float)
    return [
        [
            picture(
                data[t, z],
                position=np.asarray(origin) + axes[:, 2] * slice_mm * z,
                row=axes[:, 0],
                column=axes[:, 1],
                trigger_ms=10.0 + interval_ms * t if len(data) > 1 else None,
                InstanceNumber=1 + z * len(data) + t,
                **elements,
            )
            for z in range(data.shape[1])
        ]
        for t in range(data.shape[0])
    ]


def save(folder: Path, pictures: list[FileDataset] | list[list[FileDataset]], seed: int | None = 0) -> Path:
    """Write files whose names say nothing, in no order."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = [p for row in pictures for p in (row if isinstance(row, list) else [row])]
    order = np.arange(len(flat)) if seed is None else np.random.default_rng(seed).permutation(len(flat))
    for name, index in enumerate(order):
        flat[index].save_as(folder / f"{name:04d}.dcm", enforce_file_format=True)
    return folder


def enhanced(rows: list[list[FileDataset]], seed: int = 0) -> FileDataset:
    """Return the same pictures as one enhanced multi-frame file, its frames in no order."""
    flat = [p for row in rows for p in row]
    order = np.random.default_rng(seed).permutation(len(flat))
    whole = flat[0].copy()
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = ENHANCED_MR
    whole.NumberOfFrames = len(flat)
    whole.PixelData = b"".join(flat[i].PixelData for i in order)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = flat[0].PixelSpacing, 6
    orientation.ImageOrientationPatient = flat[0].ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    whole.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for index in order:
        groups, place, heart = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = flat[index].ImagePositionPatient
        heart.NominalCardiacTriggerDelayTime = float(flat[index].TriggerTime)
        groups.PlanePositionSequence = Sequence([place])
        groups.CardiacSynchronizationSequence = Sequence([heart])
        frames.append(groups)
    whole.PerFrameFunctionalGroupsSequence = Sequence(frames)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "TriggerTime"):
        delattr(whole, keyword)
    return whole
