"""Live loss and validation Dice of a training."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_ssl.gui.run_progress import RunProgress
from napari_ssl.gui.theme import colours_of, is_theme_change, symbol_of, wrapped_label

__all__ = ["TrainingPlots"]

_REDRAW_MS = 250
_MOST_POINTS = 1500
_PART_HUES = ("#E69F00", "#CC79A7", "#009E73", "#F0E442", "#D55E00", "#999999")


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over about a thirtieth of the points: single batches say little."""
    width = min(len(values), max(1, len(values) // 30))
    if width < 2:
        return values
    sums = np.cumsum(np.insert(values, 0, 0.0))
    starts = np.maximum(np.arange(1, len(values) + 1) - width, 0)
    ends = np.arange(1, len(values) + 1)
    return (sums[ends] - sums[starts]) / (ends - starts)


class _Plot(pg.PlotWidget):
    """A small plot that the mouse does not move."""

    def __init__(self, left: str, bottom: str) -> None:
        super().__init__()
        self.setMouseEnabled(False, False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setFrameShape(self.Shape.NoFrame)
        self.setMinimumWidth(0)
        self.setFixedHeight(126)
        item = self.getPlotItem()
        item.setLabel("left", left)
        item.setLabel("bottom", bottom)
        item.getAxis("left").setWidth(46)
        item.getAxis("bottom").setHeight(36 if bottom else 18)
        item.layout.setContentsMargins(1, 1, 1, 6 if bottom else 1)  # pyqtgraph lets the caption hang 5 px out
        for axis in ("left", "bottom"):
            item.getAxis(axis).enableAutoSIPrefix(False)
        item.getViewBox().setDefaultPadding(0.04)

    def wheelEvent(self, event: object) -> None:
        event.ignore()  # the panel scrolls


class TrainingPlots(QWidget):
    """Redraws at most four times a second, and only while it is visible."""

    def __init__(self) -> None:
        super().__init__()
        self._progress = RunProgress()
        self._hues: dict[str, str] = {}
        self._curves: dict[str, pg.PlotDataItem] = {}
        self.loss = _Plot("Loss", "")
        self.dice = _Plot("Dice", "Optimiser steps")
        self.legend = wrapped_label()
        self.loss_legend = wrapped_label()
        self.loss_legend.hide()
        self._parts: dict[str, pg.PlotDataItem] = {}
        self._raw = self.loss.plot()
        self._mean = self.loss.plot()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for widget in (self.loss, self.loss_legend, self.legend, self.dice):
            column.addWidget(widget)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REDRAW_MS)
        self._timer.timeout.connect(self._redraw)
        self._recolour()

    def show_progress(self, progress: RunProgress, hues: dict[str, str]) -> None:
        """Draw what a run has told; `hues` gives a colour per structure name."""
        self._progress, self._hues = progress, hues
        if not self._timer.isActive():
            self._timer.start()

    def showEvent(self, event: QEvent) -> None:
        super().showEvent(event)
        self._redraw()

    def _redraw(self) -> None:
        if not self.isVisible():
            return
        losses = np.array(self._progress.losses, float).reshape(-1, 2)
        thin = losses[:: max(1, len(losses) // _MOST_POINTS)]
        self._raw.setData(thin[:, 0], thin[:, 1])
        self._mean.setData(thin[:, 0], _smooth(thin[:, 1]))
        self._redraw_parts()
        for name in [n for n in self._curves if n not in self._progress.dice]:
            self.dice.removeItem(self._curves.pop(name))
        parts = []
        for index, (name, points) in enumerate(self._progress.dice.items()):
            if not points:
                continue
            hue = self._hues.get(name, colours_of(self).accent)
            if name not in self._curves:
                self._curves[name] = self.dice.plot(
                    pen=pg.mkPen(hue, width=2), symbol=symbol_of(index), symbolSize=6, symbolBrush=hue, symbolPen=None
                )
            xs, ys = np.array(points, float).T
            self._curves[name].setData(xs, ys)
            parts.append(f'<span style="color:{hue}">━</span>&nbsp;{name}&nbsp;<b>{ys[-1]:.3f}</b>')
        self.legend.setText(" &nbsp;".join(["Validation:", *parts]) if parts else "Validation: not measured yet")
        values = [v for points in self._progress.dice.values() for _, v in points]
        self.dice.getViewBox().setYRange(max(0.0, min(values, default=0.0) - 0.05), 1.0, padding=0.02)
        if len(losses):
            right = max(1.0, float(losses[-1, 0]))
            for plot in (self.loss, self.dice):
                plot.getViewBox().setXRange(0.0, right, padding=0.03)

    def _redraw_parts(self) -> None:
        """Draw the terms of a loss that has several, smoothed like their sum."""
        told = self._progress.parts
        for name in [n for n in self._parts if n not in told]:
            self.loss.removeItem(self._parts.pop(name))
        texts = []
        for index, (name, points) in enumerate(told.items()):
            hue = _PART_HUES[index % len(_PART_HUES)]
            if name not in self._parts:
                self._parts[name] = self.loss.plot(pen=pg.mkPen(hue, width=1.4, style=Qt.PenStyle.DashLine))
            values = np.array(points, float).reshape(-1, 2)
            thin = values[:: max(1, len(values) // _MOST_POINTS)]
            self._parts[name].setData(thin[:, 0], _smooth(thin[:, 1]))
            if len(values):
                texts.append(f'<span style="color:{hue}">┅</span>&nbsp;{name}&nbsp;<b>{values[-1, 1]:.3g}</b>')
        self.loss_legend.setText(" &nbsp;".join(["Loss, of which", *texts]))
        self.loss_legend.setVisible(bool(texts))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event):
            self._recolour()

    def _recolour(self) -> None:
        colours = colours_of(self)
        for plot in (self.loss, self.dice):
            plot.setBackground(colours.background)
            item = plot.getPlotItem()
            for axis in ("left", "bottom"):
                item.getAxis(axis).setPen(pg.mkPen(colours.grid))
                item.getAxis(axis).setTextPen(pg.mkPen(colours.text))
            item.showGrid(x=False, y=True, alpha=0.18)
        self._raw.setPen(pg.mkPen(colours.grid, width=1))
        self._mean.setPen(pg.mkPen(colours.accent, width=2))
