"""Label maps as DICOM Segmentation objects, one per phase, through highdicom (Bridge et al., J Digit Imaging 2022).

A SEG object holds every position once, so a cine becomes one object per phase. Segments are numbered from 1 as DICOM
demands; where the label values of a study are others, the object's segment labels (the names of the structures) tell.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl import __version__
from napari_ssl.core.label_scheme import LabelScheme, Structure, StructureRole
from napari_ssl.errors import GeometryError, ImageError, LabelError
from napari_ssl.io.atomic import write_bytes
from napari_ssl.io.dicom_series import need_dicom, stable_uid
from napari_ssl.io.geometry import Geometry

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["DicomSegmentation", "is_dicom_seg", "read_dicom_seg", "write_dicom", "write_dicom_seg"]

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""

_SNOMED_ROLES = {
    StructureRole.LV_CAVITY: ("87878005", "Left ventricle"),
    StructureRole.RV_CAVITY: ("53085002", "Right ventricle"),
    StructureRole.MYOCARDIUM: ("74281007", "Myocardium"),
    StructureRole.AORTA: ("15825003", "Aorta"),
}
_SNOMED_NAMES = {
    "liver": ("10200004", "Liver"),
    "spleen": ("78961009", "Spleen"),
    "pancreas": ("15776009", "Pancreas"),
    "right kidney": ("9846003", "Right kidney"),
    "left kidney": ("18639004", "Left kidney"),
    "stomach": ("69695003", "Stomach"),
    "gallbladder": ("28231008", "Gallbladder"),
    "esophagus": ("32849002", "Esophagus"),
    "oesophagus": ("32849002", "Esophagus"),
    "duodenum": ("38848004", "Duodenum"),
    "inferior vena cava": ("64131007", "Inferior vena cava"),
    "prostate": ("41216001", "Prostate"),
}
_PRIVATE_SCHEME = "99NAPARISSL"


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomSegmentation:
    """What a SEG object holds.

    Parameters
    ----------
    labels : (Z, Y, X) uint8
        Segment numbers.
    names : mapping of int to str
        Segment labels by segment number.
    geometry : Geometry
        3D, left-posterior-superior.
    frame : int or None
        Phase from 0, where the object was written by napari-ssl and tells.
    """

    labels: NDArray[np.uint8]
    names: dict[int, str]
    geometry: Geometry
    frame: int | None = None

    def in_scheme(self, scheme: LabelScheme, where: str) -> NDArray[np.uint8]:
        """Return labels with the values of a scheme, matched by the names of the structures.

        Raises
        ------
        LabelError
            A segment has a name that the scheme has not.
        """
        table = np.zeros(256, np.uint8)
        values = dict(zip(scheme.names, scheme.values, strict=True))
        for number, name in self.names.items():
            if name not in values:
                raise LabelError(
                    f"{where}: segment {name!r} is no structure of the label scheme {scheme.name!r} "
                    f"({', '.join(scheme.names)}); rename the segment or the structure"
                )
            table[number] = values[name]
        return table[self.labels]


def write_dicom(path: str | Path, dataset: Dataset) -> None:
    """Write a DICOM file whole or not at all; StorageError otherwise."""
    buffer = io.BytesIO()  # pydicom wraps errors of the disk in words of its own
    dataset.save_as(buffer, enforce_file_format=True)
    write_bytes(path, buffer.getvalue())


def write_dicom_seg(
    path: str | Path,
    labels: NDArray[np.uint8],
    sources: Sequence[Dataset],
    scheme: LabelScheme,
    *,
    case_id: str,
    frame: int,
    label_hash: str,
    by_hand: bool,
) -> None:
    """Write the labels of one phase over the images of that phase.

    Parameters
    ----------
    path : path
    labels : (Z, Y, X) uint8
        Values of `scheme`.
    sources : sequence of pydicom Dataset
        The image of each slice, in the order of Z.
    scheme : LabelScheme
    case_id : str
        Names the series.
    frame : int
        From 0; becomes the instance number, from 1.
    label_hash : str
        Of the label version; the object's UID is made from it.
    by_hand : bool
        Whether a person painted them (SegmentAlgorithmType MANUAL rather than AUTOMATIC).

    Raises
    ------
    GeometryError
        Not one source image per slice, or of another size.
    LabelError
        A value outside the scheme.
    ImageError
        The images lack what DICOM demands of them, e.g. a frame of reference.
    StorageError
        The file could not be written.
    """
    need_dicom()
    import highdicom

    shapes = {(s.Rows, s.Columns) for s in sources}
    if len(sources) != labels.shape[0] or shapes != {labels.shape[1:]}:
        raise GeometryError(
            f"case {case_id}, frame {frame}: labels (Z, Y, X) = {labels.shape} need one image of "
            f"{labels.shape[1:]} pixels per slice, got {len(sources)} of {sorted(shapes)}"
        )
    scheme.check(labels, f"case {case_id}, frame {frame}")
    try:
        made = highdicom.seg.Segmentation(
            source_images=list(sources),
            pixel_array=scheme.to_classes(labels),
            segmentation_type="BINARY",
            segment_descriptions=[_description(n, s, by_hand) for n, s in enumerate(scheme.structures, start=1)],
            series_instance_uid=stable_uid(sources[0].SeriesInstanceUID, "segmentation series"),
            series_number=1000 + int(sources[0].get("SeriesNumber") or 0),
            sop_instance_uid=stable_uid(sources[0].SeriesInstanceUID, label_hash, str(frame)),
            instance_number=frame + 1,
            manufacturer="napari-ssl",
            manufacturer_model_name="napari-ssl",
            software_versions=__version__,
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description=f"Phase {frame + 1}",
            omit_empty_frames=False,  # every slice is there, so that the object alone tells the whole grid
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ImageError(
            f"case {case_id}, frame {frame}: no DICOM Segmentation can be made over these pictures ({error}); they "
            "lack what DICOM demands of them; export them again, or save the labels as NIfTI"
        ) from error
    made.ContentCreatorName = ""  # may be empty, must be there (type 2)
    made.SeriesDescription = f"Segmentation of {case_id}"[:64]
    write_dicom(path, made)


def _description(number: int, structure: Structure, by_hand: bool) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes

    known = _SNOMED_ROLES.get(structure.role) or _SNOMED_NAMES.get(structure.name.lower().replace("-", " "))
    value, meaning = known or (structure.name[:16], structure.name)
    kind = highdicom.sr.CodedConcept(value, "SCT" if known else _PRIVATE_SCHEME, meaning)
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="napari-ssl", version=__version__, family=codes.DCM.ArtificialIntelligence
    )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=kind,
        algorithm_type="MANUAL" if by_hand else "AUTOMATIC",
        algorithm_identification=None if by_hand else algorithm,
        display_color=highdicom.color.CIELabColor.from_rgb(*(int(structure.colour[i : i + 2], 16) for i in (1, 3, 5))),
    )


def is_dicom_seg(path: str | Path) -> bool:
    """Whether a file is a DICOM Segmentation object; reads its first bytes only."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return False
    if head[128:] != b"DICM":
        return False
    need_dicom()
    import pydicom

    try:
        return (
            str(pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True).SOPClassUID)
            in SEG_CLASSES
        )
    except (pydicom.errors.InvalidDicomError, AttributeError, EOFError):
        return False


def read_dicom_seg(path: str | Path) -> DicomSegmentation:
    """Read a Segmentation object (binary or label map) as one label map.

    Raises
    ------
    ImageError
        Not a SEG object, a damaged one, more than 255 segments, or segments that overlap.
    GeometryError
        Its planes form no regular grid.
    """
    need_dicom()
    import highdicom

    path = Path(path)
    if not path.is_file() or not is_dicom_seg(path):
        raise ImageError(f"{path}: is no DICOM Segmentation object; choose one, or read the file as an image")
    try:
        seg = highdicom.seg.segread(path)
        if max(seg.segment_numbers) > 255:
            raise ImageError(f"{path}: has {max(seg.segment_numbers)} segments; napari-ssl reads up to 255")
        if seg.get_volume_geometry(allow_missing_positions=True) is None:
            raise GeometryError(f"{path}: its planes are not parallel and evenly spaced; export it as a regular stack")
        volume = seg.get_volume(combine_segments=True)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # the library's many ways to say that a file is damaged
        raise ImageError(f"{path}: this DICOM Segmentation cannot be read ({error}); export it again") from error
    frame = int(seg.InstanceNumber) - 1 if seg.get("ManufacturerModelName") == "napari-ssl" else None
    if np.linalg.det(volume.direction[:, ::-1]) < 0:  # slices along row × column, as image readers sort them
        volume = volume.flip_spatial(0)
    return DicomSegmentation(
        labels=np.ascontiguousarray(volume.array, np.uint8),
        names={int(n): str(seg.get_segment_description(n).segment_label) for n in seg.segment_numbers},
        geometry=_geometry(volume),
        frame=frame,
    )


def _geometry(volume: Any) -> Geometry:
    """Return a highdicom volume's grid, whose axes are (z, y, x), in our order."""
    direction = np.asarray(volume.direction)[:, ::-1]
    return Geometry(
        size_xyz=tuple(int(n) for n in volume.array.shape[::-1]),
        spacing_xyz=tuple(round(float(s), 9) for s in volume.spacing[::-1]),
        origin_xyz=tuple(float(p) for p in volume.position),
        direction=tuple(float(v) for v in direction.ravel()),
    )
