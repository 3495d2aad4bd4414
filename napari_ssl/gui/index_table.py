"""The clinical indices beside the curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_ssl.core.curve import ClinicalIndices, VolumeCurve
from napari_ssl.core.subject import Subject
from napari_ssl.gui.curve_quantity import VOLUME, Quantity
from napari_ssl.gui.index_rows import IndexCell, index_rows, number
from napari_ssl.gui.theme import Colours

__all__ = ["IndexTable"]

_SMALL_PX = 11
_SPACING = {False: 10, True: 6}  # between columns, by whether there is little room


class IndexTable(QWidget):
    """EDV, ESV, SV, EF and mass of LV and RV; or volumes per structure where there are no ventricles or no cycle."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(4, 0, 4, 0)
        self._grid.setHorizontalSpacing(_SPACING[False])
        self._grid.setVerticalSpacing(1)
        self._cells: dict[tuple[int, int], QLabel] = {}
        self._marks: dict[tuple[int, int], tuple[bool, bool]] = {}
        self._colours: Colours | None = None
        self._narrow = False

    def recolour(self, colours: Colours) -> None:
        """Take the theme's colours."""
        self._colours = colours
        for place in self._cells:
            self._shade(place)

    def texts(self) -> list[list[str]]:
        """Return what is on show, row by row."""
        rows = max((r for r, _ in self._cells), default=-1) + 1
        columns = max((c for _, c in self._cells), default=-1) + 1
        return [
            [self._cells[r, c].text() if (r, c) in self._cells else "" for c in range(columns)] for r in range(rows)
        ]

    def show_indices(
        self,
        indices: ClinicalIndices,
        names: tuple[str | None, str | None],
        subject: Subject | None = None,
        *,
        narrow: bool = False,
    ) -> None:
        """Show ventricular indices, their normal ranges and values per m² as `index_rows` makes them."""
        self._set_narrow(narrow)
        self._fill(index_rows(indices, names, subject, narrow=narrow))

    def _set_narrow(self, narrow: bool) -> None:
        """Write smaller where there is little room, so that the normal ranges stay in sight."""
        if narrow != self._narrow:
            self._narrow = narrow
            self._grid.setHorizontalSpacing(_SPACING[narrow])
            for place in self._cells:
                self._shade(place)
            self._grid.invalidate()

    def show_volumes(
        self,
        curves: Mapping[str, VolumeCurve],
        frame: int,
        quantities: Mapping[str, Quantity] | None = None,
        more: Sequence[tuple[str, str, str]] = (),
    ) -> None:
        """Show per structure the volume now, and the largest and smallest over the frames when there are several.

        Parameters
        ----------
        quantities : dict of structure name to Quantity, optional
            What is shown instead of volumes, e.g. areas.
        more : sequence of (title, value, tooltip)
            Further rows.
        """
        shown = {name: (quantities or {}).get(name, VOLUME) for name in curves}
        static = all(len(c.volume_ml) == 1 for c in curves.values())
        titles = dict.fromkeys(q.title for q in shown.values())
        rows = [["", " / ".join(titles)] if static else ["", "Now", "Max", "Min"]]
        for name, curve in curves.items():
            values = shown[name].factor * curve.volume_ml
            finite = [float(v) for v in values if math.isfinite(v)]
            now = number(float(values[min(frame, len(values) - 1)]), shown[name].unit)
            extremes = [number(f(finite, default=math.nan), shown[name].unit) for f in (max, min)]
            rows.append([name, now] if static else [name, now, *extremes])
        tip = f"{' and '.join(titles)} per structure"
        cells = [[IndexCell(text, tip) for text in row] for row in rows]
        self._fill([*cells, *([IndexCell(title, said), IndexCell(value, said)] for title, value, said in more)])

    def clear(self) -> None:
        """Show nothing."""
        self._fill([])

    def _fill(self, rows: list[list[IndexCell]]) -> None:
        """Change the texts in place, so that live updates cost next to nothing."""
        wanted = {(r, c): cell for r, row in enumerate(rows) for c, cell in enumerate(row)}
        for place in [p for p in self._cells if p not in wanted]:
            label = self._cells.pop(place)
            self._marks.pop(place, None)
            self._grid.removeWidget(label)
            label.hide()
            label.deleteLater()
        for place, cell in wanted.items():
            label = self._cells.get(place)
            is_new, grown = label is None, False
            if is_new:
                label = self._cells[place] = QLabel()
                side = Qt.AlignmentFlag.AlignLeft if place[1] == 0 else Qt.AlignmentFlag.AlignRight
                label.setAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                self._grid.addWidget(label, *place)
            if label.text() != cell.text:
                grown = len(label.text()) != len(cell.text)
                label.setText(cell.text)
            if label.toolTip() != cell.tip:
                label.setToolTip(cell.tip)
            marks = (cell.is_outside, cell.is_range)
            if is_new or marks != self._marks.get(place):
                self._marks[place] = marks
                self._shade(place)
                grown = True
            if grown:
                self._grid.invalidate()  # bold comes with the sheet, after the label was measured

    def _shade(self, place: tuple[int, int]) -> None:
        if self._colours is None:
            return
        is_outside, is_range = self._marks.get(place, (False, False))
        quiet = 0 in place or is_range
        colour = self._colours.muted if quiet else self._colours.warning if is_outside else self._colours.text
        weight = "normal" if quiet else "bold"
        size = f"font-size: {_SMALL_PX}px; " if self._narrow else ""
        self._cells[place].setStyleSheet(f"QLabel {{ color: {colour}; font-weight: {weight}; {size}padding: 0; }}")
