"""ROC of a classifier of curves with its operating point, and the calibration of its probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_ssl.gui.theme import colours_of, is_theme_change

__all__ = ["RocPlot"]


class _Square(pg.PlotWidget):
    """A plot of two shares from 0 to 1 that the mouse does not move."""

    def __init__(self, left: str, bottom: str) -> None:
        super().__init__()
        self.setMouseEnabled(False, False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setFrameShape(self.Shape.NoFrame)
        self.setMinimumWidth(0)
        self.setFixedHeight(160)
        item = self.getPlotItem()
        item.setLabel("left", left)
        item.setLabel("bottom", bottom)
        item.getAxis("left").setWidth(40)
        item.getAxis("bottom").setHeight(36)
        item.layout.setContentsMargins(1, 1, 1, 6)  # pyqtgraph lets the caption hang 5 px out
        for axis in ("left", "bottom"):
            item.getAxis(axis).enableAutoSIPrefix(False)
            item.getAxis(axis).setTicks([[(0.0, "0"), (0.5, "0.5"), (1.0, "1")], [(0.25, ""), (0.75, "")]])
        item.getViewBox().setRange(xRange=(0, 1), yRange=(0, 1), padding=0.03)
        self.diagonal = self.plot([0, 1], [0, 1])

    def wheelEvent(self, event: object) -> None:
        event.ignore()  # the panel scrolls


class RocPlot(QWidget):
    """Draws the ``metrics`` of a classifier's card."""

    def __init__(self) -> None:
        super().__init__()
        self.roc = _Square("Erroneous found", "Good flagged")
        self.calibration = _Square("Observed good", "P(good)")
        self.curve = self.roc.plot()
        self.point = self.roc.plot(symbol="o", symbolSize=9)
        self.bins = self.calibration.plot(symbol="o", symbolSize=6)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        row.addWidget(self.roc)
        row.addWidget(self.calibration)
        self._recolour()

    def show_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Draw what `qc.evaluate.evaluate` gathered on subjects that the classifier had not seen."""
        roc = metrics["roc"]
        self.curve.setData(roc["false_alarms"], roc["sensitivity"])
        self.point.setData([1 - metrics["specificity"]], [metrics["sensitivity"]])
        bins = metrics["calibration"]["bins"]
        self.bins.setData([b["stated"] for b in bins], [b["observed"] for b in bins])
        self.roc.setToolTip(
            f"ROC on subjects not learned from, AUC {metrics['auc']:.3f}; the dot is the operating point"
        )
        self.calibration.setToolTip(
            f"Stated against observed share of good; mean distance {metrics['calibration']['expected_error']:.3f}"
        )

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event):
            self._recolour()

    def _recolour(self) -> None:
        colours = colours_of(self)
        for plot in (self.roc, self.calibration):
            plot.setBackground(colours.background)
            for axis in ("left", "bottom"):
                plot.getPlotItem().getAxis(axis).setPen(pg.mkPen(colours.grid))
                plot.getPlotItem().getAxis(axis).setTextPen(pg.mkPen(colours.text))
            plot.diagonal.setPen(pg.mkPen(colours.grid, style=Qt.PenStyle.DashLine))
        for line in (self.curve, self.bins):
            line.setPen(pg.mkPen(colours.accent, width=2))
        self.bins.setSymbolBrush(colours.accent)
        self.bins.setSymbolPen(None)
        self.point.setSymbolBrush(colours.warning)
        self.point.setSymbolPen(None)
