"""What napari finds in this package: reader, writers, sample data and commands; listed in ``napari.yaml``."""

# npe2 reads signatures of commands as they are: no postponed annotations in this module.

from collections.abc import Callable
from pathlib import Path

import napari
from napari.types import FullLayerData

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.gui.canvas import label_colours
from napari_ssl.gui.export_dialog import ask_export
from napari_ssl.gui.layer_place import LayerTuple
from napari_ssl.gui.layer_writers import contours_of_layer, nifti_of_layer, seg_of_layer
from napari_ssl.gui.open_actions import action_of, with_study, workspace_of
from napari_ssl.gui.open_files import is_study, reader_of
from napari_ssl.phantom import make_sample_member

__all__ = [
    "export_from_study",
    "get_reader",
    "review_study",
    "sample_cine",
    "try_sample_study",
    "write_contours",
    "write_dicom_segmentation",
    "write_nifti",
]

_OTHERS = (".zarr", ".n5")
"""Folders of many thousand files that other plugins read; to look through them takes seconds."""


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerTuple]] | None:
    """Return a reader for images, DICOM, contours, studies, models and data sets, None for anything else."""
    paths = _paths(path)
    if any(p.suffix.lower() in _OTHERS for p in paths):
        return None
    if len(paths) == 1 and is_study(paths[0]):
        return _act
    read = reader_of(paths)
    if read is not None:
        return lambda chosen: read(_paths(chosen))
    return _act if len(paths) == 1 and action_of(paths[0]) else None


def _paths(path: str | list[str]) -> list[Path]:
    return [Path(p) for p in ([path] if isinstance(path, str) else path)]


def _act(path: str | list[str]) -> list[LayerTuple]:
    """Do what a study, model or data set is for."""
    (chosen,) = _paths(path)
    action_of(chosen)(chosen)
    return [(None,)]  # napari's sign for: read, and no layer came of it


def _layers(layers: list[FullLayerData]) -> tuple[list[LayerTuple], list[LayerTuple]]:
    """Return layers to be saved and all layers of the window, with what the open study knows of them."""
    viewer = napari.current_viewer()
    around = [] if viewer is None else [layer.as_layer_data_tuple() for layer in viewer.layers]
    return with_study(layers, viewer), with_study(around, viewer)


def write_nifti(path: str, layers: list[FullLayerData]) -> list[str]:
    """Write a labels layer as NIfTI; see `layer_writers`."""
    return nifti_of_layer(path, *_layers(layers))


def write_dicom_segmentation(path: str, layers: list[FullLayerData]) -> list[str]:
    """Write a labels layer as DICOM Segmentation; see `layer_writers`."""
    return seg_of_layer(path, *_layers(layers))


def write_contours(path: str, layers: list[FullLayerData]) -> list[str]:
    """Write a labels layer as contours; see `layer_writers`."""
    return contours_of_layer(path, *_layers(layers))


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


def review_study(viewer: napari.Viewer) -> None:
    """Open the workspace in this window and ask for a study."""
    workspace_of(viewer).ask_open()


def try_sample_study(viewer: napari.Viewer) -> None:
    """Open the workspace in this window on the sample study."""
    workspace_of(viewer).try_sample()


def export_from_study(viewer: napari.Viewer) -> None:
    """Let the user export from the study that is open in this window; without one, ask for it first."""
    workspace = workspace_of(viewer)
    if workspace.study is None:
        workspace.ask_open()
    ask_export(workspace, workspace.study)
