"""Volume curves linked to the shown frame, with the clinical indices beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QLabel, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from napari_ssl.core.curve import ClinicalIndices, VolumeCurve
from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.core.subject import Subject
from napari_ssl.gui.curve_plot import CurvePlot
from napari_ssl.gui.curve_quantity import VOLUME, Quantity
from napari_ssl.gui.index_table import IndexTable
from napari_ssl.gui.theme import colours_of, is_theme_change, symbol_of
from napari_ssl.measures.curves import indices as clinical_indices

__all__ = ["CurveView"]

_FALLBACK_HUES = ("#D55E00", "#009E73", "#56B4E9", "#E69F00", "#CC79A7", "#0072B2")
_UNLIMITED = 16777215  # QWIDGETSIZE_MAX
_ROOMY_PX = 780  # width from which values are written with their units and as large as other text
_SHAPES = {"o": "●", "s": "■", "t1": "▲", "d": "◆", "star": "★", "p": "⬟", "h": "⬢", "x": "✖"}


class CurveView(QWidget):
    """Curves, cursor, ED and ES markers, legend and indices.

    A click or drag in the plot shows that frame (`frame_selected`); the names "ED" and "ES" above the curves can be
    dragged (`phases_changed`, on release). Left and right arrows step, Home and End jump. Calls of `set_frame` and
    `set_curves` emit nothing.
    """

    frame_selected = Signal(int)
    phases_changed = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._curves: dict[str, VolumeCurve] = {}
        self._ghost: dict[str, VolumeCurve] = {}
        self._hues: dict[str, str] = {}
        self._scheme: LabelScheme | None = None
        self._subject: Subject | None = None
        self._quantities: dict[str, Quantity] = {}
        self._given_indices: ClinicalIndices | None = None
        self._quality = ""
        self._upright = False
        self._more: Callable[[Mapping[str, VolumeCurve]], Sequence[tuple[str, str, str]]] | None = None
        self._frame = 0
        self._theme = ""
        self.plot = CurvePlot()
        self.table = IndexTable()
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._message = QLabel("Open a case to see its volume curves.")
        self._message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._message.setWordWrap(True)
        self._values = QLabel()
        self._build()
        self.plot.frame_chosen.connect(self._choose_frame)
        self.plot.phase_dragged.connect(self._drag_phase)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Volume curves; arrows step through the frames")
        self.plot.setFocusProxy(self)
        self._recolour()

    def _build(self) -> None:
        plot_side = QWidget()
        column = QVBoxLayout(plot_side)
        column.setContentsMargins(4, 2, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.plot, 1)
        beside = QVBoxLayout()
        beside.setContentsMargins(0, 0, 4, 0)
        beside.addWidget(self.table)
        beside.addStretch(1)
        self._plot_page = QStackedWidget()
        self._plot_page.addWidget(plot_side)
        self._values.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._values.setWordWrap(True)
        self._values.setText("One time point: no curve, volumes only.")
        self._plot_page.addWidget(self._values)
        page = QWidget()
        rows = QVBoxLayout(page)
        rows.setContentsMargins(0, 2, 0, 0)
        rows.setSpacing(0)
        rows.addWidget(self.legend)
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._row.setSpacing(0)
        rows.addLayout(self._row, 1)
        self._row.addWidget(self._plot_page, 1)
        self._row.addLayout(beside)
        self._row.addStretch(0)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._message)
        self._pages.addWidget(page)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)

    def sizeHint(self) -> QSize:
        return QSize(640, 190)

    def minimumSizeHint(self) -> QSize:
        return QSize(300, 130)

    # -- what is shown -------------------------------------------------------------------------------------------

    @property
    def frame(self) -> int:
        """The frame that the cursor is on."""
        return self._frame

    def set_curves(
        self,
        curves: Mapping[str, VolumeCurve],
        ghost: Mapping[str, VolumeCurve] | None = None,
        indices: ClinicalIndices | None = None,
        colours: Mapping[str, str] | None = None,
        scheme: LabelScheme | None = None,
        quantities: Mapping[str, Quantity] | None = None,
        more: Callable[[Mapping[str, VolumeCurve]], Sequence[tuple[str, str, str]]] | None = None,
    ) -> None:
        """Show the curves of a case.

        Parameters
        ----------
        curves : dict of structure name to VolumeCurve
            All with the same number of frames; empty shows the empty state.
        ghost : dict, optional
            The previous model's curves, drawn dashed.
        indices : ClinicalIndices, optional
            Shown as they are when no `scheme` is given.
        colours : dict of structure name to ``#RRGGBB``, optional
            By default the scheme's colours.
        scheme : LabelScheme, optional
            With it the indices follow `update_frame_volumes` and dragged markers at once.
        quantities : dict of structure name to Quantity, optional
            What the curves are shown as; volumes in ml by default.
        more : callable, optional
            Returns further rows (title, value, tooltip) of the table from the curves as they are.
        """
        if not curves:
            self.clear("No labels yet for this case.")
            return
        # Own arrays: painting changes them in place.
        self._curves = {n: replace(c, volume_ml=np.array(c.volume_ml, float)) for n, c in curves.items()}
        self._ghost = dict(ghost or {})
        self._scheme, self._given_indices = scheme, indices
        self._quality, self._more = "", more
        self._quantities = {n: (quantities or {}).get(n, VOLUME) for n in curves}
        self._hues = self._choose_hues(colours)
        n_frames = len(next(iter(self._curves.values())).volume_ml)
        self._frame = min(self._frame, n_frames - 1)
        self._pages.setCurrentIndex(1)
        self._plot_page.setCurrentIndex(0 if n_frames > 1 else 1)
        self._plot_page.setMaximumWidth(_UNLIMITED if n_frames > 1 else 260)
        if n_frames > 1:
            self.plot.show_curves(self._curves, self._ghost, self._hues, self._quantities)
            self.plot.set_cursor(self._frame)
        self.refresh_numbers()

    def _choose_hues(self, colours: Mapping[str, str] | None) -> dict[str, str]:
        known = {s.name: s.colour for s in self._scheme.structures} if self._scheme else {}
        known.update(colours or {})
        return {name: known.get(name, _FALLBACK_HUES[i % len(_FALLBACK_HUES)]) for i, name in enumerate(self._curves)}

    def update_frame_volumes(self, frame: int, volumes_ml: Mapping[str, float]) -> None:
        """Take over one frame's volumes while the user paints."""
        if not self._curves:
            return
        for name, volume_ml in volumes_ml.items():
            if name in self._curves:
                self._curves[name].volume_ml[frame] = volume_ml
        if self._plot_page.currentIndex() == 0:
            self.plot.update_frame(frame, volumes_ml)
        self._given_indices = None if self._scheme else self._given_indices
        self.refresh_numbers()

    def set_frame(self, frame: int) -> None:
        """Move the cursor to a frame that the canvas shows; emits nothing."""
        if not self._curves:
            self._frame = max(0, int(frame))
            return
        n_frames = len(next(iter(self._curves.values())).volume_ml)
        self._frame = min(max(0, int(frame)), n_frames - 1)
        if n_frames > 1:
            self.plot.set_cursor(self._frame)
        self._refresh_legend()
        if self._shows_plain_volumes():
            self._show_volumes()

    def set_subject(self, subject: Subject | None) -> None:
        """Tell whose heart it is: with sex and body the indices are shown with normal ranges and per m²."""
        if subject != self._subject:
            self._subject = subject
            if self._curves:
                self.refresh_numbers()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        crossed = (event.oldSize().width() >= _ROOMY_PX) != (self.width() >= _ROOMY_PX)
        if crossed and self._curves and self._subject is not None:
            self.refresh_numbers()

    def clear(self, message: str = "Open a case to see its volume curves.") -> None:
        """Show a sentence instead of curves."""
        self._curves, self._ghost = {}, {}
        self._message.setText(message)
        self.table.clear()
        self._pages.setCurrentIndex(0)

    def set_upright(self, upright: bool) -> None:
        """Put the numbers under the plot, for a place that is higher than wide."""
        directions = QBoxLayout.Direction
        self._row.setDirection(directions.TopToBottom if upright else directions.LeftToRight)
        self._upright = upright
        self._wrap_legend()
        if self._curves:
            self._refresh_legend()

    def _wrap_legend(self) -> None:
        wraps = self._upright or bool(self._quality)
        self.legend.setWordWrap(wraps)
        rows = QSizePolicy.Policy.Minimum if wraps else QSizePolicy.Policy.Fixed
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, rows)

    def show_quality(self, text: str, shares: Mapping[str, NDArray[np.float64]]) -> None:
        """Show a QC score and shade the frames that drive it.

        Parameters
        ----------
        text : str
            Goes into the legend; empty takes it away.
        shares : dict of structure name to (T,) float in [0, 1]
            How much each frame speaks against the labels.
        """
        self._quality = text
        self._wrap_legend()
        if self._curves:
            self._refresh_legend()
        if self._curves and self._plot_page.currentIndex() == 0:
            n_frames = len(next(iter(self._curves.values())).volume_ml)
            self.plot.show_attribution({n: a for n, a in shares.items() if len(a) == n_frames})

    # -- numbers -------------------------------------------------------------------------------------------------

    def _role_name(self, role: StructureRole) -> str | None:
        structure = self._scheme.by_role(role) if self._scheme else None
        return structure.name if structure and structure.name in self._curves else None

    def _ventricles(self) -> tuple[str | None, str | None]:
        if self._scheme is None:
            return tuple(n if n in self._curves else None for n in ("LV", "RV"))  # the names that presets use
        return self._role_name(StructureRole.LV_CAVITY), self._role_name(StructureRole.RV_CAVITY)

    def _shows_plain_volumes(self) -> bool:
        static = all(len(c.volume_ml) == 1 for c in self._curves.values())
        return static or self._ventricles() == (None, None) or not (self._scheme or self._given_indices)

    def _show_volumes(self) -> None:
        more = self._more(self._curves) if self._more is not None else ()
        self.table.show_volumes(self._curves, self._frame, self._quantities, more)

    def refresh_numbers(self) -> None:
        """Write table and legend anew."""
        if self._shows_plain_volumes():
            self._show_volumes()
        else:
            if self._scheme is not None:
                self._given_indices = clinical_indices(self._curves, self._scheme)
            known = self._subject is not None and (self._subject.sex or self._subject.body_surface_area_m2)
            narrow = bool(known) and self.width() < _ROOMY_PX and not self._upright
            self.table.show_indices(self._given_indices, self._ventricles(), self._subject, narrow=narrow)
        self._refresh_legend()

    def _refresh_legend(self) -> None:
        parts = []
        for index, (name, curve) in enumerate(self._curves.items()):
            quantity = self._quantities[name]
            value = quantity.factor * curve.volume_ml[self._frame]
            number = f"{value:.0f} {quantity.unit}" if math.isfinite(value) else "–"
            shape = _SHAPES[symbol_of(index)]
            mark = f'<span style="color:{self._hues[name]}">━{shape}━</span>'
            parts.append(f"{mark} {_title(name, quantity)} <b>{number}</b>")
        if self._ghost:
            parts.append("┄┄ before")
        if self._quality:
            parts.append(self._quality)
        first = next(iter(self._curves.values()))
        where = f"frame {self._frame}"
        if first.time_ms is not None:
            where += f" · {first.time_ms[self._frame]:.0f} ms"
        gap = "<br>&nbsp;" if self._upright else " &nbsp; "  # a narrow place would break within a structure
        self.legend.setText(f"&nbsp;{where}{gap}" + " &nbsp; ".join(parts))

    # -- the user ------------------------------------------------------------------------------------------------

    def _choose_frame(self, frame: int) -> None:
        if frame != self._frame:
            self.set_frame(frame)
            self.frame_selected.emit(frame)

    def _drag_phase(self, phase: str, frame: int, finished: bool) -> None:
        field = "ed_frame" if phase == "ED" else "es_frame"
        self._curves = {n: replace(c, **{field: frame}) for n, c in self._curves.items()}
        self.refresh_numbers()
        if finished:
            first = next(iter(self._curves.values()))
            if first.ed_frame is not None and first.es_frame is not None:
                self.phases_changed.emit(first.ed_frame, first.es_frame)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        n_frames = len(next(iter(self._curves.values())).volume_ml) if self._curves else 0
        steps: dict[int, Callable[[], int]] = {
            Qt.Key.Key_Left: lambda: self._frame - 1,
            Qt.Key.Key_Right: lambda: self._frame + 1,
            Qt.Key.Key_Home: lambda: 0,
            Qt.Key.Key_End: lambda: n_frames - 1,
        }
        step = steps.get(event.key())
        if step is None or not n_frames or event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            super().keyPressEvent(event)
            return
        self._choose_frame(min(max(0, step()), n_frames - 1))

    # -- theme ---------------------------------------------------------------------------------------------------

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event):
            self._recolour()

    def _recolour(self) -> None:
        colours = colours_of(self)
        if repr(colours) == self._theme:
            return
        self._theme = repr(colours)
        self.plot.recolour(colours)
        self.table.recolour(colours)
        for label in (self._message, self._values):
            label.setStyleSheet(f"QLabel {{ color: {colours.muted}; }}")


def _title(name: str, quantity: Quantity) -> str:
    """Return the name of a curve; what it is when that is not the volume."""
    return name if quantity is VOLUME else f"{name} {quantity.title.lower()}"
