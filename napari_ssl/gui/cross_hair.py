"""Two thin lines over the canvas where the other planes cut."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QFrame, QWidget

__all__ = ["CrossHair"]


class CrossHair(QObject):
    """Lines of the size of `over`; the mouse goes through them."""

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self._over = over
        self._at: tuple[float, float] | None = None
        self.level, self.upright = QFrame(over), QFrame(over)
        for line in (self.level, self.upright):
            line.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            line.setStyleSheet("background: rgba(255, 212, 0, 150); border: none;")
            line.hide()
        over.installEventFilter(self)

    @property
    def at(self) -> tuple[float, float] | None:
        """Pixels from top and left of the canvas, None while there is no cross-hair."""
        return self._at

    def show_at(self, top: float | None, left: float | None) -> None:
        """Cross at these pixels of the canvas; None takes the lines away."""
        self._at = None if top is None or left is None else (top, left)
        self._draw()

    def _draw(self) -> None:
        for line in (self.level, self.upright):
            line.setVisible(self._at is not None)
        if self._at is not None:
            self.level.setGeometry(0, round(self._at[0]), self._over.width(), 1)
            self.upright.setGeometry(round(self._at[1]), 0, 1, self._over.height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self._at is not None:
            self._draw()
        return False
