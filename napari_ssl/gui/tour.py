"""A short tour of the window: a bubble that points at each part, with next, back and skip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_ssl.gui.settings import read_json, state_folder, write_json
from napari_ssl.gui.theme import colours_of, heading, set_margins

__all__ = ["Tour", "TourStep", "was_seen"]

_FILE = "tour.json"
_WIDTH = 330
_GAP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TourStep:
    """What is said about a part of the window; `show` brings the part up before, e.g. its tab."""

    title: str
    text: str
    target: QWidget
    show: Callable[[], object] = lambda: None


def was_seen() -> bool:
    """Whether the tour was shown on this computer before."""
    return bool(read_json(state_folder() / _FILE).get("seen"))


class _Bubble(QFrame):
    """Says one step. It keeps the keys while it is up: arrows and Return move, Escape ends."""

    moved = Signal(int)
    ended = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("napariSslTour")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground, True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.title = heading("")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.count = QLabel()
        self.skip_button = QPushButton("&Skip")
        self.back_button = QPushButton("&Back")
        self.next_button = QPushButton("&Next")
        self.skip_button.setToolTip("End the tour [Esc]; F1 shows it again")
        self.back_button.setToolTip("[←]")
        self.next_button.setToolTip("[→ or Return]")
        row = QHBoxLayout()
        row.addWidget(self.skip_button)
        row.addWidget(self.count)
        row.addStretch(1)
        row.addWidget(self.back_button)
        row.addWidget(self.next_button)
        column = QVBoxLayout(self)
        set_margins(column, margin=12, spacing=8)
        for part in (self.title, self.text):
            column.addWidget(part)
        column.addLayout(row)
        self.setFixedWidth(_WIDTH)
        self.skip_button.clicked.connect(self.ended)
        self.back_button.clicked.connect(lambda: self.moved.emit(-1))
        self.next_button.clicked.connect(lambda: self.moved.emit(1))

    def show_step(self, step: TourStep, index: int, n_steps: int) -> None:
        """Write a step and take its size."""
        colours = colours_of(self.parentWidget())
        self.setStyleSheet(
            f"#napariSslTour {{ background: {colours.background}; border: 2px solid {colours.accent}; "
            "border-radius: 6px; }"
        )
        self.title.setText(step.title)
        self.text.setText(step.text)
        self.count.setText(f"{index + 1} of {n_steps}")
        self.setAccessibleName(f"Tour, {index + 1} of {n_steps}: {step.title}")
        self.setAccessibleDescription(step.text)
        self.back_button.setEnabled(index > 0)
        self.next_button.setText("&Done" if index == n_steps - 1 else "&Next")
        self.text.setFixedHeight(self.text.heightForWidth(_WIDTH - 28))
        self.adjustSize()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Down: 1,
            Qt.Key.Key_Return: 1,
            Qt.Key.Key_Enter: 1,
            Qt.Key.Key_Space: 1,
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Up: -1,
            Qt.Key.Key_Backspace: -1,
        }
        if event.key() == Qt.Key.Key_Escape:
            self.ended.emit()
        elif event.key() in steps:
            self.moved.emit(steps[event.key()])
        event.accept()  # keys of the workspace would decide about the case behind the bubble


class Tour(QObject):
    """Shows steps over a window, one at a time; `ended` follows the last one or a skip.

    The window is known only while a tour runs: a reference from here would keep one alive that was closed.
    """

    ended = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._window: QWidget | None = None
        self._steps: list[TourStep] = []
        self._index = 0
        self._bubble: _Bubble | None = None
        self._ring: QFrame | None = None

    @property
    def is_running(self) -> bool:
        """Whether a step is on show."""
        return self._bubble is not None

    @property
    def bubble(self) -> _Bubble | None:
        """What is on show."""
        return self._bubble

    @property
    def index(self) -> int:
        """Number of the step on show, from 0."""
        return self._index

    def start(self, window: QWidget, steps: Sequence[TourStep]) -> None:
        """Begin with the first step over a window; a tour that runs begins anew."""
        self.end()
        self._steps, self._index = list(steps), 0
        if not self._steps:
            return
        self._window = window
        self._ring = QFrame(self._window)
        self._ring.setObjectName("napariSslTourRing")
        self._ring.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._bubble = _Bubble(self._window)
        self._bubble.moved.connect(self._move)
        self._bubble.ended.connect(self.end)
        self._window.installEventFilter(self)
        self._show()
        try:
            write_json(state_folder() / _FILE, {"seen": True})
        except OSError:  # the settings folder cannot be written: the tour comes up again, no more
            return

    def end(self) -> None:
        """Take the bubble away."""
        if self._bubble is None:
            return
        self._window.removeEventFilter(self)
        for part in (self._bubble, self._ring):
            part.hide()
            part.deleteLater()
        self._bubble = self._ring = self._window = None
        self.ended.emit()

    def _move(self, step: int) -> None:
        index = self._index + step
        if index >= len(self._steps):
            self.end()
        elif index >= 0:
            self._index = index
            self._show()

    def _show(self) -> None:
        step = self._steps[self._index]
        step.show()
        self._bubble.show_step(step, self._index, len(self._steps))
        self._place()
        for part in (self._ring, self._bubble):
            part.show()
            part.raise_()
        self._bubble.setFocus(Qt.FocusReason.OtherFocusReason)

    def _place(self) -> None:
        """Put the ring around the target and the bubble beside it, inside the window."""
        target = self._steps[self._index].target
        box = QRect(target.mapTo(self._window, QPoint(0, 0)), target.size())
        box = box.intersected(self._window.rect())
        colour = colours_of(self._window).accent
        self._ring.setStyleSheet(f"#napariSslTourRing {{ border: 3px solid {colour}; background: transparent; }}")
        self._ring.setGeometry(box)
        self._bubble.move(_beside(box, self._bubble.width(), self._bubble.height(), self._window.rect()))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self._bubble is not None:
            self._place()
        return False


def _beside(box: QRect, width: int, height: int, window: QRect) -> QPoint:
    """Return where a bubble of this size goes: right of the box, else left, below, above, else over its middle."""
    middle_y = box.center().y() - height // 2
    middle_x = box.center().x() - width // 2
    for x, y in (
        (box.right() + _GAP, middle_y),
        (box.left() - _GAP - width, middle_y),
        (middle_x, box.bottom() + _GAP),
        (middle_x, box.top() - _GAP - height),
    ):
        fits_x = window.left() <= x and x + width <= window.right()
        y = min(max(y, window.top() + _GAP), window.bottom() - _GAP - height)
        over = QRect(x, y, width, height).intersects(box)
        if fits_x and not over:
            return QPoint(x, y)
    x = min(max(middle_x, window.left() + _GAP), window.right() - _GAP - width)
    return QPoint(x, min(max(middle_y, window.top() + _GAP), window.bottom() - _GAP - height))
