"""Read the voxels of NIfTI files.

SimpleITK's NIfTI reader fills what a truncated file lacks and replaces NaN by 0, both without a word, so the voxels are
unpacked here: every byte that the header promises must be there and, in compressed files, the check sum must fit.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.errors import ImageError
from napari_ssl.io.nifti_header import NiftiHeader, is_gzipped

__all__ = ["read_voxels"]

_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}


def read_voxels(header: NiftiHeader, frames: Sequence[int] | None = None) -> NDArray[Any]:
    """Return the voxels as ``(T, Z, Y, X)`` in native byte order, scaled where the header says so.

    Parameters
    ----------
    header : NiftiHeader
        Of a file of at most four axes.
    frames : sequence of int, optional
        0-based; from an uncompressed file only these are read from the disk.

    Raises
    ------
    ImageError
        Truncated, damaged, or of a data type that is no real number.
    """
    code = _TYPES.get(header.datatype)
    if code is None:
        raise ImageError(
            f"{header.path}: NIfTI data type {header.datatype} is not supported; save real numbers (8 to 64 bits)"
        )
    path = _data_path(header)
    shape = tuple(reversed((*header.dim, 1, 1, 1)[:4]))
    wanted = slice(None) if frames is None else list(frames)
    try:
        if is_gzipped(path):
            stored = _unpack(path, header, np.dtype(header.byte_order + code), shape)[wanted]
        else:
            length = path.stat().st_size
            if length < header.n_data_bytes:
                raise _truncated(path, length, header.n_data_bytes)
            mapped = np.memmap(path, header.byte_order + code, "r", header.data_start, shape)
            stored = np.array(mapped[wanted])
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error}); check that the disk is there") from error
    native = np.require(stored, stored.dtype.newbyteorder("="), ["C", "W", "O"])
    return _scale(native, header.slope, header.intercept)


def _unpack(path: Path, header: NiftiHeader, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        with gzip.open(path, "rb") as file:
            content = file.read()
    except EOFError as error:
        raise ImageError(f"{path}: truncated: the compressed data end early; copy it again from its source") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ImageError(f"{path}: damaged ({error}); copy it again from its source") from error
    if len(content) < header.n_data_bytes:
        raise _truncated(path, len(content), header.n_data_bytes)
    return np.frombuffer(content, dtype, math.prod(shape), header.data_start).reshape(shape)


def _truncated(path: Path, length: int, expected: int) -> ImageError:
    return ImageError(f"{path}: truncated: holds {length} of {expected} bytes; copy it again from its source")


def _data_path(header: NiftiHeader) -> Path:
    if header.single_file:
        return header.path
    stem = header.path.name.removesuffix(".gz")[: -len(".hdr")]
    candidates = [header.path.with_name(stem + suffix) for suffix in (".img", ".img.gz")]
    found = next((p for p in candidates if p.is_file()), None)
    if found is None:
        raise ImageError(f"{header.path}: its voxels, {candidates[0].name}, are not beside it; copy both files")
    return found


def _scale(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Apply ``value = slope * stored + intercept``; a slope of 0 or NaN means none (nifti1.h)."""
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0 or (slope == 1 and intercept == 0):
        return stored
    kind = np.float32 if stored.dtype.itemsize <= 2 or stored.dtype == np.float32 else np.float64
    return stored.astype(kind) * kind(slope) + kind(intercept)
