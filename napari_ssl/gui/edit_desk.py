"""Editing of the case on the desk: strokes journalled and measured, undo and redo, locks, marks, a full disk."""

from __future__ import annotations

from collections import Counter

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ssl.errors import NapariSslError, StorageError
from napari_ssl.gui.background import in_words
from napari_ssl.gui.canvas import CaseCanvas
from napari_ssl.gui.edit import EditTracker
from napari_ssl.gui.edit_marks import LookWatch
from napari_ssl.gui.edit_tools import EditTools
from napari_ssl.gui.journal_banner import damage_text
from napari_ssl.gui.loaded_case import LoadedCase
from napari_ssl.gui.navigation import Navigator
from napari_ssl.gui.rule_check import RuleCheck
from napari_ssl.gui.session import ReviewSession
from napari_ssl.measures.curves import frame_volumes
from napari_ssl.study.edit_history import Edit
from napari_ssl.study.journal import waiting_cases, write_waiting
from napari_ssl.study.study import Study

__all__ = ["EditDesk"]

_RETRY_MS = 2000
_FRAMES_A_TURN = 8
_TOOL_TEXTS = {"paint": "brush", "erase": "eraser", "fill": "fill", "polygon": "polygon"}


class EditDesk(QObject):
    """What is done to the labels of the case on screen; the base of `CaseDesk`.

    Signals
    -------
    message : str, str, object
        Text, kind and actions for the banner.
    edited : dict
        Frames whose labels changed, as {frame: {structure: ml}}.
    marks_changed : frozenset of (frame, slice)
        The places that nobody has looked at.
    locks_changed : frozenset of int
        The values of the locked structures.
    """

    message = Signal(str, str, object)
    edited = Signal(object)
    marks_changed = Signal(object)
    locks_changed = Signal(object)

    def __init__(
        self, canvas: CaseCanvas, study: Study, reader: str, navigator: Navigator, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.canvas = canvas
        self.viewer = canvas.viewer
        self.study = study
        self.reader = reader
        self.navigator = navigator
        self.session = ReviewSession(study, reader)
        self.rules = RuleCheck(study, self)
        self.locked: frozenset[int] = frozenset()
        self.looks_only = False  # while curves are rated: labels stay as they are and no view is remembered
        self.tools = EditTools(self)
        self.looks = LookWatch(self)
        self._tracker: EditTracker | None = None
        self._painted: set[int] = set()
        self._known_strokes: set[str] = set()
        self._marks: frozenset[tuple[int, int]] = frozenset()
        self._retry = QTimer(self)
        self._retry.setInterval(_RETRY_MS)
        self._retry.timeout.connect(self._write_waiting)

    def close_editing(self) -> tuple[str, ...]:
        """Stop tools and timers; returns, in words, what the disk did not take."""
        self.tools.close()
        self.looks.close()
        self._retry.stop()
        if self._tracker is not None:
            self._tracker.disconnect()
            self._tracker = None
        cases = write_waiting(self.study.folder)
        return tuple(
            f"{case}: strokes could not be written to the study and are lost with this program." for case in cases
        )

    @property
    def can_edit(self) -> bool:
        """Whether a case is open whose labels may be changed."""
        return self.session.loaded is not None and not self.study.read_only and not self.looks_only

    def follow_labels(self) -> None:
        """Watch the layer that is painted on, which lives as long as the window."""
        layer = self.canvas.labels
        if self._tracker is None or self._tracker.layer is not layer:
            self._tracker = EditTracker(
                layer, on_edit=self._painted_by_hand, on_refused=self._tell_locked, on_region=self.tools.take_region
            )
            self._tracker.locked = self.locked

    # -- edits ---------------------------------------------------------------------------------------------------

    def make(self, edit: Edit | None) -> bool:
        """Make an edit as one step of undo; returns whether there was anything to change."""
        if edit is None or not self.can_edit:
            return False
        self._tracker.apply(edit)
        self._note(lambda: self.session.add_edit(edit), edit)
        return True

    def _painted_by_hand(self, edit: Edit) -> None:
        if self.session.loaded is not None:
            self._note(lambda: self.session.add_edit(edit), edit)

    def undo(self) -> None:
        """Take the last edit back where it was made."""
        self._step(backwards=True)

    def redo(self) -> None:
        """Make the last undone edit again."""
        self._step(backwards=False)

    def _step(self, *, backwards: bool) -> None:
        if not self.can_edit:
            return
        strokes = self.session.strokes
        edit = strokes.history.next_undo if backwards else strokes.history.next_redo
        if edit is None:
            self.message.emit(f"There is nothing to {'undo' if backwards else 'redo'} in this case.", "info", ())
            return
        self.navigator.stop()
        place = edit.place(self.session.loaded.labels.shape, self.navigator.place)
        self.navigator.go(*place)
        self._tracker.apply(edit, backwards=backwards)
        self._note(strokes.undo if backwards else strokes.redo, edit)

    def revert(self) -> None:
        """Go back to the stored labels; that is an edit, which can be undone."""
        loaded = self.session.loaded
        if loaded is None or not self.can_edit:
            return
        if loaded.is_outdated:
            self._discard_outdated(loaded)
            return
        if self.make(self.session.reverting_edit()):
            loaded.edited_frames = ()
            self.session.strokes.compact()  # nothing is unsaved now
            self.message.emit(f"{loaded.case.id}: your strokes were taken off. Undo brings them back.", "info", ())

    def _discard_outdated(self, loaded: LoadedCase) -> None:
        try:
            aside = self.session.strokes.discard()
        except (NapariSslError, OSError) as error:
            self.message.emit(in_words(error), "error", ())
            return
        self.open_case(loaded.case.id)
        self.message.emit(f"{loaded.case.id}: the strokes on the earlier labels are kept in {aside}.", "info", ())

    def _note(self, step, edit: Edit) -> None:
        """Journal an edit, then let curves, rules and marks follow in the next turn of the event loop."""
        self._record(step)
        self._measure_soon(edit.frames)
        self._tell_marks()

    def _measure_soon(self, frames) -> None:
        if not self._painted:
            QTimer.singleShot(0, self._measure_painted)
        self._painted.update(frames)

    def _measure_painted(self) -> None:
        """Measure some frames and leave the others to the next turn, so that the window goes on."""
        frames = sorted(self._painted, key=lambda f: abs(f - self.session.frame))
        now, later = frames[:_FRAMES_A_TURN], frames[_FRAMES_A_TURN:]
        self._painted = set(later)
        loaded = self.session.loaded
        if loaded is None:
            self._painted = set()
            return
        if later:
            QTimer.singleShot(0, self._measure_painted)
        self.rules.request(loaded)
        scheme, voxel_ml = self.study.label_scheme, loaded.case.voxel_volume_ml
        self.edited.emit({f: frame_volumes(loaded.labels[f], scheme, voxel_ml) for f in sorted(now)})

    # -- the journal ---------------------------------------------------------------------------------------------

    def _record(self, step) -> None:
        try:
            step()
        except (NapariSslError, OSError) as error:
            if isinstance(error, StorageError) and self._retry.isActive():
                return  # told already; one message a disk, not one a stroke
            self._retry.start()
            self.message.emit(
                "The strokes cannot be written to the disk now. They are kept in memory and written as soon as that is "
                f"possible; do not close the window before. {in_words(error)}",
                "error",
                (("Try again", self._write_waiting),),
            )

    def _write_waiting(self) -> None:
        """Write the strokes that the disk refused."""
        if not waiting_cases(self.study.folder):
            self._retry.stop()
        elif not write_waiting(self.study.folder):
            self._retry.stop()
            self.message.emit("The strokes that waited are on the disk now.", "info", ())

    def tell_recovered(self, loaded: LoadedCase) -> None:
        """Offer what an interrupted session left, or what was painted on labels that are not the newest any more."""
        if damage := damage_text(loaded):
            self.message.emit(damage, "error", ())
            return
        if not loaded.n_recovered or (loaded.case.id in self._known_strokes and not loaded.is_outdated):
            return
        n = "1 stroke" if loaded.n_recovered == 1 else f"{loaded.n_recovered} strokes"
        if loaded.is_outdated:
            text = f"{loaded.case.id}: {n} painted on earlier labels are not saved; newer labels have come since."
        else:
            text = f"{loaded.case.id}: {n} recovered from an interrupted session{self._found(loaded)}."
        case_id = loaded.case.id
        actions = (("Keep", lambda: self._known_strokes.add(case_id)), ("Discard", self.revert))
        self.message.emit(text, "warning", actions)

    @staticmethod
    def _found(loaded: LoadedCase) -> str:
        """Say which tools and frames the unsaved edits are of."""
        edits = loaded.history.edits[: loaded.history.cursor][-loaded.n_recovered :]
        tools = Counter(_TOOL_TEXTS.get(e.tool, e.tool) for e in edits)
        frames = sorted({f for e in edits for f in e.frames})
        if not frames:
            return ""
        where = f"frame {frames[0]}" if len(frames) == 1 else f"{len(frames)} frames from {frames[0]} to {frames[-1]}"
        return f" ({', '.join(f'{tool} {n}' for tool, n in tools.most_common(4))}; {where})"

    # -- locks and marks -----------------------------------------------------------------------------------------

    def set_locked(self, value: int, locked: bool) -> None:
        """Let a structure stay exactly as it is, whatever tool is used, or free it."""
        self.locked = self.locked | {value} if locked else self.locked - {value}
        if self._tracker is not None:
            self._tracker.locked = self.locked
        self.locks_changed.emit(self.locked)

    def keep_useful_locks(self, loaded: LoadedCase) -> None:
        """Keep locks from case to case, but free what this case does not have yet: it can only be painted."""
        curves = {s.value: loaded.curves.get(s.name) for s in self.study.label_scheme.structures}
        for value in sorted(self.locked):
            curve = curves.get(value)
            if curve is None or not np.nansum(curve.volume_ml) > 0:
                self.set_locked(value, False)

    def _tell_locked(self, value: int) -> None:
        name = next((s.name for s in self.study.label_scheme.structures if s.value == value), "Background")
        self.message.emit(f"{name} is locked: it is neither painted over nor painted. Unlock it first.", "info", ())

    def look_at(self, frame: int, slice_: int) -> None:
        """Take the mark off a place that the reader has seen."""
        if self.can_edit and (frame, slice_) in self.session.unverified:
            self._record(lambda: self.session.strokes.look([(frame, slice_)]))
            self._tell_marks()

    def next_unverified(self) -> None:
        """Go to the next place that nobody has looked at."""
        marks = sorted(self.session.unverified)
        if marks:
            here = self.navigator.place
            self.navigator.stop()
            self.navigator.go(*next((m for m in marks if m > here), marks[0]))
        elif self.session.loaded is not None:
            self.message.emit("Every frame of this case was looked at.", "info", ())

    def _tell_marks(self) -> None:
        marks = self.session.unverified
        if marks != self._marks:
            self._marks = marks
            self.marks_changed.emit(marks)
        self.looks.restart()
