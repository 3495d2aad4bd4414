"""What the plausibility rules found, as a list under the curves; each finding leads to the frame and slice at fault."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_ssl.gui.theme import colours_of, is_theme_change, muted_label
from napari_ssl.measures.flags import Flag, Severity

__all__ = ["FindingList"]

_ROWS_ON_SHOW = 3


class _List(QListWidget):
    """Leaves letters to the workspace's keys; Return activates."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        used = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End)
        if event.key() in used:
            super().keyPressEvent(event)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.itemActivated.emit(self.currentItem())
        else:
            event.ignore()


class FindingList(QWidget):
    """Lists the flags of a segmentation.

    `place_chosen` carries frame and slice, −1 where a finding names none. Activating the same finding again goes to its
    next place.
    """

    place_chosen = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._flags: tuple[Flag, ...] = ()
        self._at = (-1, -1)
        self._key = "Return"
        self.summary = muted_label()
        self.list = _List()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setUniformItemSizes(True)
        self.list.setAccessibleName("Findings of the rules")
        self.list.setStyleSheet("QListWidget { border: 0px; } QListWidget::item { padding: 0px 2px; }")
        self.list.itemClicked.connect(lambda item: self._go(self.list.row(item)))
        self.list.itemActivated.connect(lambda item: item is not None and self._go(self.list.row(item)))
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 0, 4, 2)
        column.setSpacing(0)
        column.addWidget(self.summary)
        column.addWidget(self.list)
        self.clear()

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What is listed."""
        return self._flags

    def clear(self, text: str = "") -> None:
        """List nothing."""
        self._flags = ()
        self._at = (-1, -1)
        self.list.clear()
        self.list.hide()
        self.summary.setText(text)
        self.summary.setVisible(bool(text))

    def show_reading(self) -> None:
        """List nothing, in the same room, while a case is read: curves below that grow and shrink would flicker."""
        self._flags = ()
        self._at = (-1, -1)
        self.list.clear()
        if not self.summary.isHidden():
            self.summary.setText("Rules:")

    def show_checking(self) -> None:
        """Say that the rules are being asked; what is listed stays until they answer."""
        self.summary.setText("Rules: checking …")
        self.summary.show()

    def show_flags(self, flags: Sequence[Flag]) -> None:
        """List what the rules found, the gravest first; an unchanged list keeps its selection."""
        flags = tuple(sorted(flags, key=lambda f: f.severity is not Severity.IMPOSSIBLE))
        if not flags:
            self.clear("Rules: nothing found.")
            return
        n = len(flags)
        self.summary.setText(f"Rules: {n} finding{'s' if n > 1 else ''} (click, or {self._key}, to go there)")
        self.summary.show()
        if flags != self._flags:
            self._flags = flags
            self._at = (-1, -1)
            self.list.clear()
            for flag in flags:
                item = QListWidgetItem(f"● {_sentence(flag.message)}")
                item.setToolTip(_tip(flag))
                self.list.addItem(item)
            self._recolour()
            self.list.setFixedHeight(self._height(n))
        self.list.show()

    def set_key(self, key: str) -> None:
        """Name the key that goes to the next finding."""
        self._key = key or "Return"

    def step(self, step: int) -> None:
        """Go to the next (1) or previous (−1) finding."""
        if self._flags and not self.isHidden():
            now = self._at[0]
            self._at = ((now + step) % len(self._flags) if now >= 0 else (0 if step > 0 else len(self._flags) - 1), -1)
            self._go(self._at[0])

    def _go(self, row: int) -> None:
        places = _places(self._flags[row])
        turn = (self._at[1] + 1) % len(places) if row == self._at[0] else 0
        self._at = (row, turn)
        self.list.setCurrentRow(row)
        if places[turn] != (-1, -1):
            self.place_chosen.emit(*places[turn])

    def _height(self, n: int) -> int:
        return min(n, _ROWS_ON_SHOW) * self.list.sizeHintForRow(0) + 2 * self.list.frameWidth()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event):
            self._recolour()

    def _recolour(self) -> None:
        colours = colours_of(self)
        for row, flag in enumerate(self._flags):
            grave = flag.severity is Severity.IMPOSSIBLE
            self.list.item(row).setForeground(QColor(colours.bad if grave else colours.warning))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _places(flag: Flag) -> list[tuple[int, int]]:
    """Return frames and slices of a finding, −1 where it names none."""
    return list(product(flag.frames or (-1,), flag.slices or (-1,)))


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(n) for n in numbers[:12])
    return shown + (" …" if len(numbers) > 12 else "")


def _tip(flag: Flag) -> str:
    lines = [
        f"<b>{_sentence(flag.message)}</b>",
        f"Measured {flag.value:.4g} {flag.unit}, limit {flag.limit:.4g} {flag.unit} ({flag.severity})",
    ]
    if flag.frames:
        lines.append(f"Frames {_listed(flag.frames)}")
    if flag.slices:
        lines.append(f"Slices {_listed(flag.slices)}")
    lines += [f"Source: {flag.source}", f"<i>{flag.rule}</i>"]
    return "<br>".join(lines)
