"""The one place that touches what napari 0.9 keeps private; ``tests/gui/test_gui_compat.py`` fails when it moves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Layer
    from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

__all__ = [
    "canvas_widget",
    "changed_at_once",
    "clear_history",
    "drop_polygon",
    "forget_strokes",
    "hide_welcome",
    "insert_above_canvas",
    "insert_beside_canvas",
    "intercept_painting",
    "item_changes",
    "main_window",
    "napari_docks",
    "show_help",
    "sliced_once",
    "unwrapped",
    "viewer_widget",
]


def unwrapped(viewer: napari.Viewer) -> napari.Viewer:
    """Return the viewer itself: napari hands plugins a proxy that warns of private attributes."""
    return getattr(viewer, "__wrapped__", viewer)


def main_window(viewer: napari.Viewer) -> QMainWindow:
    """Return the Qt main window."""
    return viewer.window._qt_window


def viewer_widget(viewer: napari.Viewer) -> QWidget:
    """Return the widget that holds canvas and sliders."""
    return viewer.window._qt_viewer


def canvas_widget(viewer: napari.Viewer) -> QWidget:
    """Return the native widget of the canvas, which receives mouse and keys."""
    return viewer.window._qt_viewer.canvas.native


def napari_docks(viewer: napari.Viewer) -> tuple[QDockWidget, ...]:
    """Return napari's own layer list and layer controls."""
    return viewer.window._qt_viewer.dockLayerList, viewer.window._qt_viewer.dockLayerControls


def hide_welcome(viewer: napari.Viewer) -> None:
    """Keep napari's welcome text from lying under ours."""
    viewer.window._qt_viewer.show_welcome_screen = False


def show_help(viewer: napari.Viewer, shown: bool) -> None:
    """Let napari write hints about its own keys into the status bar, or not: the workspace claims those keys."""
    window = viewer.window
    viewer.events.help.disconnect(window._help_changed)
    if shown:
        viewer.events.help.connect(window._help_changed)
    window._status_bar.setHelpText(viewer.help if shown else "")


def insert_above_canvas(viewer: napari.Viewer, widget: QWidget) -> None:
    """Put `widget` above the canvas, inside napari's central widget."""
    from qtpy.QtWidgets import QBoxLayout

    layout = viewer.window._qt_window.centralWidget().layout()
    layout.setDirection(QBoxLayout.Direction.TopToBottom)
    layout.insertWidget(0, widget)


def insert_beside_canvas(viewer: napari.Viewer, widget: QWidget) -> None:
    """Put `widget` at the right of canvas and sliders, with a handle between them."""
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QSplitter

    canvas = viewer.window._qt_viewer
    layout = viewer.window._qt_window.centralWidget().layout()
    row = QSplitter(Qt.Orientation.Horizontal)
    row.setChildrenCollapsible(False)
    layout.insertWidget(layout.indexOf(canvas), row, 1)
    row.addWidget(canvas)
    row.addWidget(widget)
    row.setStretchFactor(0, 2)
    row.setStretchFactor(1, 1)


def clear_history(layer: Labels) -> None:
    """Forget undo and redo, e.g. after other labels were put into the layer."""
    layer._reset_history()


def forget_strokes(layer: Labels) -> None:
    """Forget undo and redo in the middle of an edit: what is still being grouped to a stroke stays."""
    layer._undo_history.clear()
    layer._redo_history.clear()


def intercept_painting(
    layer: Labels,
    *,
    locked: Callable[[], Collection[int]],
    refused: Callable[[int], None],
    polygon: Callable[[NDArray[Any]], bool],
) -> Callable[[], None]:
    """Keep brush, eraser, fill and polygon off locked values, and offer each closed polygon to `polygon` first.

    A locked value is neither painted over nor painted. Returns what takes the interception off again.
    """
    apply_mask, paint_polygon = layer._apply_mask_to_data, layer.paint_polygon

    def masked(data: NDArray[Any], mask: NDArray[np.bool_], new_label: int, volume_slice: tuple) -> Any:
        values = locked()
        if new_label in values:
            refused(new_label)
            return None
        if values:
            mask = mask & ~np.isin(data, tuple(values))
        return apply_mask(data, mask, new_label, volume_slice)

    def offered(points: Any, new_label: int) -> None:
        if not polygon(np.asarray(points, float)):
            paint_polygon(points, new_label)

    def release() -> None:
        del layer._apply_mask_to_data, layer.paint_polygon

    layer._apply_mask_to_data, layer.paint_polygon = masked, offered
    return release


def drop_polygon(layer: Labels) -> None:
    """Forget a polygon that was begun and not closed; napari keeps its corners whatever the layer shows."""
    layer._overlays["polygon"].points = []


@contextmanager
def sliced_once(viewer: napari.Viewer) -> Iterator[None]:
    """Go to another step: napari 0.9.2 asks all layers for slices twice, for the point and for the step it is at."""
    with viewer.dims.events.current_step.blocker(viewer._update_layers):
        yield


@contextmanager
def changed_at_once(viewer: napari.Viewer, layers: Sequence[Layer], place: Sequence[int]) -> Iterator[None]:
    """Change data and scales of several layers, then go to frame and slice `place`, and slice each layer once.

    By itself napari lays out and slices all layers after each of these changes, about ten times for a case.
    """
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(layer._block_refresh())
            for emitter in (layer.events.data, layer.events.scale):
                stack.enter_context(emitter.blocker(viewer._on_layers_change))
        for emitter in (viewer.dims.events.point, viewer.dims.events.current_step):
            stack.enter_context(emitter.blocker(viewer._update_layers))
        yield
        for layer in layers:
            layer._clear_extent()
        viewer._on_layers_change()
        first = viewer.dims.ndim - 4
        viewer.dims.set_current_step((first, first + 1), tuple(place))
    for layer in viewer.layers:
        layer._slicing_state.set_slice_input_from_dims(viewer.dims, force=True)
        layer.refresh()


def _atom_indices(atom: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return flat indices into `shape` that one history atom touches."""
    if hasattr(atom, "slice_key"):  # napari's _MaskedPaintAtom: bounding box and mask
        ranges = [np.arange(*key.indices(n)) for key, n in zip(atom.slice_key, shape, strict=True)]
        mask = np.ones([len(r) for r in ranges], bool) if atom.mask is None else atom.mask
        multi = tuple(r[i] for r, i in zip(ranges, np.nonzero(mask), strict=True))
    else:  # fancy indices of data_setitem
        multi = np.broadcast_arrays(*atom[0])
    return np.ravel_multi_index(tuple(np.ravel(m) for m in multi), shape)


def _atom_before(atom: Any) -> NDArray[Any]:
    """Return the values before the edit, in the order of `_atom_indices`."""
    return np.ravel(atom.old_values if hasattr(atom, "slice_key") else atom[1])


def _atom_after(atom: Any, n: int) -> NDArray[Any]:
    """Return the values after the edit, in the order of `_atom_indices`."""
    return np.broadcast_to(np.ravel(atom.new_value if hasattr(atom, "slice_key") else atom[2]), (n,))


def item_changes(
    item: list[Any], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return flat indices (sorted) of an edit, the values before and the values after it.

    A stroke passes over the same voxels several times: the first atom that touches a voxel knows what was there, the
    last one what is there now. The layer's data cannot be asked: napari tells of some edits before it makes them.
    """
    parts = [_atom_indices(atom, shape) for atom in item]
    indices = np.concatenate(parts)
    before = np.concatenate([_atom_before(atom) for atom in item]).astype(np.uint8)
    after = np.concatenate([_atom_after(a, len(p)) for a, p in zip(item, parts, strict=True)]).astype(np.uint8)
    unique, first = np.unique(indices, return_index=True)
    last = len(indices) - 1 - np.unique(indices[::-1], return_index=True)[1]
    return unique, before[first], after[last]
