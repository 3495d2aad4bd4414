"""The question for the reason of a rejection: a button for each, the first nine with their digit."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QPushButton, QWidget

__all__ = ["RejectReasons"]


class RejectReasons(QFrame):
    """Hidden until it is asked; `chosen` says the reason and hides it again."""

    chosen = Signal(str)
    change_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reasons: tuple[str, ...] = ()
        self.setObjectName("napariSslReasons")
        self.setStyleSheet("#napariSslReasons { border: 1px solid #FF8A5C; border-radius: 3px; }")
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(4, 4, 4, 4)
        self._grid.setSpacing(3)
        self.hide()

    def offer(self, reasons: Sequence[str]) -> None:
        """Offer the study's reasons."""
        self._reasons = tuple(reasons)
        while self._grid.count():
            old = self._grid.takeAt(0).widget()
            old.hide()
            old.deleteLater()
        self._grid.addWidget(QLabel("Reason for the rejection:"), 0, 0, 1, 2)
        for i, reason in enumerate(self._reasons):
            button = QPushButton(f"{i + 1}  {reason}" if i < 9 else reason)
            button.setStyleSheet("text-align: left; padding: 3px 3px;")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(lambda _checked=False, reason=reason: self._choose(reason))
            self._grid.addWidget(button, 1 + i // 2, i % 2)
        change = QPushButton("Change the list …")
        change.setFlat(True)
        change.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        change.clicked.connect(self.change_clicked)
        self._grid.addWidget(change, 2 + len(self._reasons) // 2, 0, 1, 2)

    def choose(self, digit: int) -> bool:
        """Choose the reason of that digit while it can be read; returns whether it could."""
        if not self.isVisible() or not 1 <= digit <= len(self._reasons):
            return False
        self._choose(self._reasons[digit - 1])
        return True

    def _choose(self, reason: str) -> None:
        self.hide()
        self.chosen.emit(reason)
