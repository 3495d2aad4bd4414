"""Colours, margins and small building blocks that the panels share.

Colours are read from a widget's palette, which napari's style sheet sets, so a panel fits the viewer's dark or light
theme, and a dialog outside of napari fits the desktop. A widget recolours itself in ``changeEvent`` when
`is_theme_change` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import QEvent, QObject, QPointF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPalette, QPixmap, QPolygonF
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt import QCollapsible

__all__ = [
    "MARGIN",
    "SPACING",
    "Colours",
    "Confirmation",
    "Fold",
    "WheelGuard",
    "colours_of",
    "heading",
    "is_theme_change",
    "muted_label",
    "set_margins",
    "state_icon",
    "symbol_of",
    "wrapped_label",
]

MARGIN = 6
SPACING = 4

_SYMBOLS = ("o", "s", "t1", "d", "star", "p", "h", "x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """What a panel paints with, as ``#RRGGBB``; Okabe-Ito hues for good, bad and warning."""

    background: str
    text: str
    muted: str
    grid: str
    accent: str
    good: str
    bad: str
    warning: str
    dark: bool


def _mix(first: QColor, second: QColor, share: float) -> str:
    parts = [round(a * (1 - share) + b * share) for a, b in zip(first.getRgb()[:3], second.getRgb()[:3], strict=True)]
    return QColor(*parts).name()


def colours_of(widget: QWidget) -> Colours:
    """Return the colours that go with the widget's present palette."""
    palette = widget.palette()
    background = palette.color(QPalette.ColorRole.Window)
    text = palette.color(QPalette.ColorRole.WindowText)
    dark = background.lightness() < text.lightness()
    return Colours(
        background=background.name(),
        text=text.name(),
        muted=_mix(text, background, 0.35 if dark else 0.2),
        grid=_mix(background, text, 0.2),
        accent="#56B4E9" if dark else "#0072B2",
        good="#2FBF8F" if dark else "#00694C",
        bad="#FF8A5C" if dark else "#B34700",
        warning="#E69F00" if dark else "#8A5F00",
        dark=dark,
    )


def is_theme_change(event: QEvent) -> bool:
    """Whether a ``changeEvent`` means that colours must be read again."""
    return event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange)


def symbol_of(index: int) -> str:
    """Return the plot symbol of the index-th structure, so that curves differ by more than colour."""
    return _SYMBOLS[index % len(_SYMBOLS)]


def set_margins(layout: QLayout, *, margin: int = MARGIN, spacing: int = SPACING) -> QLayout:
    """Give a layout the panels' margins and return it."""
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(spacing)
    return layout


def wrapped_label(text: str = "", *, selectable: bool = False) -> QLabel:
    """Return a label that wraps instead of widening its dock."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    if selectable:
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


class _MutedLabel(QLabel):
    """Secondary text that follows the theme."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._shade = ""
        self._recolour()

    def _recolour(self) -> None:
        shade = colours_of(self.parentWidget() or self).muted
        if shade != self._shade:
            self._shade = shade
            self.setStyleSheet(f"QLabel {{ color: {shade}; }}")

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event) or event.type() == QEvent.Type.ParentChange:
            self._recolour()


def muted_label(text: str = "") -> QLabel:
    """Return a wrapping label in a quieter shade, for sources and hints."""
    return _MutedLabel(text)


def heading(text: str) -> QLabel:
    """Return a bold label over a group of widgets."""
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def state_icon(colour: str, *, filled: bool = True, size: int = 12) -> QIcon:
    """Return a disc, or a ring when not `filled`, that marks a state beside its name."""
    pixmap = QPixmap(QSize(size, size))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = painter.pen()
    pen.setColor(QColor(colour))
    pen.setWidthF(1.6)
    painter.setPen(pen)
    painter.setBrush(QColor(colour) if filled else Qt.BrushStyle.NoBrush)
    painter.drawEllipse(2, 2, size - 4, size - 4)
    painter.end()
    return QIcon(pixmap)


def _arrow(colour: str, *, down: bool, size: int = 12) -> QIcon:
    pixmap = QPixmap(QSize(size, size))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    corners = ((2, 4), (10, 4), (6, 9)) if down else ((4, 2), (9, 6), (4, 10))
    painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in corners]))
    painter.end()
    return QIcon(pixmap)


class Fold(QCollapsible):
    """A part that folds away at once; its arrow has the theme's colour, superqt's own is black on dark."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.setDuration(0)
        self._shade = ""
        self._recolour()

    def _recolour(self) -> None:
        shade = colours_of(self.parentWidget() or self).text
        if shade != self._shade:
            self._shade = shade
            self.setCollapsedIcon(_arrow(shade, down=False))
            self.setExpandedIcon(_arrow(shade, down=True))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event) or event.type() == QEvent.Type.ParentChange:
            self._recolour()


class WheelGuard(QObject):
    """Keeps the wheel from changing a field that the pointer only passes over while its page is scrolled."""

    def protect(self, *fields: QWidget) -> None:
        """Let the wheel change these fields only while they have the focus, which the wheel does not give them."""
        for field in fields:
            field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            field.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


class Confirmation(QFrame):
    """A question inside a panel with a button that goes ahead and one that does not."""

    answered = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = wrapped_label()
        self.cancel_button = QPushButton("Cancel")
        self.confirm_button = QPushButton("OK")
        self.cancel_button.clicked.connect(lambda: self._answer(False))
        self.confirm_button.clicked.connect(lambda: self._answer(True))
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.cancel_button)
        buttons.addWidget(self.confirm_button)
        column = QVBoxLayout(self)
        set_margins(column)
        column.addWidget(self._label)
        column.addLayout(buttons)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.hide()

    @property
    def text(self) -> str:
        """The question on show."""
        return self._label.text()

    def ask(self, question: str, confirm: str) -> None:
        """Show the question; `confirm` is the caption of the button that goes ahead."""
        self._label.setText(question)
        self.confirm_button.setText(confirm)
        self.show()
        self.confirm_button.setFocus()

    def _answer(self, yes: bool) -> None:
        self.hide()
        self.answered.emit(yes)
