"""Labels layers to files: NIfTI, DICOM Segmentation, contours. napari gives the labels, and their image if selected.

An image of 4D labels is a cine: of DICOM Segmentations, which hold one phase, one file per labelled phase is written.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme, Structure
from napari_ssl.errors import ImageError, LabelError, SchemeError, StorageError
from napari_ssl.gui.layer_place import GEOMETRY, PICTURES, LayerTuple, images_of, place_of
from napari_ssl.io.atomic import write_bytes
from napari_ssl.io.contours.polygons import polygons_document
from napari_ssl.io.dicom_seg import write_dicom_seg
from napari_ssl.io.dicom_series import read_pictures
from napari_ssl.io.images import Geometry, hash_labels, write_volume

__all__ = ["FRAME", "SEGMENTS", "contours_of_layer", "nifti_of_layer", "seg_of_layer"]

FRAME, SEGMENTS = "frame", "segments"
"""Keys in the metadata of labels that were read from DICOM Segmentations: phase from 0, names by value."""


def nifti_of_layer(path: str, layers: Sequence[LayerTuple], around: Sequence[LayerTuple] = ()) -> list[str]:
    """Write labels as NIfTI on the grid of the image that they are of.

    Parameters
    ----------
    path : str
    layers : sequence of layer data
        One labels layer, and its image where both were selected.
    around : sequence of layer data
        All layers of the window.

    Raises
    ------
    LabelError
        Values above 255, more than four axes, or a place that nobody knows.
    StorageError
        The file could not be written; what was there before is intact.
    """
    data, attributes = _labels_of(path, layers)
    images = images_of(layers, around, _as_tzyx(data).shape[1:])
    write_volume(path, _as_tzyx(data), place_of(data.shape, attributes, images, path))
    return [path]


def contours_of_layer(path: str, layers: Sequence[LayerTuple], around: Sequence[LayerTuple] = ()) -> list[str]:
    """Write the outlines of labels as JSON (`io.contours.polygons`); frames without any label are left out.

    Raises
    ------
    LabelError
        As `nifti_of_layer`; also where there is no label at all.
    StorageError
        The file could not be written; what was there before is intact.
    """
    data, attributes = _labels_of(path, layers)
    array = _as_tzyx(data)
    images = images_of(layers, around, array.shape[1:])
    geometry = place_of(data.shape, attributes, images, path)
    frames = _labelled_frames(array, path)
    name = str(attributes.get("name") or Path(path).name.split(".")[0])
    document = polygons_document(array, frames, _scheme(array, attributes, path), geometry, name)
    write_bytes(path, (json.dumps(document, ensure_ascii=False) + "\n").encode())
    return [path]


def seg_of_layer(path: str, layers: Sequence[LayerTuple], around: Sequence[LayerTuple] = ()) -> list[str]:
    """Write labels as DICOM Segmentation over the DICOM pictures that their image was read from.

    It belongs to the same patient and study as these pictures and so names the patient as they do. Of a cine, one file
    per labelled phase: ``<name>_frameTT.dcm``, TT from 1.

    Raises
    ------
    LabelError
        As `contours_of_layer`; also labels of one phase of a cine that do not say of which.
    ImageError
        The DICOM pictures are not known or not there any more.
    StorageError
        A file could not be written, or a phase's file is there already.
    """
    data, attributes = _labels_of(path, layers)
    array = _as_tzyx(data)
    images = images_of(layers, around, array.shape[1:])
    pictures = _pictures(images, place_of(data.shape, attributes, images, path), path)
    phases = _phases(array, attributes, len(pictures), path)
    scheme = _scheme(array, attributes, path)
    single = Path(path)
    if scheme.values != tuple(range(1, len(scheme.values) + 1)):
        numbered = ", ".join(f"{value} becomes {n}" for n, value in enumerate(scheme.values, start=1))
        warnings.warn(f"{path}: DICOM numbers segments from 1 without a gap: {numbered}", stacklevel=2)
    targets = {t: single if data.ndim < 4 else single.with_name(f"{single.stem}_frame{t + 1:02d}.dcm") for t in phases}
    taken = [str(p) for p in targets.values() if p != single and p.exists()]
    if taken:
        raise StorageError(f"{taken[0]}: exists already and nothing was written; choose another name")
    for t, target in targets.items():
        labels = phases[t]
        write_dicom_seg(
            target, labels, read_pictures(pictures[t]), scheme,
            case_id=str(attributes.get("name") or single.stem), frame=t, label_hash=hash_labels(labels), by_hand=True,
        )  # fmt: skip
    return [str(p) for p in targets.values()]


def _pictures(images: Sequence[Mapping[str, Any]], place: Geometry, path: str) -> Sequence[Sequence[str]]:
    """Return the DICOM files ``[t][z]`` of the image that lies where the labels lie."""
    difference = "none is open"
    for metadata in images:
        if PICTURES in metadata:
            difference = place.differs(metadata[GEOMETRY])
            if difference is None:
                return metadata[PICTURES]
    raise ImageError(
        f"{path}: a DICOM Segmentation refers to the single-frame DICOM pictures that it was drawn on, and no open "
        f"image is of such pictures at this place ({difference}); open their folder and save the labels over it, or "
        "save as .nii.gz, or import the image into a study and use Export from the study (DICOM Segmentation), which "
        "makes the pictures too"
    )


def _phases(
    array: NDArray[np.uint8], attributes: Mapping[str, Any], n_phases: int, path: str
) -> dict[int, NDArray[np.uint8]]:
    """Return the labels ``(Z, Y, X)`` of each phase that is written."""
    if array.shape[0] > 1 or n_phases == 1:
        if array.shape[0] != n_phases:
            raise LabelError(f"{path}: labels of {array.shape[0]} phases do not fit DICOM pictures of {n_phases}")
        return {t: array[t] for t in _labelled_frames(array, path)}
    frame = attributes.get("metadata", {}).get(FRAME)
    if frame is None or not 0 <= int(frame) < n_phases:
        raise LabelError(
            f"{path}: labels of one phase over a cine of {n_phases} do not say which phase they are of; draw on a "
            "labels layer of all phases (New labels layer), then save that"
        )
    return {int(frame): array[0]}


def _labels_of(path: str, layers: Sequence[LayerTuple]) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    data, attributes = next((d, a) for d, a, kind in layers if kind == "labels")
    labels = np.asarray(data)
    if labels.ndim not in (2, 3, 4):
        raise LabelError(f"{path}: labels must have 2 to 4 axes (T, Z, Y, X), got shape {labels.shape}")
    if labels.size and (labels.min() < 0 or labels.max() > 255):
        raise LabelError(
            f"{path}: label values must be 0 to 255, got {labels.min()} to {labels.max()}; renumber the labels"
        )
    return labels.astype(np.uint8), attributes


def _as_tzyx(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return labels.reshape((1,) * (4 - labels.ndim) + labels.shape)


def _labelled_frames(array: NDArray[np.uint8], path: str) -> list[int]:
    frames = np.flatnonzero(array.any(axis=(1, 2, 3))).tolist()
    if not frames:
        raise LabelError(f"{path}: the layer holds no label at all; draw something first")
    return frames


def _scheme(array: NDArray[np.uint8], attributes: Mapping[str, Any], path: str) -> LabelScheme:
    """Name the values: as their file did, else ``Label 1``, ``Label 2``, …"""
    names = {int(v): str(n) for v, n in (attributes.get("metadata", {}).get(SEGMENTS) or {}).items()}
    values = sorted(set(np.unique(array).tolist()) - {0} | set(names))
    allowed = {v: re.sub(r"[^\w \-]+", " ", name).strip(" -")[:41] for v, name in names.items()}
    try:
        structures = tuple(Structure(value=v, name=allowed.get(v) or f"Label {v}") for v in values)
        return LabelScheme(name="layer", structures=structures)
    except SchemeError as error:
        raise LabelError(f"{path}: {error}") from error
