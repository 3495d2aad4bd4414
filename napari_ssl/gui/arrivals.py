"""Tells now and then that there is something new, however often that is said: reading a large queue takes a while."""

from __future__ import annotations

from qtpy.QtCore import QElapsedTimer, QObject, QTimer, Signal

__all__ = ["Arrivals"]


class Arrivals(QObject):
    """Says `due` with the first `note`, and after that at most every `every_s` seconds, the last one included."""

    due = Signal()

    def __init__(self, parent: QObject | None = None, *, every_s: float = 20.0) -> None:
        super().__init__(parent)
        self._every_ms = round(1000 * every_s)
        self._since = QElapsedTimer()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._say)

    def note(self) -> None:
        """Something has come."""
        if self._later.isActive():
            return
        waited = self._since.elapsed() if self._since.isValid() else self._every_ms
        if waited >= self._every_ms:
            self._say()
        else:
            self._later.start(self._every_ms - waited)

    def _say(self) -> None:
        self._since.start()
        self.due.emit()
