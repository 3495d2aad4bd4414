"""An image as a de-identified DICOM series, so that a DICOM segmentation has pictures that it lies on.

Viewers show a segmentation object only over the images that it refers to (DICOM PS3.3 A.51). A study keeps its images
as NIfTI: `derived_series` makes DICOM images of them again, one single-frame object per phase and slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl import __version__
from napari_ssl.core.export import MODALITIES
from napari_ssl.errors import GeometryError, ImageError, MissingDependencyError
from napari_ssl.io.geometry import Geometry

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["SeriesIdentity", "derived_series", "need_dicom", "picture_number", "read_pictures", "stable_uid"]

_SOP_CLASSES = {"MR": "1.2.840.10008.5.1.4.1.1.4", "CT": "1.2.840.10008.5.1.4.1.1.2"}
_MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator", "SeriesNumber"),
)
"""Type 2 attributes, which scanners and other programs often leave out."""
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_METHOD = "napari-ssl: only pixels, geometry and UIDs are kept"


def need_dicom() -> None:
    """Raise MissingDependencyError where the libraries for DICOM are not installed."""
    try:
        import highdicom  # noqa: F401
        import pydicom  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"DICOM needs {error.name}, which is not installed; pip install 'napari-ssl[formats]'"
        ) from error


def stable_uid(*parts: str) -> str:
    """Return a DICOM UID that depends on `parts` alone: exported twice, an object keeps its identity."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=["napari-ssl", *parts]))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesIdentity:
    """Who and what a series is of.

    Parameters
    ----------
    patient_id : str
        The study's name of the subject (a pseudonym), never a patient's.
    description : str
        What viewers list the series as.
    key : str
        Content that the UIDs are made from, e.g. the hash of the image file.
    modality : "MR" or "CT"
    study_uid, series_uid, frame_of_reference_uid : str, optional
        Of the series that the image came from; by default made from `key`.
    instance_uids : sequence of sequence of str, optional
        Of each frame and slice.
    instance_numbers : sequence of sequence of int, optional
        Of each frame and slice; `picture_number` by default.
    """

    patient_id: str
    description: str
    key: str
    modality: str = "MR"
    study_uid: str | None = None
    series_uid: str | None = None
    frame_of_reference_uid: str | None = None
    instance_uids: Sequence[Sequence[str]] | None = None
    instance_numbers: Sequence[Sequence[int]] | None = None

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ImageError(f"modality {self.modality!r} is not offered; choose {' or '.join(MODALITIES)}")

    def instance_uid(self, frame: int, z: int) -> str:
        """Return the UID of the picture of a frame and slice."""
        if self.instance_uids is not None:
            return self.instance_uids[frame][z]
        return stable_uid(self.key, "image", str(frame), str(z))

    def instance_number(self, frame: int, z: int, n_frames: int) -> int:
        """Return the InstanceNumber of the picture of a frame and slice."""
        if self.instance_numbers is not None:
            return self.instance_numbers[frame][z]
        return picture_number(frame, z, n_frames)


def picture_number(frame: int, z: int, n_frames: int) -> int:
    """Return the number of a picture, from 1 through the phases of the first slice, then those of the second."""
    return z * n_frames + frame + 1


def read_pictures(paths: Sequence[str | Path]) -> list[Dataset]:
    """Read the headers of DICOM pictures that a segmentation is to refer to; what may be empty is there, if empty.

    Raises
    ------
    ImageError
        A file is not there any more, or is no DICOM file.
    """
    need_dicom()
    import pydicom

    found = []
    for path in paths:
        try:
            picture = pydicom.dcmread(path, stop_before_pixels=True)
        except (OSError, pydicom.errors.InvalidDicomError) as error:
            raise ImageError(f"{path}: a picture to refer to cannot be read ({error}); put it back") from error
        for name in _MAY_BE_EMPTY:
            if name not in picture:
                setattr(picture, name, None if name == "SeriesNumber" else "")
        found.append(picture)
    return found


def derived_series(
    data: NDArray[Any],
    geometry: Geometry,
    identity: SeriesIdentity,
    *,
    frames: Sequence[int],
    frame_times_ms: Sequence[float] | None = None,
) -> dict[tuple[int, int], Dataset]:
    """Return one DICOM object per (frame, slice), both from 0, of some frames of an image.

    Values that fit 16 bits are stored as they are. Others are mapped linearly to 16 bits, with Rescale Slope and
    Intercept that undo it.

    Parameters
    ----------
    data : (T, Z, Y, X) array
    geometry : Geometry
        Left-posterior-superior, as DICOM.
    identity : SeriesIdentity
    frames : sequence of int
    frame_times_ms : sequence of float, optional
        Trigger time of every frame of `data`.

    Raises
    ------
    ImageError
        A modality that is not offered, or values that are not finite.
    GeometryError
        The image has another size than its geometry.
    MissingDependencyError
        pydicom or highdicom is not installed.
    """
    need_dicom()
    if data.ndim != 4 or data.shape[1:] != geometry.size_zyx:
        raise GeometryError(f"image of shape {data.shape} (T, Z, Y, X) does not fit its geometry {geometry.size_zyx}")
    stored, slope, intercept = _as_16_bit(data)
    series = {}
    for frame in frames:
        for z in range(data.shape[1]):
            made = _plane(stored[frame, z], geometry, identity, frame=frame, z=z)
            made.InstanceNumber = identity.instance_number(frame, z, data.shape[0])
            made.RescaleSlope, made.RescaleIntercept, made.RescaleType = _ds(slope), _ds(intercept), "US"
            made.NumberOfTemporalPositions = data.shape[0]
            if frame_times_ms is not None:
                made.TriggerTime = _ds(frame_times_ms[frame])
            series[frame, z] = made
    return series


def _as_16_bit(data: NDArray[Any]) -> tuple[NDArray[Any], float, float]:
    """Return values as int16 or uint16 with the slope and intercept that give the original values back."""
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise ImageError("the image holds NaN or infinite values, which DICOM cannot; correct the image")
    low, high = float(data.min()), float(data.max())
    if data.dtype.kind in "iub" or np.array_equal(data, np.rint(data)):
        for kind in (np.uint16, np.int16):
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                return data.astype(kind), 1.0, 0.0
    slope = (high - low) / 65535 or 1.0
    return np.rint((data - low) / slope).astype(np.uint16), slope, low


def _ds(value: float) -> str:
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value))


def _plane(pixels: NDArray[Any], geometry: Geometry, identity: SeriesIdentity, *, frame: int, z: int) -> Dataset:
    from pydicom.dataset import Dataset, FileMetaDataset

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = _EXPLICIT_LITTLE_ENDIAN
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = _SOP_CLASSES[identity.modality]
    made.SOPInstanceUID = identity.instance_uid(frame, z)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.StudyInstanceUID = identity.study_uid or stable_uid(identity.key, "study")
    made.SeriesInstanceUID = identity.series_uid or stable_uid(identity.key, "series")
    made.FrameOfReferenceUID = identity.frame_of_reference_uid or stable_uid(identity.key, "frame of reference")
    made.PatientID, made.PatientName = identity.patient_id, f"{identity.patient_id}^"
    made.PatientIdentityRemoved, made.DeidentificationMethod = "YES", _METHOD
    for name in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID"):
        setattr(made, name, "")
    made.AccessionNumber, made.PositionReferenceIndicator = "", ""
    made.Modality, made.SeriesNumber = identity.modality, 1
    made.SeriesDescription = identity.description[:64]
    made.Manufacturer, made.ManufacturerModelName = "napari-ssl", "napari-ssl"
    made.SoftwareVersions, made.DeviceSerialNumber = __version__, "0"
    made.ImageType = (
        ["DERIVED", "SECONDARY", "OTHER"] if identity.modality == "MR" else ["DERIVED", "SECONDARY", "AXIAL"]
    )
    made.TemporalPositionIdentifier = frame + 1
    if identity.modality == "MR":
        made.ScanningSequence, made.SequenceVariant, made.ScanOptions, made.MRAcquisitionType = "RM", "NONE", "", "2D"
        made.EchoTime, made.EchoTrainLength, made.RepetitionTime = None, None, None
    else:
        made.KVP, made.AcquisitionNumber = None, frame + 1
    _place(made, geometry, z)
    _fill(made, pixels)
    return made


def _place(made: Dataset, geometry: Geometry, z: int) -> None:
    """Image Plane module: first voxel, directions of a row and of a column, distances (PS3.3 C.7.6.2)."""
    matrix = np.array(geometry.direction).reshape(3, 3)
    column, row, slices = geometry.spacing_xyz
    position = np.array(geometry.origin_xyz) + matrix[:, 2] * slices * z
    made.ImagePositionPatient = [_ds(v) for v in position]
    made.ImageOrientationPatient = [_ds(v) for v in (*matrix[:, 0], *matrix[:, 1])]
    made.PixelSpacing = [_ds(row), _ds(column)]
    made.SliceThickness = made.SpacingBetweenSlices = _ds(slices)


def _fill(made: Dataset, pixels: NDArray[Any]) -> None:
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = pixels.shape
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 16, 15
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes()
    made["PixelData"].VR = "OW"
