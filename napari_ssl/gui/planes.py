"""The planes that the canvas does not show, e.g. coronal and sagittal, with a cross-hair that all three share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QWidget

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.gui.slice_view import SliceView, label_table

if TYPE_CHECKING:
    from napari_ssl.gui.loaded_case import LoadedCase

__all__ = ["PlanesView"]


class PlanesView(QWidget):
    """The head is up where slices are axial, else the first slice; pressing or dragging moves the cross-hair.

    Signals
    -------
    moved : int, int, int
        Slice, row and column of the cross-hair, when it was moved here.
    """

    moved = Signal(int, int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._loaded: LoadedCase | None = None
        self._place = (0, 0, 0)
        self._frame = 0
        self.coronal, self.sagittal = SliceView("Coronal"), SliceView("Sagittal")
        self._box = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(2)
        for view in (self.coronal, self.sagittal):
            self._box.addWidget(view, 1)
        self.coronal.pressed_at.connect(lambda down, across: self._pressed(down, column_mm=across))
        self.sagittal.pressed_at.connect(lambda down, across: self._pressed(down, row_mm=across))
        self.coronal.wheel_turned.connect(lambda step: self._step(1, step))
        self.sagittal.wheel_turned.connect(lambda step: self._step(2, step))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        wide = self.width() > self.height()
        self._box.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)

    @property
    def place(self) -> tuple[int, int, int]:
        """Slice, row and column of the cross-hair."""
        return self._place

    def show_case(self, loaded: LoadedCase | None, scheme: LabelScheme | None = None) -> None:
        """Take over a case, the cross-hair in its middle; None forgets it."""
        self._loaded = loaded
        if loaded is None:
            for view in (self.coronal, self.sagittal):
                view.image.clear()
                view.labels.clear()
            return
        self._place = tuple(n // 2 for n in loaded.case.shape_tzyx[1:])
        names = ("Rows", "Columns") if loaded.z_is_up is None else ("Coronal", "Sagittal")
        for view, name in zip((self.coronal, self.sagittal), names, strict=True):
            view.name = name
            view.set_table(label_table(scheme))
            view.box.invertY(not loaded.z_is_up)

    def show_place(
        self, frame: int, place: tuple[int, int, int], levels: tuple[float, float], *, with_labels: bool
    ) -> None:
        """Cut the case of `frame` at slice, row and column; also after an edit."""
        loaded = self._loaded
        if loaded is None:
            return
        self._frame = frame
        z, y, x = self._place = self._inside(place)
        dz, dy, dx = loaded.case.spacing_zyx_mm
        image, labels = loaded.image[frame], loaded.labels[frame] if with_labels else None
        self.coronal.show_plane(image[:, y], None if labels is None else labels[:, y], (dz, dx), levels)
        self.sagittal.show_plane(image[:, :, x], None if labels is None else labels[:, :, x], (dz, dy), levels)
        self.coronal.show_lines((z + 0.5) * dz, (x + 0.5) * dx)
        self.sagittal.show_lines((z + 0.5) * dz, (y + 0.5) * dy)
        self.coronal.heading.setText(f"{self.coronal.name}, row {y}")
        self.sagittal.heading.setText(f"{self.sagittal.name}, column {x}")

    def _inside(self, place: tuple[int, int, int]) -> tuple[int, int, int]:
        return tuple(int(np.clip(p, 0, n - 1)) for p, n in zip(place, self._loaded.case.shape_tzyx[1:], strict=True))

    def _pressed(self, down_mm: float, *, row_mm: float | None = None, column_mm: float | None = None) -> None:
        if self._loaded is None:
            return
        dz, dy, dx = self._loaded.case.spacing_zyx_mm
        _, y, x = self._place
        y = y if row_mm is None else int(row_mm // dy)
        x = x if column_mm is None else int(column_mm // dx)
        self.moved.emit(*self._inside((int(down_mm // dz), y, x)))

    def _step(self, axis: int, step: int) -> None:
        if self._loaded is not None:
            place = list(self._place)
            place[axis] += step
            self.moved.emit(*self._inside(tuple(place)))
