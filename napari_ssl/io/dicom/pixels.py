"""Decode the pixels of a grid, file by file.

Uncompressed, deflated and RLE files are decoded by pydicom; JPEG, JPEG-LS and JPEG 2000 by the GDCM within SimpleITK.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.uid import UID

from napari_ssl.errors import ImageError
from napari_ssl.io.conversion import StoppedError
from napari_ssl.io.dicom.facts import Picture
from napari_ssl.io.dicom.grid import Grid
from napari_ssl.io.dicom.headers import DAMAGE

__all__ = ["read_grid"]

_PYDICOM = {
    "",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
}


def read_grid(grid: Grid, syntaxes: dict[Path, str], *, should_stop: Callable[[], bool] | None = None) -> NDArray[Any]:
    """Return the values of a grid as ``(T, Z, Y, X)``, scaled by RescaleSlope and RescaleIntercept.

    Whole numbers stay whole where slope and intercept are; otherwise float32.

    Parameters
    ----------
    grid : Grid
    syntaxes : mapping of Path to str
        Transfer syntax of each file.
    should_stop : callable, optional
        Asked before each file; StoppedError ends the reading.

    Raises
    ------
    ImageError
        A file is truncated, damaged, of a syntax that cannot be decoded, or changed since its header was read.
    StoppedError
        `should_stop` said so.
    """
    where: dict[Path, list[tuple[int, int, Picture]]] = {}
    for t, row in enumerate(grid.pictures):
        for z, picture in enumerate(row):
            where.setdefault(picture.path, []).append((t, z, picture))
    pictures = [p for row in grid.pictures for p in row]
    whole = all(p.slope == round(p.slope) and p.intercept == round(p.intercept) for p in pictures)
    data: NDArray[Any] | None = None
    for path, places in where.items():
        if should_stop is not None and should_stop():
            raise StoppedError
        frames = _frames(path, syntaxes.get(path, ""), [p for _, _, p in places])
        for t, z, picture in places:
            values = _values(frames, picture, path)
            kind = np.float32 if not whole else np.int32 if values.dtype.itemsize > 2 else values.dtype
            if data is None:
                data = np.zeros(grid.shape_tzyx, kind)
            elif np.promote_types(data.dtype, kind) != data.dtype:
                data = data.astype(np.promote_types(data.dtype, kind))
            data[t, z] = values
    return data


def _values(frames: NDArray[Any], picture: Picture, path: Path) -> NDArray[Any]:
    if picture.frame >= len(frames) or frames.shape[1:] != (picture.rows, picture.columns):
        raise ImageError(
            f"{path}: decodes to {frames.shape} (frames, rows, columns), its header says frame {picture.frame} of "
            f"{picture.rows} × {picture.columns}; copy it again from its source"
        )
    stored = frames[picture.frame]
    if picture.slope == 1 and picture.intercept == 0:
        return stored
    if picture.slope == round(picture.slope) and picture.intercept == round(picture.intercept):
        scaled = stored.astype(np.int64) * int(picture.slope) + int(picture.intercept)
        small = np.iinfo(np.int16)
        fits = small.min <= scaled.min() and scaled.max() <= small.max
        return scaled.astype(np.int16 if fits else np.int32)
    return (stored * picture.slope + picture.intercept).astype(np.float32)


def _frames(path: Path, syntax: str, pictures: list[Picture]) -> NDArray[Any]:
    """Return the stored values of a file as ``(frames, rows, columns)``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = _by_pydicom(path) if syntax in _PYDICOM else _by_gdcm(path, pictures)
    except DAMAGE as error:
        if isinstance(error, MemoryError):
            raise ImageError(f"{path}: its header claims more pixels than this computer has memory for") from error
        name = UID(syntax).name if syntax else "none"
        raise ImageError(
            f"{path}: its pixels cannot be decoded (transfer syntax {name}, {syntax or 'not stated'}); the file is "
            "damaged or of a syntax that is not supported; copy it again, or decompress it (gdcmconv --raw) and import "
            "that"
        ) from error
    return frames


def _by_pydicom(path: Path) -> NDArray[Any]:
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    array = dataset.pixel_array
    return array if array.ndim == 3 else array[np.newaxis]


def _by_gdcm(path: Path, pictures: list[Picture]) -> NDArray[Any]:
    """Decode by GDCM, which scales by slope and intercept itself; scaling is undone, so that one place scales."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    array = sitk.GetArrayFromImage(reader.Execute())
    array = array if array.ndim == 3 else array[np.newaxis]
    scales = {(p.slope, p.intercept) for p in pictures}
    if scales == {(1.0, 0.0)}:
        return array
    if len(scales) > 1:
        raise ValueError("compressed frames of different rescale slopes")
    slope, intercept = scales.pop()
    return np.rint((array - intercept) / slope).astype(np.int32)
