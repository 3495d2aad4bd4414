"""The plot inside the curve view: curves, ghost, cursor and markers, and what the mouse does on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import QGraphicsRectItem

from napari_ssl.core.curve import VolumeCurve
from napari_ssl.gui.curve_quantity import Quantity, axis_title
from napari_ssl.gui.theme import Colours, symbol_of

__all__ = ["CurvePlot"]

_HANDLE_PX = 16
"""Half width and height of the zone around a marker's name in which the mouse takes hold of the marker."""


class _ScrubBox(pg.ViewBox):
    """A view box where a click or drag means "show this frame" instead of panning."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.setMouseEnabled(x=False, y=False)
        self.pressed: Callable[[float, float, float], str | None] = lambda x, from_top, reach: None
        self.moved: Callable[[str | None, float, bool], None] = lambda held, x, finished: None
        self._held: str | None = None

    def _place(self, event: object) -> tuple[float, float, float]:
        """Return x in data units, pixels below the top edge, and the width of a handle in data units."""

        def x_of(position: object) -> float:
            return float(self.mapToView(position).x())

        start = event.buttonDownPos() if hasattr(event, "buttonDownPos") else event.pos()
        pixel = abs(self.viewPixelSize()[0])
        return x_of(start), float(start.y()), pixel * _HANDLE_PX

    def mouseClickEvent(self, event: object) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self.moved(None, float(self.mapToView(event.pos()).x()), True)

    def mouseDragEvent(self, event: object, axis: int | None = None) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        event.accept()
        if event.isStart():
            self._held = self.pressed(*self._place(event))
        self.moved(self._held, float(self.mapToView(event.pos()).x()), event.isFinish())
        if event.isFinish():
            self._held = None

    def hoverEvent(self, event: object) -> None:
        if event.isExit():
            self.unsetCursor()
            return
        over = self.pressed(
            float(self.mapToView(event.pos()).x()), event.pos().y(), abs(self.viewPixelSize()[0]) * _HANDLE_PX
        )
        self.setCursor(Qt.CursorShape.SizeHorCursor if over else Qt.CursorShape.PointingHandCursor)

    def wheelEvent(self, event: object, axis: int | None = None) -> None:
        event.ignore()


class CurvePlot(pg.PlotWidget):
    """Volume curves over time.

    `frame_chosen` and `phase_dragged` come from the mouse only, never from a call, so that linking both ways cannot
    loop. Coordinates on the axis are milliseconds when the curves have times, else frame numbers from 0.
    """

    frame_chosen = Signal(int)
    phase_dragged = Signal(str, int, bool)

    def __init__(self) -> None:
        self._box = _ScrubBox()
        super().__init__(viewBox=self._box)
        self._box.pressed = self._marker_at
        self._box.moved = self._on_mouse
        self.x = np.zeros(0)
        self._lines: dict[str, tuple[pg.PlotDataItem, pg.PlotDataItem]] = {}
        self._volumes: dict[str, NDArray[np.float64]] = {}
        self._drawn: dict[str, str] = {}
        self._quantities: dict[str, Quantity] = {}
        self._shades: list[QGraphicsRectItem] = []
        self._limits = (0.0, 1.0)
        self.hideButtons()
        self.setMenuEnabled(False)
        self.setFrameShape(self.Shape.NoFrame)
        item = self.getPlotItem()
        item.setContentsMargins(0, 2, 4, 0)
        item.getAxis("left").setWidth(44)
        item.getAxis("bottom").setHeight(30)
        for axis in ("left", "bottom"):
            item.getAxis(axis).enableAutoSIPrefix(False)
        item.disableAutoRange()
        self.cursor = pg.InfiniteLine(angle=90, movable=False)
        self.markers: dict[str, pg.InfiniteLine] = {}
        self._captions: dict[str, pg.TextItem] = {}
        self._phases: dict[str, int | None] = {"ED": None, "ES": None}
        self._build_markers()
        self.addItem(self.cursor)

    def _build_markers(self) -> None:
        font = QFont(self.font())
        font.setBold(True)
        for name in ("ED", "ES"):
            line = pg.InfiniteLine(angle=90, movable=False)
            caption = pg.TextItem(name, anchor=(0.5, 0.0))
            caption.setFont(font)
            for thing, depth in ((line, 5), (caption, 20)):
                thing.setZValue(depth)
                self.addItem(thing, ignoreBounds=True)
                thing.setVisible(False)
            self.markers[name] = line
            self._captions[name] = caption
        self.cursor.setZValue(10)

    # -- content -------------------------------------------------------------------------------------------------

    def show_curves(
        self,
        curves: Mapping[str, VolumeCurve],
        ghost: Mapping[str, VolumeCurve],
        hues: Mapping[str, str],
        quantities: Mapping[str, Quantity],
    ) -> None:
        """Draw `curves` (at least one) and `ghost` dashed; `hues` and `quantities` are by structure name."""
        self._quantities = dict(quantities)
        first = next(iter(curves.values()))
        timed = first.time_ms is not None
        self.x = np.asarray(first.time_ms, float) if timed else np.arange(len(first.volume_ml), dtype=float)
        self.getPlotItem().setLabel("bottom", "Time (ms)" if timed else "Frame")
        self.getPlotItem().setLabel("left", axis_title(quantities[name] for name in curves))
        if self._drawn != {name: hues[name] for name in curves}:
            self._remove_lines()
            self._lines = {name: self._add_lines(index, hues[name]) for index, name in enumerate(curves)}
            self._drawn = {name: hues[name] for name in curves}
        for name, curve in curves.items():
            factor = quantities[name].factor
            self._volumes[name] = factor * np.array(curve.volume_ml, float)
            self._draw(name)
            earlier = ghost.get(name)
            fits = earlier is not None and earlier.volume_ml.shape == self.x.shape
            shadow = (self.x, factor * earlier.volume_ml) if fits else ([], [])
            self._lines[name][1].setData(*shadow, connect="finite")
        shadows = [quantities[n].factor * c.volume_ml for n, c in ghost.items() if n in quantities]
        self._fit([*self._volumes.values(), *shadows])
        self.show_attribution({})
        for phase, frame in (("ED", first.ed_frame), ("ES", first.es_frame)):
            self.set_phase(phase, frame)

    def _remove_lines(self) -> None:
        for pair in self._lines.values():
            for line in pair:
                self.removeItem(line)
        self._lines = {}
        self._volumes = {}

    def _add_lines(self, index: int, hue: str) -> tuple[pg.PlotDataItem, pg.PlotDataItem]:
        faint = QColor(hue)
        faint.setAlpha(170)
        line = pg.PlotDataItem(
            pen=pg.mkPen(hue, width=2), symbol=symbol_of(index), symbolSize=5, symbolBrush=hue, symbolPen=None
        )
        shadow = pg.PlotDataItem(pen=pg.mkPen(faint, width=1.3, style=Qt.PenStyle.DashLine))
        # The points take clicks before the view box does.
        line.sigPointsClicked.connect(lambda _line, points, _event: self._on_mouse(None, points[0].pos().x(), True))
        line.setZValue(3)
        shadow.setZValue(2)
        self.addItem(shadow)
        self.addItem(line)
        return line, shadow

    def _draw(self, name: str) -> None:
        self._lines[name][0].setData(self.x, self._volumes[name], connect="finite")

    def _fit(self, volumes: list[NDArray[np.float64]]) -> None:
        """Choose the limits: from zero when that costs little, room above for the markers' names."""
        finite = np.concatenate([v[np.isfinite(v)] for v in volumes]) if volumes else np.zeros(0)
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if low < 0.5 * high:
            low = 0.0
        span = max(high - low, 1e-3 * max(abs(high), 1.0))
        self._limits = (low - 0.06 * span, high + 0.22 * span)
        width = float(self.x[-1] - self.x[0]) if len(self.x) > 1 else 1.0
        self._box.setRange(xRange=(self.x[0] - 0.02 * width, self.x[-1] + 0.02 * width), yRange=self._limits, padding=0)
        self._place_captions()

    def update_frame(self, frame: int, volumes: Mapping[str, float]) -> None:
        """Change one frame's volumes; the limits grow when needed and never shrink while painting."""
        shown = {n: self._quantities[n].factor * v for n, v in volumes.items() if n in self._volumes}
        for name, value in shown.items():
            self._volumes[name][frame] = value
            self._draw(name)
        values = [v for v in shown.values() if np.isfinite(v)]
        if values and not self._limits[0] <= min(values) <= max(values) <= self._limits[1] * 0.9:
            shadows = [s.getData()[1] for _, s in self._lines.values() if s.getData()[1] is not None]
            self._fit([*self._volumes.values(), *shadows])

    def show_attribution(self, shares: Mapping[str, NDArray[np.float64]]) -> None:
        """Shade the frames that speak against the labels.

        Parameters
        ----------
        shares : dict of structure name to (T,) float in [0, 1]
            Strength of the shade by frame, in the structure's colour; empty takes the shades away.
        """
        for item in self._shades:
            self.removeItem(item)
        self._shades = []
        if len(self.x) < 2:
            return
        edges = np.concatenate(([self.x[0]], (self.x[1:] + self.x[:-1]) / 2, [self.x[-1]]))
        known = [name for name in shares if name in self._drawn]
        band = (self._limits[1] - self._limits[0]) / max(1, len(known))
        for row, name in enumerate(known):
            bottom = self._limits[1] - (row + 1) * band
            for frame in np.flatnonzero(np.asarray(shares[name]) > 0):
                colour = QColor(self._drawn[name])
                colour.setAlpha(round(30 + 130 * float(min(1.0, shares[name][frame]))))
                item = QGraphicsRectItem(float(edges[frame]), bottom, float(edges[frame + 1] - edges[frame]), band)
                item.setPen(pg.mkPen(None))
                item.setBrush(pg.mkBrush(colour))
                item.setZValue(-5)
                self.addItem(item, ignoreBounds=True)
                self._shades.append(item)

    def set_cursor(self, frame: int) -> None:
        """Move the cursor line to a frame."""
        self.cursor.setValue(self.x[frame])

    def set_phase(self, phase: str, frame: int | None) -> None:
        """Place or hide the marker ``"ED"`` or ``"ES"``."""
        self._phases[phase] = frame
        known = frame is not None and 0 <= frame < len(self.x)
        self.markers[phase].setVisible(known)
        self._captions[phase].setVisible(known)
        if known:
            self.markers[phase].setValue(self.x[frame])
            self._place_captions()

    def _place_captions(self) -> None:
        for phase, caption in self._captions.items():
            frame = self._phases[phase]
            if frame is None or not 0 <= frame < len(self.x):
                continue
            # At the edges the name would be cut off: hang it inwards.
            share = frame / max(1, len(self.x) - 1)
            caption.setAnchor((0.0 if share < 0.04 else 1.0 if share > 0.96 else 0.5, 0.0))
            caption.setPos(self.x[frame], self._limits[1])

    def recolour(self, colours: Colours) -> None:
        """Take the theme's colours."""
        self.setBackground(colours.background)
        item = self.getPlotItem()
        for name in ("left", "bottom"):
            item.getAxis(name).setPen(pg.mkPen(colours.grid))
            item.getAxis(name).setTextPen(pg.mkPen(colours.text))
        item.showGrid(x=False, y=True, alpha=0.18)
        self.cursor.setPen(pg.mkPen(colours.text, width=1.6))
        for phase in self.markers:
            self.markers[phase].setPen(pg.mkPen(colours.muted, width=1.2, style=Qt.PenStyle.DotLine))
            self._captions[phase].setColor(colours.text)
            self._captions[phase].fill = pg.mkBrush(colours.background)  # so that no line crosses the letters
            self._captions[phase].update()

    # -- mouse ---------------------------------------------------------------------------------------------------

    def frame_at(self, x: float) -> int:
        """Return the frame nearest to a place on the axis."""
        return int(np.argmin(np.abs(self.x - x)))

    def _marker_at(self, x: float, from_top: float, reach: float) -> str | None:
        if from_top > _HANDLE_PX * 1.5:
            return None
        near = [
            (abs(float(self.x[frame]) - x), phase)
            for phase, frame in self._phases.items()
            if frame is not None and 0 <= frame < len(self.x)
        ]
        distance, phase = min(near, default=(np.inf, None))
        return phase if distance <= reach else None

    def _on_mouse(self, held: str | None, x: float, finished: bool) -> None:
        if not len(self.x):
            return
        frame = self.frame_at(x)
        if held is None:
            self.frame_chosen.emit(frame)
            return
        self.set_phase(held, frame)
        self.phase_dragged.emit(held, frame, finished)
