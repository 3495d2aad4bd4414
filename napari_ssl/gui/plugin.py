"""What napari finds in this package: reader, writer, sample data and commands; listed in ``napari.yaml``."""

# npe2 reads signatures of commands as they are: no postponed annotations in this module.

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError, StudyError
from napari_ssl.gui.canvas import label_colours
from napari_ssl.gui.export_dialog import ask_export
from napari_ssl.gui.open_files import GEOMETRY, LayerTuple, is_study, reader_of
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.phantom import make_sample_member
from napari_ssl.study.study import Study

__all__ = ["export_from_study", "get_reader", "review_study", "sample_cine", "try_sample_study", "write_labels"]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerTuple]] | None:
    """Return a reader for images, DICOM and studies, None for anything else."""
    paths = [Path(p) for p in ([path] if isinstance(path, str) else path)]
    if len(paths) == 1 and is_study(paths[0]):
        return _open_study
    read = reader_of(paths)
    if read is None:
        return None
    return lambda chosen: read([Path(p) for p in ([chosen] if isinstance(chosen, str) else chosen)])


def _open_study(path: str | list[str]) -> list[LayerTuple]:
    """Open a study that was dragged into the window, or chosen with File > Open Folder, in the workspace."""
    viewer = napari.current_viewer()
    if viewer is None:
        raise StudyError(f"{path}: is a study; open it in a napari window, or with: napari-ssl review")
    _workspace(viewer).set_study(Study.open(path if isinstance(path, str) else path[0]))
    return [(None,)]  # napari's sign for: read, and no layer came of it


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
    geometry = attributes.get("metadata", {}).get(GEOMETRY)
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


def export_from_study(viewer: napari.Viewer) -> None:
    """Let the user export from the study that is open in this window; without one, ask for it first."""
    workspace = _workspace(viewer)
    if workspace.study is None:
        workspace.ask_open()
    ask_export(workspace, workspace.study)
