"""Workspace: keys and buttons of the correction tools, locks, and the marks of what nobody has looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ssl.gui import compat
from napari_ssl.gui.edit_marks import CurveMarks, UnverifiedBadge, marks_in_words
from napari_ssl.gui.relabel import StructureClicks, relabel_edit
from napari_ssl.gui.workspace_layers import LayerActions

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QPointF

    from napari_ssl.gui.canvas import CaseCanvas
    from napari_ssl.gui.keys import KeyTable

__all__ = ["EditingActions"]


class EditingActions(LayerActions):
    """What the reader does with the correction tools."""

    _keys: KeyTable
    canvas: CaseCanvas
    _clicks: StructureClicks
    _badge: UnverifiedBadge
    _curve_marks: CurveMarks

    def _editing_actions(self) -> dict[str, Callable[[], object]]:
        """Return the actions of `keys.ACTIONS` that correct labels."""

        def tool(run: Callable) -> Callable[[], object]:
            return lambda: self.reviewer and run(self.reviewer.tools)

        return {
            "undo": lambda: self.reviewer and self.reviewer.undo(),
            "redo": lambda: self.reviewer and self.reviewer.redo(),
            "copy_up": tool(lambda t: t.copy_slice(-1)),
            "copy_down": tool(lambda t: t.copy_slice(1)),
            "copy_next": tool(lambda t: t.copy_frame(1)),
            "copy_previous": tool(lambda t: t.copy_frame(-1)),
            "smooth": tool(lambda t: t.smooth()),
            "islands": tool(lambda t: t.remove_islands()),
            "islands_everywhere": tool(lambda t: t.remove_islands(all_frames=True)),
            "fill_between": tool(lambda t: t.fill_between()),
            "interpolate_slice": tool(lambda t: t.interpolate_slice()),
            "propagate_next": tool(lambda t: t.propagate("next")),
            "propagate_cycle": tool(lambda t: t.propagate("cycle")),
            "propagate_phases": tool(lambda t: t.propagate("phases")),
            "region": tool(lambda t: t.draw_region()),
            "lock": self.toggle_lock,
            "next_unverified": lambda: self.reviewer and self.reviewer.next_unverified(),
        }

    def _wire_editing(self) -> None:
        """Connect the tool row, once."""
        tools, actions = self.review.tools, self._editing_actions()
        self._badge = UnverifiedBadge(compat.canvas_widget(self.viewer))
        self._curve_marks = CurveMarks(self.curves.plot)
        tools.command_chosen.connect(lambda action: actions[action]())
        tools.lock_toggled.connect(lambda value, locked: self.reviewer and self.reviewer.set_locked(value, locked))
        tools.status.cancel_clicked.connect(lambda: self.reviewer and self.reviewer.tools.cancel())
        tools.status.next_clicked.connect(actions["next_unverified"])
        self.navigator.moved.connect(lambda _frame, _slice: self._show_badge())
        self._clicks = clicks = StructureClicks(
            compat.canvas_widget(self.viewer),
            mode=lambda: str(self.canvas.labels.mode) if self._case_is_open() else "",
            index_at=self._index_at,
            labels=lambda: self.reviewer.session.loaded.labels,
            scheme=lambda: self.study.label_scheme,
            locked=lambda: self.reviewer.locked,
            parent=self,
        )
        clicks.structure_chosen.connect(self._choose_structure)
        clicks.relabel_wanted.connect(self._relabel)
        clicks.lock_wanted.connect(lambda value, locked: self.reviewer and self.reviewer.set_locked(value, locked))
        self.view.legend.structure_chosen.connect(self._choose_structure)

    def _follow_editing(self) -> None:
        """Connect the study that was opened."""
        reviewer, row = self.reviewer, self.review.tools
        reviewer.tools.started.connect(row.status.show_running)
        reviewer.tools.progressed.connect(row.status.show_progress)
        reviewer.tools.ended.connect(row.status.show_idle)
        reviewer.tools.region_wanted.connect(row.show_drawing)
        reviewer.locks_changed.connect(row.show_locks)
        reviewer.marks_changed.connect(self._show_marks)
        reviewer.opened.connect(lambda _loaded: self._show_marks(reviewer.session.unverified))
        row.status.show_idle()

    def _index_at(self, at: QPointF) -> tuple[int, int, int, int] | None:
        """Return what pixel is at a place of the canvas, None where none can be edited."""
        editable = self.reviewer is not None and self.reviewer.can_edit
        return self.canvas.index_at(at.x(), at.y()) if editable else None

    def _relabel(self, place: tuple[int, int, int, int], value: int, whole_frame: bool) -> None:
        """Give the region that was clicked another structure, as one step of undo."""
        if self._case_is_open():
            labels, locked = self.reviewer.session.loaded.labels, self.reviewer.locked
            self.reviewer.make(relabel_edit(labels, place, value, whole_frame=whole_frame, locked=locked))

    def toggle_lock(self) -> None:
        """Lock the structure that is chosen, or free it."""
        if self._case_is_open():
            value = int(self.reviewer.canvas.labels.selected_label)
            if value:
                self.reviewer.set_locked(value, value not in self.reviewer.locked)

    def _show_marks(self, marks: frozenset[tuple[int, int]]) -> None:
        self.review.tools.status.show_marks(marks_in_words(marks))
        self._curve_marks.show({frame for frame, _ in marks})
        self._show_badge()

    def _show_badge(self) -> None:
        unseen = self._case_is_open() and self.navigator.place in self.reviewer.session.unverified
        self._badge.show_for("Unverified: look before you accept" if unseen else "")

    def _call_off(self) -> bool:
        """Answer Escape; returns whether there was something to call off."""
        if self.reviewer and self.reviewer.tools.stop_drawing():
            self.banner.clear()  # it says how to draw
            return True
        return self.review.hide_reasons()
