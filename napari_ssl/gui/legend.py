"""The legend over the canvas: structures, contours, differences, and the scale of the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QEvent, QObject, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFontMetricsF, QLinearGradient, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

__all__ = ["Legend", "LegendEntry", "gradient_stops"]

_MARGIN, _ROW, _SWATCH, _GAP, _SCALE = 8, 18, 16, 7, 96


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """A colour and what it stands for; contours are drawn as a line, and a `value` is a structure to choose."""

    text: str
    colour: str
    is_line: bool = False
    value: int | None = None


def gradient_stops(colormap: Colormap) -> list[tuple[float, QColor]]:
    """Return a colormap as stops from 0 to 1, over black, as the overlay looks over a dark image."""
    stops = []
    for at, colour in zip(colormap.controls, colormap.colors, strict=True):
        red, green, blue, alpha = (float(c) for c in colour)
        stops.append((float(at), QColor.fromRgbF(red * alpha, green * alpha, blue * alpha)))
    return stops


class Legend(QWidget):
    """Lies in the lower left corner of `over` and is as large as what it says.

    It lets the mouse through, but for a plain click on the name of a structure: `structure_chosen` follows.
    """

    structure_chosen = Signal(int)

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._entries: tuple[LegendEntry, ...] = ()
        self._scale: tuple[str, Colormap] | None = None
        over.installEventFilter(self)
        self.hide()

    @property
    def entries(self) -> tuple[LegendEntry, ...]:
        """What is explained."""
        return self._entries

    @property
    def scale(self) -> str:
        """Name of the confidence whose scale is drawn, empty for none."""
        return self._scale[0] if self._scale else ""

    def show_entries(self, entries: Sequence[LegendEntry], scale: tuple[str, Colormap] | None = None) -> None:
        """Explain colours and, where the confidence is on show, its scale; nothing to explain hides the legend."""
        if (tuple(entries), scale and scale[0]) != (self._entries, self.scale or None):
            self._entries, self._scale = tuple(entries), scale
            names = [e.text for e in entries] + ([f"{scale[0]}, from doubtful to certain"] if scale else [])
            self.setAccessibleName("Legend: " + ", ".join(names))
            self.resize(self.sizeHint())
            self._place()
            self.update()
        shown = bool(entries) or scale is not None
        if shown and not self.isVisible():
            self.raise_()
        self.setVisible(shown)

    def sizeHint(self) -> QSize:
        metrics = QFontMetricsF(self.font())
        widths = [_SWATCH + _GAP + metrics.horizontalAdvance(e.text) for e in self._entries]
        rows = len(self._entries) * _ROW
        if self._scale is not None:
            ends = metrics.horizontalAdvance("doubtful") + metrics.horizontalAdvance("certain") + 3 * _GAP
            widths += [max(_SCALE, ends), metrics.horizontalAdvance(self._scale[0])]
            rows += 2 * _ROW + 12
        return QSize(int(np.ceil(max(widths, default=0))) + 2 * _MARGIN, int(rows) + 2 * _MARGIN - 4)

    def _place(self) -> None:
        over = self.parentWidget()
        self.move(_MARGIN, max(0, over.height() - self.height() - _MARGIN))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._place()
        elif event.type() == QEvent.Type.MouseButtonPress and self.isVisible():
            plain = event.button() == Qt.MouseButton.LeftButton and not event.modifiers()
            value = self.value_at(event.position()) if plain else None
            if value is not None:
                self.structure_chosen.emit(value)
                return True
        return False

    def value_at(self, position: QPointF) -> int | None:
        """Return the structure whose line is at a position on the widget below, None where there is none."""
        at = position - QPointF(self.pos())
        row = int((at.y() - _MARGIN + 2) // _ROW)
        inside = 0 <= at.x() < self.width() and 0 <= row < len(self._entries)
        return self._entries[row].value if inside else None

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(16, 18, 22, 190))
        painter.drawRoundedRect(QRectF(self.rect()), 4, 4)
        y = float(_MARGIN - 2)
        for entry in self._entries:
            self._draw_swatch(painter, entry, y)
            painter.setPen(QColor("#F2F2F2"))
            box = QRectF(_MARGIN + _SWATCH + _GAP, y, self.width(), _ROW)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, entry.text)
            y += _ROW
        if self._scale is not None:
            self._draw_scale(painter, y)
        painter.end()

    def _draw_swatch(self, painter: QPainter, entry: LegendEntry, y: float) -> None:
        if entry.is_line:
            painter.setPen(QPen(QColor(entry.colour), 2))
            middle = y + _ROW / 2
            painter.drawLine(QPointF(_MARGIN, middle), QPointF(_MARGIN + _SWATCH, middle))
            return
        painter.setPen(QPen(QColor(0, 0, 0, 160), 1))
        painter.setBrush(QColor(entry.colour))
        painter.drawRect(QRectF(_MARGIN + 1, y + 3, _SWATCH - 2, _ROW - 7))

    def _draw_scale(self, painter: QPainter, y: float) -> None:
        name, colormap = self._scale
        width = self.width() - 2 * _MARGIN
        painter.setPen(QColor("#F2F2F2"))
        painter.drawText(QRectF(_MARGIN, y, width, _ROW), Qt.AlignmentFlag.AlignVCenter, name)
        gradient = QLinearGradient(_MARGIN, 0, _MARGIN + width, 0)
        for at, colour in gradient_stops(colormap):
            gradient.setColorAt(at, colour)
        painter.setBrush(gradient)
        painter.setPen(QPen(QColor("#9AA0A6"), 1))
        painter.drawRect(QRectF(_MARGIN, y + _ROW, width, 9))
        painter.setPen(QColor("#F2F2F2"))
        ends = QRectF(_MARGIN, y + _ROW + 10, width, _ROW)
        painter.drawText(ends, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, "doubtful")
        painter.drawText(ends, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, "certain")
