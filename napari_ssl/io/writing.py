"""Write label maps and images as NIfTI with the exact geometry of the image they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_ssl.errors import ImageError
from napari_ssl.io.atomic import replacing, storage_error
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.nifti_header import NiftiHeader
from napari_ssl.io.nifti_voxels import read_voxels
from napari_ssl.io.reading import read_image

__all__ = ["write_volume"]

_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def write_volume(path: str | Path, array_tzyx: NDArray[Any], geometry: Geometry, *, verify: bool = True) -> None:
    """Write ``(T, Z, Y, X)`` as a 2D, 3D or 4D NIfTI file, as the geometry says; whole or not at all.

    SimpleITK raises nothing when the disk is full, so the file is written under a temporary name, its length and check
    sum are checked, and (with `verify`) its pixels and geometry are read back and compared before it takes its place.

    Parameters
    ----------
    path : path
        ``.nii.gz`` or ``.nii``, in a folder that exists.
    array_tzyx : (T, Z, Y, X) array
        Integers, bool (stored as uint8) or floating point of 32 or 64 bits.
    geometry : Geometry
        Of the image; T may differ from the image's where the geometry is 4D.
    verify : bool

    Raises
    ------
    ImageError
        Another suffix, a type that NIfTI has not, NaN or infinite values.
    GeometryError
        The array does not fit the geometry.
    StorageError
        Disk full, no permission, no such folder; what was there before is intact.
    """
    path = Path(path)
    array = np.asarray(array_tzyx)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if not path.name.lower().endswith((".nii.gz", ".nii")):
        raise ImageError(f"{path}: napari-ssl writes .nii.gz and .nii; choose one of these suffixes")
    if array.dtype.name not in _TYPES:
        raise ImageError(f"{path}: cannot store {array.dtype} values; use one of {', '.join(_TYPES)}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageError(f"{path}: the array holds NaN or infinite values; replace them before writing")
    image = geometry.to_image(array)
    difference = None
    with replacing(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=path.name.lower().endswith(".gz"))
            if verify:
                difference = _read_back(temporary, array, geometry)
            else:
                read_voxels(NiftiHeader.read(temporary))
        except ImageError as error:  # what reading back says of a file that was cut short
            told = str(error).replace(f"{temporary}: ", "the new file ")
            reason = told.rpartition("; ")[0] or told
            raise storage_error(path, reason) from error
        except RuntimeError as error:
            reason = str(error).replace(str(temporary), "the new file").splitlines()[-1]
            raise storage_error(path, reason) from error
        if difference:
            raise storage_error(path, difference)


def _read_back(temporary: Path, array: NDArray[Any], geometry: Geometry) -> str | None:
    """Say how the file differs from what was to be written, or None."""
    written = read_image(temporary)
    if not np.array_equal(written.data, array):
        return "what was read back differs from what was written"
    return geometry.differs(written.geometry)
