"""What the correction tools are doing, and what of their work nobody has looked at yet."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_ssl.gui.theme import wrapped_label

__all__ = ["EditStatus", "lock_icon"]


def lock_icon(colour: str) -> QIcon:
    """Return a padlock in a structure's colour."""
    pixmap = QPixmap(QSize(24, 24))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(colour), 2.6))
    painter.drawArc(QRectF(7, 2, 10, 16), 0, 180 * 16)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawRoundedRect(QRectF(4, 10, 16, 12), 2, 2)
    painter.setBrush(QColor("#1B1B1B"))
    painter.drawEllipse(QPointF(12, 16), 2, 2)
    painter.end()
    return QIcon(pixmap)


class EditStatus(QWidget):
    """Two lines that are there only when they have something to say.

    Signals
    -------
    cancel_clicked : none
    next_clicked : none
        The reader wants to see the next place that nobody has looked at.
    """

    cancel_clicked = Signal()
    next_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setFixedHeight(20)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop the tool; the labels stay as they are")
        self.cancel_button.clicked.connect(self.cancel_clicked)
        self.marks = wrapped_label()
        self.next_button = QPushButton("Look")
        self.next_button.clicked.connect(self.next_clicked)
        for button in (self.cancel_button, self.next_button):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._work = self._line(self.bar, self.cancel_button)
        self._unseen = self._line(self.marks, self.next_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self._work)
        column.addWidget(self._unseen)
        self.set_key("")
        self.show_idle()
        self.show_marks("")

    @staticmethod
    def _line(first: QWidget, button: QPushButton) -> QWidget:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(first, 1)
        row.addWidget(button)
        return line

    @property
    def text(self) -> str:
        """What is going on, and what is unverified."""
        shown = [
            line
            for line, box in ((self.bar.format(), self._work), (self.marks.text(), self._unseen))
            if not box.isHidden()
        ]
        return "\n".join(shown)

    def set_key(self, key: str) -> None:
        """Show the key of the button that goes to the next unverified place."""
        self.next_button.setToolTip(
            "Go to the next slice whose copied, propagated or interpolated labels nobody has looked at"
            + (f"  [{key}]" if key else "")
        )

    def show_running(self, text: str) -> None:
        """Say that a tool runs."""
        self.bar.setRange(0, 0)
        self.bar.setFormat(text)
        self._work.show()
        self._fit()

    def show_progress(self, done: int, n_all: int) -> None:
        """Say how far it is."""
        self.bar.setRange(0, max(1, n_all))
        self.bar.setValue(done)

    def show_idle(self) -> None:
        """Nothing runs."""
        self._work.hide()
        self._fit()

    def show_marks(self, text: str) -> None:
        """Say how much is unverified; an empty text takes the line away."""
        self.marks.setText(f"Unverified: {text}" if text else "")
        self._unseen.setVisible(bool(text))
        self._fit()

    def _fit(self) -> None:
        self.setVisible(not (self._work.isHidden() and self._unseen.isHidden()))
