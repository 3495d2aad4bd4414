"""Keeps the views beside the canvas in step with it: frame, slice, zoom, grey values, labels and the cross-hair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ssl.gui import compat
from napari_ssl.gui.cross_hair import CrossHair
from napari_ssl.gui.side_views import PLANES, SideViews
from napari_ssl.gui.view_memory import fitted_zoom

if TYPE_CHECKING:
    from napari_ssl.gui.canvas import CaseCanvas
    from napari_ssl.gui.loaded_case import LoadedCase
    from napari_ssl.gui.navigation import Navigator

__all__ = ["SideControl"]

_LAYOUT_MS = 60
"""So long Qt may take to give the canvas its new size."""

_LABELS = "Labels"


class SideControl(QObject):
    """Draws the views beside while they are wanted and there is a case.

    Signals
    -------
    wanted_changed : bool
    """

    wanted_changed = Signal(bool)

    def __init__(self, canvas: CaseCanvas, navigator: Navigator, side: SideViews, parent: QObject) -> None:
        super().__init__(parent)
        self.canvas, self.navigator, self.side = canvas, navigator, side
        self.cross = CrossHair(compat.canvas_widget(canvas.viewer))
        self.is_wanted = False
        self._loaded: LoadedCase | None = None
        self._place = (0, 0, 0)
        self._narrowed: tuple[float, dict[str, Any]] | None = None  # the zoom set when the views came, the view before
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.draw)
        side.kind_chosen.connect(lambda _kind: self.draw())
        side.phases.frame_chosen.connect(lambda frame: navigator.go(frame=frame))
        side.phases.slice_stepped.connect(navigator.step_slice)
        side.planes.moved.connect(self._cross_moved)
        navigator.moved.connect(self._moved)

    def close(self) -> None:
        """Draw nothing any more."""
        self._soon.stop()
        self.show_case(None)

    def show_case(self, loaded: LoadedCase | None) -> None:
        """Take over a case, the cross-hair in its middle; None empties the views."""
        self._loaded = loaded
        self.side.show_case(loaded, self.canvas.scheme)
        if loaded is None:
            self.cross.show_at(None, None)
            return
        self._place = (self.navigator.place[1], *(n // 2 for n in loaded.case.shape_tzyx[2:]))
        self.update_visibility()

    def want(self, wanted: bool) -> None:
        """Show or hide the views."""
        self.is_wanted = wanted
        self.wanted_changed.emit(wanted)
        self.update_visibility()

    def update_visibility(self) -> None:
        """Show what is wanted, while there is a case; the canvas shows the same part of the image in its new size."""
        shown = self.is_wanted and self._loaded is not None
        if shown == self.side.isVisible():
            return
        camera = self.canvas.viewer.scene.camera
        before = {"zoom": camera.zoom, "canvas": list(self.canvas.size_yx)}
        if not shown and self._narrowed is not None and np.isclose(self._narrowed[0], camera.zoom):
            before = self._narrowed[1]  # nobody zoomed meanwhile: what was there comes back
        self._narrowed = None
        self.side.setVisible(shown)

        def fit() -> None:
            after = self.canvas.size_yx
            if self._loaded is not None and min(after) > 0:
                camera.zoom = fitted_zoom(before, after)
                self._narrowed = (camera.zoom, before) if self.side.isVisible() else None
            self.draw()

        QTimer.singleShot(_LAYOUT_MS, self, fit)

    def cross_here(self) -> None:
        """Cut the other planes where the pointer is on the canvas."""
        if self._loaded is None:
            return
        case = self._loaded.case
        steps = np.asarray(self.canvas.viewer.cursor.position[-2:]) / np.asarray(case.spacing_zyx_mm[1:])
        row, column = (int(np.clip(round(s), 0, n - 1)) for s, n in zip(steps, case.shape_tzyx[2:], strict=True))
        if not self.side.isVisible() or self.side.kind != PLANES:
            self.side.choose(PLANES)
            self.want(True)
        self._cross_moved(self.navigator.place[1], row, column)

    def _cross_moved(self, slice_: int, row: int, column: int) -> None:
        self._place = (slice_, row, column)
        if slice_ != self.navigator.place[1]:
            self.navigator.go(slice_=slice_)  # which draws
        else:
            self.draw()

    def _moved(self, _frame: int, slice_: int) -> None:
        self._place = (slice_, *self._place[1:])
        self.draw_soon()

    def draw_soon(self) -> None:
        """A step, a zoom and a drag tell of themselves several times: draw once, after the canvas."""
        if self.side.isVisible() or self.cross.at is not None:
            self._soon.start(0)

    def draw(self) -> None:
        """Draw what is on show now, e.g. after an edit."""
        loaded = self._loaded
        shown = loaded is not None and self.side.isVisible()
        if not shown or self.side.kind != PLANES:
            self.cross.show_at(None, None)
        if not shown or self.side.kind is None:
            return
        frame, slice_ = self.navigator.place
        levels = tuple(self.canvas.image.contrast_limits)
        with_labels = self.canvas.is_visible(_LABELS)
        dy, dx = loaded.case.spacing_zyx_mm[1:]
        if self.side.kind == PLANES:
            self.side.planes.show_place(frame, (slice_, *self._place[1:]), levels, with_labels=with_labels)
            _, row, column = self.side.planes.place
            self.cross.show_at(*self.canvas.pixel_of(row * dy, column * dx))
        else:
            self.side.phases.show_slice(frame, slice_, levels, with_labels=with_labels)
            top, left, bottom, right = self.canvas.part_on_show()
            self.side.phases.show_part(top + dy / 2, left + dx / 2, bottom + dy / 2, right + dx / 2)
