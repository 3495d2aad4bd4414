"""What napari finds in this package: reader, writer, sample data and commands; listed in ``napari.yaml``."""

# npe2 reads signatures of commands as they are: no postponed annotations in this module.

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError
from napari_ssl.gui.canvas import label_colours
from napari_ssl.io.images import Geometry, Image, is_image_name, read_image, write_volume
from napari_ssl.phantom import make_sample_member

__all__ = ["get_reader", "review_study", "sample_cine", "try_sample_study", "write_labels"]

_GEOMETRY = "napari_ssl_geometry"
_LABEL_NAME = re.compile(r"(^|[_.\-\d])(gt|seg|segmentation|label|labels|mask|truth)([_.\-\d]|$)")
LayerTuple = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerTuple]] | None:
    """Return a reader for image files that this package knows, None for anything else."""
    paths = [path] if isinstance(path, str) else path
    return _read if paths and all(Path(p).is_file() and is_image_name(p) for p in paths) else None


def _read(path: str | list[str]) -> list[LayerTuple]:
    paths = [path] if isinstance(path, str) else path
    return [_as_layer(Path(p), read_image(p)) for p in paths]


def _as_layer(path: Path, image: Image) -> LayerTuple:
    """Turn an image into a layer in mm with as many axes as its file has; files named as labels become labels."""
    geometry = image.geometry
    keep = (geometry.is_4d, not geometry.is_2d, True, True)
    data = image.data[tuple(slice(None) if k else 0 for k in keep)]
    attributes: dict[str, Any] = {
        "name": path.name.split(".")[0],
        "scale": [s for s, k in zip((1.0, *geometry.spacing_zyx_mm), keep, strict=True) if k],
        "axis_labels": [a for a, k in zip("tzyx", keep, strict=True) if k],
        "units": [u for u, k in zip(("pixel", "mm", "mm", "mm"), keep, strict=True) if k],
        "metadata": {_GEOMETRY: geometry, "path": str(path)},
    }
    if _LABEL_NAME.search(path.name.lower()) and data.dtype.kind in "ui":
        return data, attributes, "labels"
    return data, attributes, "image"


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a labels layer as NIfTI on the grid of the file it was read from, else on the layer's scale.

    Raises
    ------
    LabelError
        Values above 255, or more than four axes.
    StorageError
        The file could not be written; what was there before is intact.
    """
    labels = np.asarray(data)
    if labels.ndim not in (2, 3, 4):
        raise LabelError(f"{path}: labels must have 2 to 4 axes (T, Z, Y, X), got shape {labels.shape}")
    if labels.size and (labels.min() < 0 or labels.max() > 255):
        raise LabelError(
            f"{path}: label values must be 0 to 255, got {labels.min()} to {labels.max()}; renumber the labels"
        )
    scale = (1.0,) * (3 - min(3, labels.ndim)) + tuple(float(s) for s in attributes["scale"])[-3:]
    spacing = tuple(s if i >= 3 - min(3, labels.ndim) else 1.0 for i, s in enumerate(scale))
    array = labels.astype(np.uint8).reshape((1,) * (4 - labels.ndim) + labels.shape)
    geometry = attributes.get("metadata", {}).get(_GEOMETRY)
    if not isinstance(geometry, Geometry) or geometry.size_xyz != array.shape[:0:-1]:
        geometry = Geometry(
            size_xyz=array.shape[:0:-1], spacing_xyz=spacing[::-1], is_2d=labels.ndim == 2, is_4d=labels.ndim == 4
        )
    write_volume(path, array, geometry)
    return [path]


def sample_cine() -> list[LayerTuple]:
    """Return an analytic beating heart with its labels."""
    member = make_sample_member(0)
    case = member.case
    common = {
        "scale": (1.0, *case.spacing_zyx_mm),
        "axis_labels": ("t", "z", "y", "x"),
        "units": ("pixel", "mm", "mm", "mm"),
    }
    colours = label_colours(PRESETS["acdc"])
    return [
        (case.image, {**common, "name": "Beating heart"}, "image"),
        (case.labels, {**common, "name": "Structures", "colormap": colours, "opacity": 0.45}, "labels"),
    ]


def _workspace(viewer: napari.Viewer) -> Any:
    """Return the workspace of this window, opening it where it is not."""
    from napari_ssl.gui.workspace import WorkspaceWidget, add_workspace

    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, WorkspaceWidget):
            return widget
    return add_workspace(viewer)


def review_study(viewer: napari.Viewer) -> None:
    """Open the workspace in this window and ask for a study."""
    _workspace(viewer).ask_open()


def try_sample_study(viewer: napari.Viewer) -> None:
    """Open the workspace in this window on the sample study."""
    _workspace(viewer).try_sample()
