"""Our own contour files: JSON with the polygons of every structure, and the grid that they were drawn on.

A polygon lies half way between the pixels inside and those outside (`io.outlines`), so that filling it by the even-odd
rule gives back exactly the labels it was made of.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl import __version__
from napari_ssl.core.label_scheme import LabelScheme, Structure, StructureRole
from napari_ssl.errors import GeometryError, LabelError, SchemeError
from napari_ssl.io.contours.filling import fill
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.outlines import outlines_of_frame, patient_points

__all__ = ["FORMAT", "Polygons", "is_polygons", "polygons_document", "read_polygons"]

FORMAT = "napari-ssl contours"
_VERSION = 1
_IMAGE = "column, row in pixels; (0, 0) is the centre of the first pixel of a slice"
_PATIENT = "mm, left-posterior-superior, as in DICOM"
_LARGEST_BYTES = 1 << 29
_HEAD = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Polygons:
    """What a file of contours says.

    Parameters
    ----------
    case_id : str
    labels : (T, Z, Y, X) uint8
        The polygons, filled.
    frames : tuple of int
        Frames that were drawn on, from 0; one without a polygon is empty on purpose.
    scheme : LabelScheme
    geometry : Geometry
    """

    case_id: str
    labels: NDArray[np.uint8]
    frames: tuple[int, ...]
    scheme: LabelScheme
    geometry: Geometry


def polygons_document(
    labels: NDArray[np.uint8], frames: Sequence[int], scheme: LabelScheme, geometry: Geometry, case_id: str
) -> dict[str, Any]:
    """Return what a file of contours holds; frames and slices count from 0.

    Parameters
    ----------
    labels : (T, Z, Y, X) uint8
    frames : sequence of int
        Those that are labelled.
    scheme : LabelScheme
    geometry : Geometry
        Of the image.
    case_id : str
    """
    contours = [
        {
            "frame": int(frame),
            "slice": outline.slice,
            "structure": outline.structure,
            "is_hole": outline.is_hole,
            "image": np.round(outline.points, 4).tolist(),
            "patient_mm": np.round(patient_points(outline, geometry), 4).tolist(),
        }
        for frame in frames
        for outline in outlines_of_frame(labels[frame], scheme)
    ]
    return {
        "format": FORMAT,
        "version": _VERSION,
        "software": f"napari-ssl {__version__}",
        "case": case_id,
        "frames": [int(f) for f in frames],
        "coordinates": {"image": _IMAGE, "patient_mm": _PATIENT},
        "spacing_zyx_mm": list(geometry.spacing_zyx_mm),
        "shape_tzyx": list(labels.shape),
        "origin_xyz_mm": list(geometry.origin_xyz),
        "direction": list(geometry.direction),
        "axes": 2 if geometry.is_2d else 4 if geometry.is_4d else 3,
        "structures": [{"name": s.name, "value": s.value, "role": s.role.value} for s in scheme.structures],
        "contours": contours,
    }


def is_polygons(path: Path) -> bool:
    """Whether a file is one of ours; reads its first bytes only."""
    try:
        with path.open("rb") as file:
            return FORMAT.encode() in file.read(_HEAD)
    except OSError:
        return False


def read_polygons(path: str | Path) -> Polygons:
    """Read a file of contours and fill them by the even-odd rule.

    Raises
    ------
    LabelError
        No such file, no contours of ours or of a newer version, a polygon outside the grid or of no structure that the
        file names.
    GeometryError
        A grid that cannot be.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise LabelError(f"{path}: is larger than {_LARGEST_BYTES >> 20} MiB; export cases one by one")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path}: is no JSON ({error}); export the contours again") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise LabelError(f"{path}: holds no {FORMAT}; choose a file that 'export --format contours' wrote")
    if document.get("version") != _VERSION:
        raise LabelError(f"{path}: is of version {document.get('version')!r}, this program reads {_VERSION}; update it")
    try:
        scheme, geometry, shape = _scheme(document), _geometry(document), tuple(map(int, document["shape_tzyx"]))
        frames = tuple(int(f) for f in document["frames"])
        labels, case_id = _filled(document["contours"], scheme, shape, str(path)), str(document["case"])
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, SchemeError) as error:
        raise LabelError(
            f"{path}: lacks or misstates {error}; export the contours again with this version of napari-ssl"
        ) from error
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error
    return Polygons(case_id=case_id, labels=labels, frames=frames, scheme=scheme, geometry=geometry)


def _scheme(document: dict[str, Any]) -> LabelScheme:
    structures = tuple(
        Structure(value=int(s["value"]), name=str(s["name"]), role=StructureRole(s["role"]))
        for s in document["structures"]
    )
    return LabelScheme(name="contours", structures=structures)


def _geometry(document: dict[str, Any]) -> Geometry:
    return Geometry(
        size_xyz=tuple(document["shape_tzyx"][:0:-1]),
        spacing_xyz=tuple(document["spacing_zyx_mm"][::-1]),
        origin_xyz=tuple(document["origin_xyz_mm"]),
        direction=tuple(document["direction"]),
        is_2d=document["axes"] == 2,
        is_4d=document["axes"] == 4,
    )


def _filled(contours: Sequence[Any], scheme: LabelScheme, shape: tuple[int, ...], where: str) -> NDArray[np.uint8]:
    if len(shape) != 4 or min(shape) < 1 or np.prod(shape, dtype=float) > 2**31:
        raise ValueError(f"shape_tzyx {shape}")
    values = dict(zip(scheme.names, scheme.values, strict=True))
    masks: dict[tuple[int, int, str], NDArray[np.bool_]] = {}
    for contour in contours:
        place = (int(contour["frame"]), int(contour["slice"]), str(contour["structure"]))
        points = np.asarray(contour["image"], float)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise ValueError(f"the points of a contour on frame {place[0]}, slice {place[1]}")
        inside = (points >= -1).all() and (points <= np.array(shape[:1:-1])).all()
        if not (0 <= place[0] < shape[0] and 0 <= place[1] < shape[1] and inside and place[2] in values):
            raise LabelError(
                f"{where}: a contour of {place[2]!r} on frame {place[0]}, slice {place[1]} is outside the grid "
                f"(T, Z, Y, X) = {shape} or of no structure of the file ({', '.join(values)}); export it again"
            )
        mask = masks.setdefault(place, np.zeros(shape[2:], bool))
        mask ^= fill(points, shape[2:])
    labels = np.zeros(shape, np.uint8)
    for (frame, z, name), mask in masks.items():
        labels[frame, z][mask] = values[name]
    return labels
