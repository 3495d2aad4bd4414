"""What opens in napari by dragging or *File > Open*: images, DICOM folders and files, segmentations, studies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_ssl.errors import ImageError
from napari_ssl.io.dicom.folder import files_below, index_files, is_dicom
from napari_ssl.io.dicom.pixels import read_grid
from napari_ssl.io.dicom.stacks import Stack, stacks_of
from napari_ssl.io.dicom_seg import is_dicom_seg, read_dicom_seg
from napari_ssl.io.images import Geometry, Image, is_image_name, read_image
from napari_ssl.io.layouts.dicom import holds_dicom
from napari_ssl.study.settings import SETTINGS_FILE

__all__ = ["GEOMETRY", "LayerTuple", "as_layer", "is_study", "reader_of"]

GEOMETRY = "napari_ssl_geometry"
"""Key in a layer's metadata."""

LayerTuple = tuple[Any, dict[str, Any], str]
_LABEL_NAME = re.compile(r"(^|[_.\-\d])(gt|seg|segmentation|label|labels|mask|truth)([_.\-\d]|$)")


def is_study(path: Path) -> bool:
    """Whether a folder is a study."""
    return (path / SETTINGS_FILE).is_file()


def reader_of(paths: Sequence[Path]) -> Callable[[Sequence[Path]], list[LayerTuple]] | None:
    """Return what reads these paths into layers, None where they are nothing that this package reads.

    Image files, or DICOM: a folder, or files of it. Files of both kinds together are left to others.
    """
    if paths and all(p.is_file() and is_image_name(p) for p in paths):
        return lambda chosen: [as_layer(p.name, read_image(p)) for p in chosen]
    if paths and all(is_dicom(p) if p.is_file() else p.is_dir() and holds_dicom(p) for p in paths):
        return _read_dicom
    return None


def _read_dicom(paths: Sequence[Path]) -> list[LayerTuple]:
    """One image layer for every series that makes a grid, one labels layer for every segmentation.

    Raises
    ------
    ImageError
        Nothing of it can be shown; the message says why.
    """
    files = files_below(paths)
    segmentations = [path for path in files if is_dicom_seg(path)]
    pictures = [path for path in files if path not in set(segmentations)]
    layers, problems = [], []
    found = index_files(pictures) if pictures else None
    for stack in stacks_of(found.series) if found else ():
        name = f"series {stack.files[0].series_number or '?'}"
        if stack.grid is None:
            problems.append(f"{name}: {'; '.join(stack.problems)}")
        else:
            layers.append(as_layer(name, _image(stack)))
    layers += [_segmentation_layer(path) for path in segmentations]
    if not layers:
        reasons = "; ".join(problems) or "no DICOM image"
        redact = found.redaction.text if found else str
        raise ImageError(f"nothing can be shown: {redact(reasons)}")
    return layers


def _image(stack: Stack) -> Image:
    grid = stack.grid
    data = read_grid(grid, {facts.path: facts.syntax for facts in stack.files})
    return Image(
        data=data, geometry=grid.geometry, frame_interval_ms=grid.geometry.frame_interval_ms, path=stack.files[0].path
    )


def _segmentation_layer(path: Path) -> LayerTuple:
    found = read_dicom_seg(path)
    layer = as_layer(
        f"segmentation {'' if found.frame is None else f'phase {found.frame + 1}'}".strip(),
        Image(data=found.labels[None], geometry=found.geometry, frame_interval_ms=None, path=path),
    )
    layer[1]["metadata"]["segments"] = dict(found.names)
    return layer[0], layer[1], "labels"


def as_layer(name: str, image: Image) -> LayerTuple:
    """Turn an image into a layer in mm with as many axes as its file has; files named as labels become labels."""
    geometry: Geometry = image.geometry
    keep = (geometry.is_4d, not geometry.is_2d, True, True)
    data = image.data[tuple(slice(None) if k else 0 for k in keep)]
    attributes: dict[str, Any] = {
        "name": name.split(".")[0],
        "scale": [s for s, k in zip((1.0, *geometry.spacing_zyx_mm), keep, strict=True) if k],
        "axis_labels": [a for a, k in zip("tzyx", keep, strict=True) if k],
        "units": [u for u, k in zip(("pixel", "mm", "mm", "mm"), keep, strict=True) if k],
        "metadata": {GEOMETRY: geometry, "path": str(image.path)},
    }
    if _LABEL_NAME.search(name.lower()) and data.dtype.kind in "ui":
        return data, attributes, "labels"
    return data, attributes, "image"
