"""Unverified labels: a place counts as looked at when it was on screen long enough; until then the canvas says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyqtgraph as pg
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QLabel, QWidget

if TYPE_CHECKING:
    from napari_ssl.gui.curve_plot import CurvePlot
    from napari_ssl.gui.edit_desk import EditDesk

__all__ = ["LOOK_MS", "CurveMarks", "LookWatch", "UnverifiedBadge", "marks_in_words"]

LOOK_MS = 700
"""How long a frame and slice must stand still on screen, labels shown, to count as looked at."""


def marks_in_words(marks: frozenset[tuple[int, int]]) -> str:
    """Return how much nobody has looked at, empty when everything was."""
    if not marks:
        return ""
    frames = {f for f, _ in marks}
    slices = f"{len(marks)} slice" + ("s" if len(marks) > 1 else "")
    return f"{slices} in {len(frames)} frame" + ("s" if len(frames) > 1 else "")


class LookWatch(QObject):
    """Takes the mark off the place on screen after `LOOK_MS`.

    Not while the cine plays, the labels are hidden or the window is not in front.
    """

    def __init__(self, desk: EditDesk) -> None:
        super().__init__(desk)
        self._desk = desk
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._looked)
        desk.navigator.moved.connect(self._moved)

    def close(self) -> None:
        """Stop watching."""
        self._timer.stop()
        self._desk.navigator.moved.disconnect(self._moved)

    def _moved(self, _frame: int, _slice: int) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin to count anew for the place on screen."""
        if self._desk.navigator.place in self._desk.session.unverified:
            self._timer.start()
        else:
            self._timer.stop()

    def _looked(self) -> None:
        desk, labels = self._desk, self._desk.canvas.labels
        if desk.navigator.playing or labels is None or not labels.visible or not desk.session.is_active:
            self._timer.start()
        else:
            desk.look_at(*desk.navigator.place)


class UnverifiedBadge(QLabel):
    """A note in the corner of the canvas while the shown place is unverified."""

    def __init__(self, canvas: QWidget) -> None:
        super().__init__("Unverified", canvas)
        self.setObjectName("napariSslUnverified")
        self.setStyleSheet(
            "#napariSslUnverified { background: #5A4300; color: #FFFFFF; border: 1px solid #E69F00; padding: 3px 8px; }"
        )
        self.setToolTip("These labels were copied, propagated or interpolated; nobody has looked at them yet")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        canvas.installEventFilter(self)
        self.hide()

    def show_for(self, tool_text: str) -> None:
        """Show the note with what made the labels; an empty text hides it."""
        self.setVisible(bool(tool_text))
        if tool_text:
            self.setText(tool_text)
            self.adjustSize()
            self._place()
            self.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._place()
        return False

    def _place(self) -> None:
        self.move(max(0, (self.parentWidget().width() - self.width()) // 2), 8)


class CurveMarks:
    """Amber triangles at the foot of the plot under frames with unverified slices.

    Parameters
    ----------
    plot : CurvePlot
    """

    def __init__(self, plot: CurvePlot) -> None:
        self._plot = plot
        self._frames: set[int] = set()
        self.points = pg.ScatterPlotItem(symbol="t1", size=10, pen=pg.mkPen("#5A4300"), brush=pg.mkBrush("#E69F00"))
        self.points.setZValue(15)
        plot.addItem(self.points, ignoreBounds=True)
        plot.getViewBox().sigRangeChanged.connect(lambda *_: self._draw())

    def show(self, frames: set[int]) -> None:
        """Mark these frames and no others."""
        self._frames = set(frames)
        self._draw()

    def _draw(self) -> None:
        x = self._plot.x
        low, high = self._plot.getViewBox().viewRange()[1]
        known = [f for f in sorted(self._frames) if f < len(x)]
        self.points.setData([x[f] for f in known], [low + 0.04 * (high - low)] * len(known))
