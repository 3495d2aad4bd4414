"""Workspace: tools and layers follow the panel, the panel follows napari's own keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_ssl.gui import compat
from napari_ssl.gui.live_state import live_state
from napari_ssl.gui.navigation import speed_text

if TYPE_CHECKING:
    import napari

    from napari_ssl.gui.banner import Banner
    from napari_ssl.gui.curve_view import CurveView
    from napari_ssl.gui.navigation import Navigator
    from napari_ssl.gui.queue_panel import QueuePanel
    from napari_ssl.gui.review_panel import ReviewPanel
    from napari_ssl.gui.reviewer import Reviewer
    from napari_ssl.gui.view_control import ViewControl
    from napari_ssl.study.study import Study

__all__ = ["LayerActions"]


class LayerActions(QWidget):
    """What the reader does to layers; the widgets are made by `workspace.WorkspaceWidget`."""

    viewer: napari.Viewer
    reviewer: Reviewer | None
    navigator: Navigator
    review: ReviewPanel
    curves: CurveView
    view: ViewControl
    banner: Banner
    queue: QueuePanel
    _followed: object = None

    @property
    def study(self) -> Study | None:
        """The study that is open."""
        return self.reviewer.study if self.reviewer else None

    def _case_is_open(self) -> bool:
        return self.reviewer is not None and self.reviewer.session.loaded is not None

    def _edited(self, volumes: dict) -> None:
        for frame, of_frame in volumes.items():
            self.curves.update_frame_volumes(frame, of_frame)
        self._show_edits()

    def _show_edits(self) -> None:
        if self._case_is_open():
            session = self.reviewer.session
            saving = self.reviewer.is_saving and not session.is_edited
            self.review.show_edits(session.strokes.n, is_edited=session.is_edited, saving=saving)
            if not self.reviewer.is_saving:
                self._show_live_state()

    def _show_live_state(self) -> None:
        """Let panel and queue say that a case is in progress as soon as there is a stroke, or was none after all."""
        loaded, case_id = self.reviewer.session.loaded, self.reviewer.session.case_id
        state = live_state(loaded.state, is_edited=self.reviewer.session.is_edited)
        self.review.show_state(state)
        row = self.queue.model.row_by_id(case_id)
        if row is not None and row.state is not state and not self.reviewer.looks_only:
            self.queue.set_state(case_id, state)

    def _connect_layer(self) -> None:
        """Follow what napari's own keys and controls do to the labels layer."""
        layer = self.reviewer.canvas.labels
        tools = self.review.tools
        if self._followed is not layer:
            self._followed = layer
            layer.events.mode.connect(lambda _event: tools.show_tool(str(layer.mode)))
            layer.events.selected_label.connect(lambda _event: tools.show_structure(int(layer.selected_label)))
            layer.events.brush_size.connect(lambda _event: tools.show_size(layer.brush_size))
        tools.show_tool(str(layer.mode))
        tools.show_structure(int(layer.selected_label))
        tools.show_size(layer.brush_size)

    def _set_labels_attribute(self, name: str, value: object) -> None:
        if self._case_is_open():
            layer = self.reviewer.canvas.labels
            self.viewer.layers.selection.active = layer
            setattr(layer, name, value)

    def _set_tool(self, mode: str) -> None:
        if self.study is not None and not self.study.read_only:
            self._set_labels_attribute("mode", mode)

    def _choose_structure(self, value: int) -> None:
        self._set_labels_attribute("selected_label", value)
        if self._case_is_open() and str(self.reviewer.canvas.labels.mode) in ("pan_zoom", "erase", "pick"):
            self._set_tool("paint")

    def _next_structure(self) -> None:
        if self._case_is_open():
            values = self.study.label_scheme.values
            now = int(self.reviewer.canvas.labels.selected_label)
            self._choose_structure(values[(values.index(now) + 1) % len(values)] if now in values else values[0])

    def _set_contour(self, contour: bool) -> None:
        if self._case_is_open():
            self.reviewer.canvas.set_contour(contour)
            self.view.refresh()

    def _wire_view(self) -> None:
        self.view.overlays_changed.connect(lambda: self._case_is_open() and self._show_overlay_boxes())
        self.view.message.connect(lambda text: self.banner.show_message(text, kind="warning"))

    def toggle_overlay(self, name: str) -> None:
        """Show or hide one overlay."""
        if self._case_is_open():
            self.reviewer.canvas.toggle(name)
            self._show_overlay_boxes()

    def toggle_all_overlays(self) -> None:
        """Hide everything but the image, or bring it back."""
        if self._case_is_open():
            self.reviewer.canvas.toggle_overlays()
            self._show_overlay_boxes()

    def _show_overlay_boxes(self) -> None:
        canvas = self.reviewer.canvas
        for name, box in self.review.overlays.items():
            box.setEnabled(canvas.has(name))
            box.setChecked(canvas.is_shown(name))
        self.review.hide_all.setChecked(canvas.overlays_hidden)
        self.view.refresh()

    def _show_napari_panels(self, shown: bool) -> None:
        for dock in compat.napari_docks(self.viewer):
            dock.setVisible(shown)

    def toggle_play(self) -> None:
        """Play the cine at the heart's own speed, or stop; say so where the speed is not known."""
        loaded = self.reviewer.session.loaded if self._case_is_open() else None
        interval = loaded.case.frame_interval_ms if loaded is not None else None
        self.navigator.toggle_play(interval)
        if self.navigator.playing:
            self.viewer.status = speed_text(loaded.case.n_frames, interval)
