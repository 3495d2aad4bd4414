"""The dock beside the canvas: end-diastole and end-systole of a cine, or the other planes of a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QStackedWidget, QToolButton, QVBoxLayout, QWidget

from napari_ssl.gui.phase_view import PhaseView, phases_of
from napari_ssl.gui.planes import PlanesView
from napari_ssl.gui.theme import muted_label

if TYPE_CHECKING:
    from napari_ssl.core.label_scheme import LabelScheme
    from napari_ssl.gui.loaded_case import LoadedCase

__all__ = ["SideViews"]

PHASES, PLANES = 0, 1


class SideViews(QWidget):
    """Chooses by itself what a case has: a cine has phases, a volume planes, many have both.

    Signals
    -------
    kind_chosen : int
        By the reader, `PHASES` or `PLANES`.
    """

    kind_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.phases, self.planes = PhaseView(), PlanesView()
        self.nothing = muted_label("This image has one slice and no ED and ES: there is nothing to show beside it.")
        self._stack = QStackedWidget()
        for page in (self.phases, self.planes, self.nothing):
            self._stack.addWidget(page)
        self._buttons = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(2)
        for kind, text in ((PHASES, "ED and ES"), (PLANES, "Planes")):
            button = QToolButton()
            button.setText(text)
            button.setCheckable(True)
            button.setStyleSheet("QToolButton:checked { background: #4F63C6; color: white; font-weight: bold; }")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setSizePolicy(button.sizePolicy().Policy.Expanding, button.sizePolicy().Policy.Fixed)
            self._buttons.addButton(button, kind)
            row.addWidget(button, 1)
        self._buttons.idClicked.connect(self._clicked)
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 2, 2, 2)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self._stack, 1)
        self.setMinimumWidth(150)
        self._wanted = {True: PHASES, False: PLANES}
        self._is_cine = True

    @property
    def kind(self) -> int | None:
        """`PHASES`, `PLANES`, or None when the case has neither."""
        index = self._stack.currentIndex()
        return None if index > PLANES else index

    def show_case(self, loaded: LoadedCase | None, scheme: LabelScheme | None = None) -> None:
        """Take over a case and show what was chosen for its kind of image before."""
        self.phases.show_case(loaded, scheme)
        self.planes.show_case(loaded, scheme)
        if loaded is None:
            return
        self._is_cine = loaded.case.n_frames > 1
        has = {PHASES: self._is_cine and phases_of(loaded) is not None, PLANES: loaded.case.n_slices > 1}
        for kind, there in has.items():
            self._buttons.button(kind).setEnabled(there)
        wanted = self._wanted[self._is_cine]
        kind = wanted if has[wanted] else next((k for k, there in has.items() if there), None)
        self._show(kind)

    def _show(self, kind: int | None) -> None:
        self._stack.setCurrentIndex(2 if kind is None else kind)
        self._buttons.setExclusive(False)
        for button in self._buttons.buttons():
            button.setChecked(self._buttons.id(button) == kind)
        self._buttons.setExclusive(True)

    def choose(self, kind: int) -> None:
        """Show `PHASES` or `PLANES` where the case has them."""
        if self._buttons.button(kind).isEnabled():
            self._wanted[self._is_cine] = kind
            self._show(kind)

    def _clicked(self, kind: int) -> None:
        self.choose(kind)
        self.kind_chosen.emit(kind)
