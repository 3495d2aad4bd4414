"""Structures by a click: Ctrl+click chooses the one under the pointer, a right click says what its region becomes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QPointF, Qt, Signal
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QMenu, QWidget
from scipy import ndimage

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.gui.edit import as_allowed, edit_between
from napari_ssl.gui.theme import state_icon
from napari_ssl.study.edit_history import Edit

__all__ = ["StructureClicks", "relabel_edit"]

_STILL_PX = 4
"""How far the pointer may move between press and release: napari zooms with a right drag."""
_MOVES = "pan_zoom"
_PAINTS = ("paint", "erase", "fill", "pick")
"""Tools that napari would use for a click with the right button, too. In its polygon that takes a corner back."""

Index = tuple[int, int, int, int]


def relabel_edit(
    labels: NDArray[np.uint8],
    place: Sequence[int],
    value: int,
    *,
    whole_frame: bool = False,
    locked: Collection[int] = (),
) -> Edit | None:
    """Return the edit that gives a region another structure, None when nothing may change.

    Parameters
    ----------
    labels : (T, Z, Y, X) uint8
    place : (frame, slice, row, column)
        A pixel of the region: what is connected to it, over edges, in its slice and has its value.
    value : int
        What the region becomes; 0 erases it.
    whole_frame : bool
        All of the structure in all slices of the frame instead, connected or not.
    locked : collection of int
        Structures that stay as they are: neither they nor what would become one of them changes.
    """
    frame, z, y, x = place
    now = labels[frame]
    old = int(now[z, y, x])
    if old == value or not old:
        return None
    if whole_frame:
        region = now == old
    else:
        region = np.zeros(now.shape, bool)
        parts, _ = ndimage.label(now[z] == old)
        region[z] = parts == parts[y, x]
    wanted = np.where(region, np.uint8(value), now)
    return as_allowed(edit_between(labels, [(frame, wanted)], tool="relabel"), labels, locked)


class StructureClicks(QObject):
    """Watches the canvas.

    Parameters
    ----------
    canvas : QWidget
    mode : callable
        The tool in hand, as napari calls it.
    index_at : callable
        Frame, slice, row and column at a position on the canvas; None beside the image or while nothing can be edited.
    labels, scheme, locked : callable
        What is on show, asked at each click.

    Signals
    -------
    structure_chosen : int
        Ctrl+click on a structure, in whatever tool.
    relabel_wanted : tuple, int, bool
        Place, the value that its region becomes, and whether all of the structure in the frame.
    lock_wanted : int, bool
    """

    structure_chosen = Signal(int)
    relabel_wanted = Signal(object, int, bool)
    lock_wanted = Signal(int, bool)

    def __init__(
        self,
        canvas: QWidget,
        *,
        mode: Callable[[], str],
        index_at: Callable[[QPointF], Index | None],
        labels: Callable[[], NDArray[np.uint8]],
        scheme: Callable[[], LabelScheme],
        locked: Callable[[], Collection[int]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._canvas = canvas
        self._mode, self._index_at = mode, index_at
        self._labels, self._scheme, self._locked = labels, scheme, locked
        self._pressed: QPointF | None = None
        self.menu: QMenu | None = None
        canvas.installEventFilter(self)

    def close(self) -> None:
        """Let go of the canvas."""
        self._canvas.removeEventFilter(self)
        self._drop_menu()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.MouseButtonPress:
            return self._press(event)
        if event.type() == QEvent.Type.MouseButtonRelease and event.button() == Qt.MouseButton.RightButton:
            start, self._pressed = self._pressed, None
            if start is not None and (event.position() - start).manhattanLength() <= _STILL_PX:
                self._ask(event.position())
            return start is not None and self._mode() in _PAINTS
        return False

    def _press(self, event: QMouseEvent) -> bool:
        if event.button() == Qt.MouseButton.RightButton:
            mode = self._mode()
            self._pressed = event.position() if mode in (_MOVES, *_PAINTS) else None
            return mode in _PAINTS
        only_ctrl = event.modifiers() == Qt.KeyboardModifier.ControlModifier
        if event.button() != Qt.MouseButton.LeftButton or not only_ctrl:
            return False
        place = self._index_at(event.position())
        value = 0 if place is None else int(self._labels()[place])
        if value:
            self.structure_chosen.emit(value)
        return bool(value)

    def _ask(self, position: QPointF) -> None:
        place = self._index_at(position)
        value = 0 if place is None else int(self._labels()[place])
        if value:
            self._drop_menu()
            self.menu = self._menu_for(place, value)
            self.menu.popup(self._canvas.mapToGlobal(position.toPoint()))

    def _drop_menu(self) -> None:
        if self.menu is not None:
            self.menu.close()
            self.menu.deleteLater()
            self.menu = None

    def _menu_for(self, place: Index, value: int) -> QMenu:
        structures, locked = self._scheme().structures, self._locked()
        name = next((s.name for s in structures if s.value == value), str(value))
        menu = QMenu(self._canvas)
        menu.setAccessibleName(f"{name} under the pointer")
        menu.addAction(f"Choose {name}", lambda: self.structure_chosen.emit(value))
        is_locked = value in locked
        menu.addAction(
            f"{'Unlock' if is_locked else 'Lock'} {name}", lambda: self.lock_wanted.emit(value, not is_locked)
        )
        menu.addSeparator()
        self._add_targets(menu, "This region becomes", place, value, whole=False)
        self._add_targets(menu, f"All {name} of this frame becomes", place, value, whole=True)
        return menu

    def _add_targets(self, menu: QMenu, caption: str, place: Index, value: int, *, whole: bool) -> None:
        part, locked = menu.addMenu(caption), self._locked()
        for structure in self._scheme().structures:
            if structure.value != value:
                entry = part.addAction(
                    state_icon(structure.colour),
                    structure.name,
                    lambda to=structure.value: self.relabel_wanted.emit(place, to, whole),
                )
                entry.setEnabled(not {value, structure.value} & set(locked))
        part.addAction("background", lambda: self.relabel_wanted.emit(place, 0, whole)).setEnabled(value not in locked)
