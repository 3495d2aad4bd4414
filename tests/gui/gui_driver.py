"""A person at the window: real key presses and mouse events."""

from __future__ import annotations

import time

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_ssl.gui import compat

READER = "Dr Test"
CTRL, SHIFT, ALT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
)


def wait(condition, timeout_s=30.0):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        QApplication.processEvents()
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("waited in vain")


class Driver:
    """A person at the window."""

    def __init__(self, viewer, widget):
        self.viewer, self.widget = viewer, widget
        self.canvas = compat.canvas_widget(viewer)

    @property
    def session(self):
        return self.widget.reviewer.session

    @property
    def study(self):
        return self.widget.study

    def press(self, key, modifiers=Qt.KeyboardModifier.NoModifier):
        QTest.keyClick(self.canvas, key, modifiers)
        QApplication.processEvents()

    def wait_for(self, case_id):
        wait(lambda: self.widget.reviewer is not None and self.session.case_id == case_id)

    def wait_saved(self):
        wait(lambda: not self.widget.reviewer.is_saving and self.widget.reviewer.saver.n_running == 0)

    def at(self, y, x):
        """Position on the canvas of a pixel of the image."""
        layer = self.widget.reviewer.canvas.labels
        world = np.array([y, x]) * layer.scale[-2:]
        camera = self.viewer.scene.camera
        size = np.array([self.canvas.height(), self.canvas.width()])
        place = (world - np.array(camera.center)[-2:]) * camera.zoom + size / 2
        return QPointF(float(place[1]), float(place[0]))

    def drag(self, *pixels):
        """Press, move over pixels (y, x) and release the left button."""
        points = [self.at(*p) for p in pixels]
        self._mouse(QEvent.Type.MouseMove, points[0], Qt.MouseButton.NoButton)
        self._mouse(QEvent.Type.MouseButtonPress, points[0], Qt.MouseButton.LeftButton)
        for point in points[1:]:
            self._mouse(QEvent.Type.MouseMove, point, Qt.MouseButton.LeftButton)
        self._mouse(QEvent.Type.MouseButtonRelease, points[-1], Qt.MouseButton.LeftButton)
        QApplication.processEvents()
        QApplication.processEvents()

    def _mouse(self, kind, point, button):
        pressed = kind == QEvent.Type.MouseMove and button != Qt.MouseButton.NoButton
        cause = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else button
        held = button if pressed or kind == QEvent.Type.MouseButtonPress else Qt.MouseButton.NoButton
        where = QPointF(self.canvas.mapToGlobal(point.toPoint()))
        event = QMouseEvent(kind, point, where, cause, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self.canvas, event)

    def wheel(self, notches, modifiers=Qt.KeyboardModifier.NoModifier):
        point = QPointF(self.canvas.rect().center())
        event = QWheelEvent(
            point,
            QPointF(self.canvas.mapToGlobal(point.toPoint())),
            QPoint(),
            QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton,
            modifiers,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(self.canvas, event)
        QApplication.processEvents()

    def stroke(self):
        """Paint RV over background in the corner."""
        self.press(Qt.Key.Key_P)
        self.drag((4, 4), (4, 8), (6, 12))
