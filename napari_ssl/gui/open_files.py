"""What opens in napari by dragging or *File > Open*: images, DICOM, segmentations, contours, studies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_ssl.errors import ImageError
from napari_ssl.gui.layer_place import GEOMETRY, PICTURES, LayerTuple
from napari_ssl.gui.layer_writers import FRAME, SEGMENTS
from napari_ssl.io.contours.polygons import is_polygons, read_polygons
from napari_ssl.io.dicom.folder import files_below, index_files, is_dicom
from napari_ssl.io.dicom.pixels import read_grid
from napari_ssl.io.dicom.stacks import Stack, stacks_of
from napari_ssl.io.dicom_seg import is_dicom_seg, read_dicom_seg
from napari_ssl.io.images import Geometry, Image, is_image_name, read_image
from napari_ssl.io.layouts import ImportItem, ScanOptions, detect, scan
from napari_ssl.io.layouts.contoured import cvi42_files, sunnybrook_folders
from napari_ssl.io.layouts.dicom import holds_dicom
from napari_ssl.io.layouts.plain import image_files
from napari_ssl.study.settings import SETTINGS_FILE

__all__ = ["GEOMETRY", "LayerTuple", "as_layer", "is_study", "reader_of"]

_MOST_CASES = 6
_LONE_CONTOUR = re.compile(r"\.cvi42wsx$|^im-\d+-\d+-\w+contour-\w+\.txt$")
_LABEL_NAME = re.compile(r"(^|[_.\-\d])(gt|seg|segmentation|label|labels|mask|truth)([_.\-\d]|$)")


def is_study(path: Path) -> bool:
    """Whether a folder is a study."""
    return (path / SETTINGS_FILE).is_file()


def reader_of(paths: Sequence[Path]) -> Callable[[Sequence[Path]], list[LayerTuple]] | None:
    """Return what reads these paths into layers, None where they are nothing that this package reads.

    Image files, contour files, DICOM (a folder, or files of it), or a folder of DICOM with the contours of other
    programs. Files of two kinds together are left to others.
    """
    if paths and all(p.is_file() and is_image_name(p) for p in paths):
        return lambda chosen: [as_layer(p.name, read_image(p)) for p in chosen]
    if paths and all(p.is_file() and is_polygons(p) for p in paths):
        return lambda chosen: [_polygon_layer(p) for p in chosen]
    if paths and all(p.is_file() and _LONE_CONTOUR.search(p.name.lower()) for p in paths):
        return _refuse_lone_contours
    if len(paths) == 1 and paths[0].is_dir():
        if layout := _contoured(paths[0]):
            return lambda chosen: _read_contoured(chosen[0], layout)
        if _is_few_images(paths[0]):
            return lambda chosen: [as_layer(p.name, read_image(p)) for p in image_files(chosen[0])]
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
            layers.append(_dicom_layer(name, stack))
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


def _dicom_layer(name: str, stack: Stack) -> LayerTuple:
    """Return an image layer that knows its files, so that a segmentation can refer to them."""
    layer = as_layer(name, _image(stack))
    rows = [[str(picture.path) for picture in row] for row in stack.grid.pictures]
    if len({path for row in rows for path in row}) == sum(map(len, rows)):  # not of a multi-frame file
        layer[1]["metadata"][PICTURES] = rows
    return layer


def _polygon_layer(path: Path) -> LayerTuple:
    """Return our own contours, filled."""
    found = read_polygons(path)
    image = Image(data=found.labels, geometry=found.geometry, frame_interval_ms=None, path=path)
    data, attributes, _ = as_layer(found.case_id, image)
    attributes["metadata"][SEGMENTS] = dict(zip(found.scheme.values, found.scheme.names, strict=True))
    return data, attributes, "labels"


def _refuse_lone_contours(paths: Sequence[Path]) -> list[LayerTuple]:
    raise ImageError(
        f"{paths[0].name}: contours lie on the DICOM pictures that they were drawn on; open the folder that holds both"
    )


def _is_few_images(folder: Path) -> bool:
    """Whether a folder holds a few image files and is no data set."""
    if not 1 <= len(image_files(folder)) <= _MOST_CASES:
        return False
    try:
        return detect(folder) == "plain"
    except ImageError:
        return False


def _contoured(folder: Path) -> str | None:
    """Return the layout of a folder that holds DICOM with contours of other programs."""
    if cvi42_files(folder):
        return "cvi42"
    return "sunnybrook" if sunnybrook_folders(folder) else None


def _read_contoured(folder: Path, layout: str) -> list[LayerTuple]:
    """One image layer for every series, one labels layer for the contours on it.

    Raises
    ------
    ImageError
        No DICOM, nothing that makes a grid, or too much for one window.
    LabelError
        Contours that do not fit the pictures.
    """
    items: list[ImportItem] = scan(folder, layout, ScanOptions())
    if len(items) > _MOST_CASES:
        raise ImageError(
            f"{folder.name}: holds {len(items)} cines; open the folder of one subject, or import all of them into a "
            "study"
        )
    layers = [layer for item in items if not item.conversion.problem for layer in _contoured_layers(item)]
    if not layers:
        raise ImageError(f"nothing can be shown: {items[0].conversion.problem}")
    return layers


def _contoured_layers(item: ImportItem) -> list[LayerTuple]:
    stack: Stack = item.conversion.stack
    image = _dicom_layer(f"series {stack.files[0].series_number or '?'}", stack)
    if item.drawn is None:
        return [image]
    geometry = stack.grid.geometry
    labels, _frames = item.drawn.labels(stack.grid.shape_tzyx)
    picture = Image(data=labels, geometry=geometry, frame_interval_ms=None, path=stack.files[0].path)
    data, attributes, _ = as_layer("contours", picture)
    attributes["metadata"][SEGMENTS] = dict(item.label_proposal.meanings)
    return [image, (data, attributes, "labels")]


def _segmentation_layer(path: Path) -> LayerTuple:
    found = read_dicom_seg(path)
    layer = as_layer(
        f"segmentation {'' if found.frame is None else f'phase {found.frame + 1}'}".strip(),
        Image(data=found.labels[None], geometry=found.geometry, frame_interval_ms=None, path=path),
    )
    layer[1]["metadata"] |= {SEGMENTS: dict(found.names), FRAME: found.frame}
    return layer[0], layer[1], "labels"


def as_layer(name: str, image: Image) -> LayerTuple:
    """Turn an image into a layer in mm with as many axes as its file has; files named as labels become labels."""
    geometry: Geometry = image.geometry
    keep = (geometry.is_4d, not geometry.is_2d, True, True)
    data = image.data[tuple(slice(None) if k else 0 for k in keep)]
    attributes: dict[str, object] = {
        "name": name.split(".")[0],
        "scale": [s for s, k in zip((1.0, *geometry.spacing_zyx_mm), keep, strict=True) if k],
        "axis_labels": [a for a, k in zip("tzyx", keep, strict=True) if k],
        "units": [u for u, k in zip(("pixel", "mm", "mm", "mm"), keep, strict=True) if k],
        "metadata": {GEOMETRY: geometry, "path": str(image.path)},
    }
    if _LABEL_NAME.search(name.lower()) and data.dtype.kind in "ui":
        return data, attributes, "labels"
    return data, attributes, "image"
