"""Read images as ``(T, Z, Y, X)`` arrays: orientation through SimpleITK. Files are only ever opened for reading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_ssl.errors import GeometryError, ImageError
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.integrity import check_meta_header, check_meta_image
from napari_ssl.io.nifti_header import NiftiHeader
from napari_ssl.io.nifti_voxels import read_voxels

__all__ = ["SUFFIXES", "Image", "ImageHeader", "is_image_name", "read_header", "read_image"]

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img", ".img.gz")
"""NIfTI (one file or a pair), NRRD and MetaImage: the formats that know mm. Others would be read as 1 mm voxels."""

_NIFTI = (".nii.gz", ".nii", ".hdr", ".img", ".img.gz")

# ITK prints a warning, from C++ to the terminal, for every sform without scale; `nifti_header` has a rule for it.
sitk.ProcessObject.SetGlobalWarningDisplay(False)


@dataclass(slots=True, kw_only=True)
class Image:
    """Pixels and where they lie.

    Parameters
    ----------
    data : (T, Z, Y, X) array
        In the file's own type and on-disk orientation.
    geometry : Geometry
        Of the whole file, also when only some frames were read.
    frame_interval_ms : float or None
    path : Path
    """

    data: NDArray[Any]
    geometry: Geometry
    frame_interval_ms: float | None
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """What is known of an image without its pixels."""

    shape_tzyx: tuple[int, int, int, int]
    spacing_zyx_mm: tuple[float, float, float]
    frame_interval_ms: float | None
    geometry: Geometry


def is_image_name(path: str | Path) -> bool:
    """Tell by its name whether the file is one that `read_image` reads (of a NIfTI pair, the ``.hdr``)."""
    name = Path(path).name.lower()
    return name.endswith(SUFFIXES) and not name.endswith((".img", ".img.gz")) and not name.startswith(".")


def read_header(path: str | Path) -> ImageHeader:
    """Read size, spacing and orientation, no pixels.

    Raises
    ------
    ImageError
        No such file, empty, of an unsupported format, damaged header, other than 2D, 3D or 4D, or several values
        per pixel.
    GeometryError
        Zero, negative or contradictory spacing, axes that are not perpendicular.
    """
    return _open(Path(path))[1]


def read_image(path: str | Path, *, frames: Sequence[int] | None = None) -> Image:
    """Read an image, or only some of its frames.

    Parameters
    ----------
    path : path
    frames : sequence of int, optional
        0-based, in the order wanted. From an uncompressed NIfTI file only these are read from the disk.

    Returns
    -------
    Image
        With ``data`` of shape ``(T, Z, Y, X)``; T is ``len(frames)`` where given.

    Raises
    ------
    ImageError
        As `read_header`; also truncated or damaged pixel data, complex numbers, NaN or infinite values, a frame that
        the image does not have.
    GeometryError
        As `read_header`.
    """
    path = Path(path)
    reader, header, nifti = _open(path)
    n_frames = header.shape_tzyx[0]
    if frames is not None:
        outside = [f for f in frames if not 0 <= f < n_frames]
        if outside or not len(frames):
            raise ImageError(f"{path}: asked for frames {list(frames)}; it has frames 0 to {n_frames - 1}")
    try:
        if nifti is not None:
            data = read_voxels(nifti, frames)
        else:
            if path.suffix.lower() in (".mha", ".mhd"):
                check_meta_image(path)
            data = sitk.GetArrayFromImage(reader.Execute()).reshape(header.shape_tzyx)
            data = data if frames is None else data[list(frames)]
    except (RuntimeError, ValueError) as error:
        raise ImageError(f"{path}: cannot be read ({_reason(error)}); copy it again from its source") from error
    _check_values(data, path)
    return Image(data=data, geometry=header.geometry, frame_interval_ms=header.frame_interval_ms, path=path)


def _open(path: Path) -> tuple[sitk.ImageFileReader, ImageHeader, NiftiHeader | None]:
    _check_file(path)
    nifti = None
    if path.name.lower().endswith(_NIFTI):
        header_path = path
        if path.name.lower().endswith((".img", ".img.gz")):
            header_path = path.with_name(path.name[: path.name.lower().rindex(".img")] + ".hdr")
            _check_file(header_path)
        nifti = NiftiHeader.read(header_path)
        spacing = nifti.spacing_xyz_mm()
    if path.suffix.lower() in (".mha", ".mhd"):
        check_meta_header(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        reason = _reason(error)
        if "orthonormal" in reason:
            raise GeometryError(
                f"{path}: its axes are not perpendicular to each other (sheared sform); resample it"
            ) from error
        raise ImageError(f"{path}: cannot be read ({reason}); copy it again or convert it to .nii.gz") from error
    if reader.GetNumberOfComponents() != 1:
        raise ImageError(
            f"{path}: has {reader.GetNumberOfComponents()} values per pixel (colour, vector or complex image); "
            "napari-ssl reads one grey value per pixel; export the magnitude or one channel"
        )
    geometry = Geometry.from_reader(reader, path)
    if nifti is not None:
        spacing = spacing if len(spacing) == 3 else (*spacing, 1.0)
        geometry = replace(geometry, spacing_xyz=spacing, frame_interval_ms=nifti.frame_interval_ms())
    n_frames = reader.GetSize()[3] if geometry.is_4d else 1
    if n_frames < 1:
        raise ImageError(f"{path}: has no frame (size {tuple(reader.GetSize())}); export the image again")
    header = ImageHeader(
        shape_tzyx=(n_frames, *geometry.size_zyx),
        spacing_zyx_mm=geometry.spacing_zyx_mm,
        frame_interval_ms=geometry.frame_interval_ms,
        geometry=geometry,
    )
    return reader, header, nifti


def _check_file(path: Path) -> None:
    if not path.exists():
        raise ImageError(f"{path}: no such file; check the path or mount the disk that holds it")
    if not path.is_file():
        raise ImageError(f"{path}: is a folder, not an image file; name the file")
    if not path.name.lower().endswith(SUFFIXES):
        raise ImageError(
            f"{path}: format {''.join(path.suffixes[-2:]) or '(no suffix)'!r} is not supported; napari-ssl reads "
            f"{', '.join(SUFFIXES)}; convert it"
        )
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        raise ImageError(f"{path}: cannot be opened ({error.strerror or error}); check its permissions") from error
    if not first:
        raise ImageError(f"{path}: is empty (0 bytes); copy it again from its source")


def _check_values(data: NDArray[Any], path: Path) -> None:
    if data.dtype.kind not in "iuf":
        raise ImageError(f"{path}: holds {data.dtype} values; napari-ssl reads real numbers; export the magnitude")
    if data.dtype.kind == "f":
        n_bad = data.size - int(np.count_nonzero(np.isfinite(data)))
        if not n_bad:
            _check_magnitude(data, path)
        else:
            where = tuple(int(i[0]) for i in np.nonzero(~np.isfinite(data)))
            raise ImageError(
                f"{path}: {n_bad} voxels are NaN or infinite, the first at (t, z, y, x) = {where}: {data[where]}; "
                "replace them by a number in a copy and import that"
            )


def _check_magnitude(data: NDArray[Any], path: Path) -> None:
    """Networks compute in 32 bits."""
    limit = float(np.finfo(np.float32).max) / 4
    low, high = float(data.min()), float(data.max())
    if max(-low, high) > limit:
        raise ImageError(
            f"{path}: holds the value {high if high > -low else low:g}, 32-bit arithmetic ends at {limit:.2g}; "
            "scale the values in a copy and import that"
        )


def _reason(error: Exception) -> str:
    """Return the telling line of one of SimpleITK's messages of many lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if lines[-1].startswith("[nrrd]"):
        return lines[-1]
    telling = [line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line]
    reason = telling[-1] if telling else lines[-1]
    if "allocate memory" in reason:
        return "its header claims more voxels than this computer has memory for"
    return re.sub(r"^\w+\(0x[0-9a-f]+\):\s*", "", reason)  # the address of an object tells nobody anything
