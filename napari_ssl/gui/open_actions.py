"""What is dropped onto the window, or opened, and is no layer: a study, a model, a data set to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QTimer

from napari_ssl.errors import NapariSslError, StudyError
from napari_ssl.gui.layer_place import GEOMETRY, LayerTuple
from napari_ssl.gui.layer_writers import SEGMENTS
from napari_ssl.gui.open_files import is_study
from napari_ssl.io.bundles import is_bundle
from napari_ssl.io.layouts import LAYOUTS, detect
from napari_ssl.study.study import Study

__all__ = ["action_of", "with_study", "workspace_of"]


def action_of(path: Path) -> Callable[[Path], None] | None:
    """Return what is to be done with a study, a model or a data set; None for anything else."""
    if path.is_dir() and is_study(path):
        return _open_study
    if is_bundle(path):
        return _import_model
    if path.is_dir() and _layout(path) is not None:
        return _import_data_set
    return None


def workspace_of(viewer: napari.Viewer) -> Any:
    """Return the workspace of this window, opening it where it is not."""
    from napari_ssl.gui.workspace import add_workspace

    return _open_workspace(viewer) or add_workspace(viewer)


def _open_workspace(viewer: napari.Viewer) -> Any:
    from napari_ssl.gui.workspace import WorkspaceWidget

    return next((w for w in viewer.window.dock_widgets.values() if isinstance(w, WorkspaceWidget)), None)


def with_study(layers: Sequence[LayerTuple], viewer: napari.Viewer | None) -> list[LayerTuple]:
    """Return layers with what the study knows of those that the workspace shows: their place, names of structures."""
    workspace = None if viewer is None else _open_workspace(viewer)
    if workspace is None or workspace.study is None or workspace.canvas.labels is None:
        return list(layers)
    session = workspace.reviewer.session
    if session is None or session.case_id is None:
        return list(layers)
    geometry, scheme = workspace.study.image_geometry(session.case_id), workspace.study.label_scheme
    known = {
        id(workspace.canvas.image.data): {GEOMETRY: geometry},
        id(workspace.canvas.labels.data): {
            GEOMETRY: geometry,
            SEGMENTS: dict(zip(scheme.values, scheme.names, strict=True)),
        },
    }
    return [
        (data, {**attributes, "metadata": {**attributes.get("metadata", {}), **known.get(id(data), {})}}, kind)
        for data, attributes, kind in layers
    ]


def _layout(folder: Path) -> str | None:
    """Return the layout of a folder of images; DICOM opens as layers and is none here."""
    try:
        layout = detect(folder)
    except NapariSslError:
        return None
    return None if layout == "dicom" else layout


def _open_study(path: Path) -> None:
    viewer = napari.current_viewer()
    if viewer is None:
        raise StudyError(f"{path}: is a study; open it in a napari window, or with: napari-ssl review")
    workspace_of(viewer).set_study(Study.open(path))


def _import_model(path: Path) -> None:
    command = "napari-ssl models import STUDY MODEL"
    workspace = _with_study(f"{path.name}: is a model, which belongs into a study", command)
    QTimer.singleShot(0, workspace, lambda: workspace.models.import_model.ask(path))


def _import_data_set(path: Path) -> None:
    title = LAYOUTS[_layout(path)].title
    workspace = _with_study(f"{path.name}: is a data set ({title}), too much for layers", "napari-ssl study import")
    QTimer.singleShot(0, workspace, lambda: workspace.ask_import([path]))


def _with_study(what: str, command: str) -> Any:
    """Return the workspace of this window where a study that can be written is open in it."""
    viewer = napari.current_viewer()
    workspace = None if viewer is None else workspace_of(viewer)
    if workspace is None or workspace.study is None or workspace.study.read_only:
        raise StudyError(f"{what}; open or make a study in the Review workspace, then drop it again (or: {command})")
    return workspace
