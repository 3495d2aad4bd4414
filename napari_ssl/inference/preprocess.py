"""The grid that a network works on, and the way back to the image's own. Intensities are in `inference.intensity`.

Resampling maps edge to edge (``align_corners=False``), so that going there and back keeps every structure in place
whatever the rounding of the size.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import GeometryError
from napari_ssl.inference.intensity import intensity_window, normalise, scale_to_window

__all__ = [
    "centre_crop",
    "intensity_window",
    "network_size_yx",
    "network_size_zyx",
    "normalise",
    "resample",
    "resample_labels",
    "resample_volume",
    "scale_to_window",
]

_LARGEST = 8192


def network_size_zyx(
    size_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], preprocessing: Preprocessing
) -> tuple[int, int, int]:
    """Size of a volume after resampling to the slice and pixel spacing of the preprocessing (0: unchanged).

    Raises
    ------
    GeometryError
        More than 8192 voxels along an axis.
    """
    targets = (preprocessing.slice_spacing_mm, preprocessing.pixel_spacing_mm, preprocessing.pixel_spacing_mm)
    size = tuple(
        int(n) if target == 0 else max(1, round(n * s / target))
        for n, s, target in zip(size_zyx, spacing_zyx_mm, targets, strict=True)
    )
    if max(size) > _LARGEST and size != tuple(size_zyx):
        raise GeometryError(
            f"resampling {tuple(size_zyx)} voxels of {tuple(spacing_zyx_mm)} mm to {targets} mm gives {size}, more "
            f"than {_LARGEST}; correct the spacing in the file's header or choose a larger pixel_spacing_mm or "
            "slice_spacing_mm"
        )
    return size


def network_size_yx(
    size_yx: Sequence[int], spacing_zyx_mm: Sequence[float], preprocessing: Preprocessing
) -> tuple[int, int]:
    """In-plane part of `network_size_zyx`."""
    _, height, width = network_size_zyx((1, *size_yx), (1.0, *spacing_zyx_mm[1:]), _in_plane(preprocessing))
    return height, width


def _in_plane(preprocessing: Preprocessing) -> Preprocessing:
    return Preprocessing(pixel_spacing_mm=preprocessing.pixel_spacing_mm)


def resample(slices: Tensor, size_yx: tuple[int, int]) -> Tensor:
    """Resample ``(B, C, Y, X)`` float to `size_yx`, bilinear; averages where it shrinks."""
    if tuple(slices.shape[-2:]) == tuple(size_yx):
        return slices
    shrinks = size_yx[0] < slices.shape[-2] or size_yx[1] < slices.shape[-1]
    return functional.interpolate(slices, size=size_yx, mode="bilinear", align_corners=False, antialias=shrinks)


def resample_volume(volumes: Tensor, size_zyx: Sequence[int]) -> Tensor:
    """Resample ``(B, C, Z, Y, X)`` float to `size_zyx`, linear along each axis; averages where one shrinks."""
    n, channels, depth, height, width = volumes.shape
    new_depth, new_height, new_width = size_zyx
    if (height, width) != (new_height, new_width):
        slices = volumes.reshape(n, channels * depth, height, width)
        volumes = resample(slices, (new_height, new_width)).reshape(n, channels, depth, new_height, new_width)
    if depth != new_depth:
        columns = volumes.reshape(n, channels, depth, new_height * new_width)
        columns = resample(columns, (new_depth, new_height * new_width))
        volumes = columns.reshape(n, channels, new_depth, new_height, new_width)
    return volumes


def resample_labels(labels: Tensor, size: Sequence[int]) -> Tensor:
    """Resample ``(B, Y, X)`` or ``(B, Z, Y, X)`` uint8 to `size`, nearest neighbour on the same grid as `resample`."""
    if tuple(labels.shape[1:]) == tuple(size):
        return labels
    resampled = functional.interpolate(labels[:, None].float(), size=tuple(size), mode="nearest-exact")
    return resampled[:, 0].to(labels.dtype)


def centre_crop(array: Tensor, size: Sequence[int], value: float = 0.0) -> Tensor:
    """Cut or pad the last axes, as many as `size` has, around the centre; the same call with the old size undoes it.

    `value` is what the padding holds.
    """
    pads: list[int] = []
    for have, want in zip(reversed(array.shape[-len(size) :]), reversed(size), strict=True):
        before = int((want - have) / 2)  # towards zero, so that cutting undoes padding for odd differences too
        pads += [before, want - have - before]
    return functional.pad(array, pads, value=value)
