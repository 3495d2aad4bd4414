"""End-diastole and end-systole side by side: the slice, the part and the labels that the canvas shows, live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QWidget

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.gui.slice_view import SliceView, label_table

if TYPE_CHECKING:
    from napari_ssl.gui.loaded_case import LoadedCase

__all__ = ["PhaseView", "phases_of"]


def phases_of(loaded: LoadedCase) -> tuple[int, int] | None:
    """Return the ED and ES frames that the curves use, else those of the case; None where they are not known."""
    curve = next((c for c in loaded.curves.values() if c.ed_frame is not None and c.es_frame is not None), None)
    ed, es = (loaded.case.ed_frame, loaded.case.es_frame) if curve is None else (curve.ed_frame, curve.es_frame)
    return None if ed is None or es is None else (int(ed), int(es))


class PhaseView(QWidget):
    """Two linked views; pressing one shows its frame on the canvas.

    Signals
    -------
    frame_chosen : int
    slice_stepped : int
    """

    frame_chosen = Signal(int)
    slice_stepped = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._loaded: LoadedCase | None = None
        self._phases: tuple[int, int] | None = None
        self._slice = 0
        self._frame = 0
        self._levels = (0.0, 1.0)
        self._with_labels = True
        self.views = (SliceView("ED"), SliceView("ES"))
        self._box = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(2)
        for index, view in enumerate(self.views):
            self._box.addWidget(view, 1)
            view.pressed_at.connect(lambda _down, _across, index=index: self._choose(index))
            view.wheel_turned.connect(self.slice_stepped)

    def _choose(self, index: int) -> None:
        if self._phases is not None:
            self.frame_chosen.emit(self._phases[index])

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        wide = self.width() > self.height()
        self._box.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)

    def show_case(self, loaded: LoadedCase | None, scheme: LabelScheme | None = None) -> None:
        """Take over a case; None forgets it, so that its arrays can be freed."""
        self._loaded = loaded
        if loaded is None:
            for view in self.views:
                view.image.clear()
                view.labels.clear()
            return
        for view in self.views:
            view.set_table(label_table(scheme))

    def show_slice(self, frame: int, slice_: int, levels: tuple[float, float], *, with_labels: bool) -> None:
        """Show a slice of both phases; also after an edit, the labels are those being painted."""
        loaded = self._loaded
        if loaded is None:
            return
        self._slice, self._frame, self._levels, self._with_labels = slice_, frame, levels, with_labels
        self._phases = phases_of(loaded)
        for index, view in enumerate(self.views):
            view.setVisible(self._phases is not None)
            if self._phases is None:
                continue
            at = self._phases[index]
            labels = loaded.labels[at, slice_] if with_labels else None
            view.show_plane(loaded.image[at, slice_], labels, loaded.case.spacing_zyx_mm[1:], levels)
            text = f"{view.name}, frame {at}"
            view.heading.setText(f"<b>{text}</b>" if at == frame else text)
            view.heading.setToolTip("This frame is on the canvas" if at == frame else "Press to show it on the canvas")

    def show_part(self, top: float, left: float, bottom: float, right: float) -> None:
        """Follow zoom and position of the canvas."""
        for view in self.views:
            view.show_part(top, left, bottom, right)
