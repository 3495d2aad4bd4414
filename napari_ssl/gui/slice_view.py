"""A small picture of one plane of a case, with labels over it: cheap to draw, no layer of napari needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_ssl.core.label_scheme import LabelScheme

__all__ = ["SliceView", "label_table"]

_FILL = 0.45


def label_table(scheme: LabelScheme, opacity: float = _FILL) -> NDArray[np.uint8]:
    """Return colours (256, 4) of label values, clear for 0; values outside the scheme are glaring."""
    table = np.tile(np.array([255, 0, 255, 255], np.uint8), (256, 1))
    table[0] = 0
    for structure in scheme.structures:
        colour = QColor(structure.colour)
        table[structure.value] = (colour.red(), colour.green(), colour.blue(), round(255 * opacity))
    return table


class _PlaneBox(pg.ViewBox):
    """Tells where it was pressed or dragged to instead of panning, and how far the wheel turned."""

    def __init__(self, owner: SliceView) -> None:
        super().__init__(lockAspect=True, invertY=True, enableMenu=False)
        self.setMouseEnabled(x=False, y=False)
        self._owner = owner

    def mouseClickEvent(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self._tell(event)

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self._tell(event)
        else:
            event.ignore()

    def wheelEvent(self, event: Any, axis: int | None = None) -> None:
        event.accept()
        self._owner.wheel_turned.emit(1 if event.delta() < 0 else -1)

    def _tell(self, event: Any) -> None:
        point = self.mapToView(event.pos())
        self._owner.pressed_at.emit(float(point.y()), float(point.x()))


class SliceView(QWidget):
    """One plane with a heading.

    Signals
    -------
    pressed_at : float, float
        Down and across in mm from the upper left corner of the upper left pixel.
    wheel_turned : int
        1 for towards the reader, as the wheel over the canvas counts slices.
    """

    pressed_at = Signal(float, float)
    wheel_turned = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = name
        self.heading = QLabel(name)
        self.heading.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.box = _PlaneBox(self)
        self._view = pg.GraphicsView(background="k")
        self._view.setCentralItem(self.box)
        self._view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._view.setAccessibleName(name)
        self._view.setMinimumSize(80, 80)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.labels = pg.ImageItem(axisOrder="row-major")
        self.box.addItem(self.image)
        self.box.addItem(self.labels)
        pen = pg.mkPen("#FFD400", width=1)
        self.across = pg.InfiniteLine(angle=0, pen=pen)
        self.down = pg.InfiniteLine(angle=90, pen=pen)
        for line in (self.across, self.down):
            self.box.addItem(line, ignoreBounds=True)
            line.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addWidget(self.heading)
        column.addWidget(self._view, 1)
        self._size = (0.0, 0.0)

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width of the plane."""
        return self._size

    def set_table(self, table: NDArray[np.uint8]) -> None:
        """Set the colours of labels, see `label_table`."""
        self.labels.setLookupTable(table)

    def show_plane(
        self,
        image: NDArray[Any],
        labels: NDArray[np.uint8] | None,
        spacing_yx_mm: tuple[float, float],
        levels: tuple[float, float],
    ) -> None:
        """Show a plane ``(Y, X)`` in its true proportions; without labels, the image alone."""
        size = (image.shape[0] * spacing_yx_mm[0], image.shape[1] * spacing_yx_mm[1])
        self.image.setImage(image, levels=levels, autoLevels=False)
        self.labels.setVisible(labels is not None)
        if labels is not None:
            self.labels.setImage(labels, levels=(0, 255), autoLevels=False)
        if size != self._size:
            self._size = size
            rect = QRectF(0.0, 0.0, size[1], size[0])
            self.image.setRect(rect)
            self.labels.setRect(rect)
            self.fit()

    def fit(self) -> None:
        """Show the whole plane."""
        self.box.setRange(QRectF(0.0, 0.0, self._size[1], self._size[0]), padding=0.01)

    def show_part(self, top: float, left: float, bottom: float, right: float) -> None:
        """Show a part, in mm, as far as there is image."""
        top, left = max(0.0, top), max(0.0, left)
        bottom, right = min(self._size[0], bottom), min(self._size[1], right)
        if bottom > top and right > left:
            self.box.setRange(QRectF(left, top, right - left, bottom - top), padding=0.0)

    def show_lines(self, down_mm: float | None, across_mm: float | None) -> None:
        """Draw the cross-hair: a level line `down_mm` from the top, an upright one `across_mm` from the left."""
        for line, at in ((self.across, down_mm), (self.down, across_mm)):
            line.setVisible(at is not None)
            if at is not None:
                line.setValue(at)
