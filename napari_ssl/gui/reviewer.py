"""The review of one study in one viewer: opens cases, follows edits, stores decisions. Panels only listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ssl.core.decision import Verdict
from napari_ssl.errors import DecisionError, NapariSslError
from napari_ssl.gui.background import in_words
from napari_ssl.gui.canvas import CaseCanvas
from napari_ssl.gui.edit import Change, EditTracker
from napari_ssl.gui.loaded_case import LoadedCase, measure_curves
from napari_ssl.gui.loader import CaseLoader, WorkQueue
from napari_ssl.gui.navigation import Navigator
from napari_ssl.gui.session import ReviewSession, Saved, SaveOrder, last_standing
from napari_ssl.gui.view_memory import ViewMemory
from napari_ssl.measures.curves import frame_volumes, indices

if TYPE_CHECKING:
    from napari_ssl.study.study import Study

__all__ = ["Reviewer"]

_POLL_MS = 5000


class Reviewer(QObject):
    """Ties study, session, loader and canvas together.

    Signals
    -------
    opened : LoadedCase
        A case is on the canvas.
    opening : str
        A case is being read.
    unreadable : str, str
        A case could not be shown, and why.
    message : str, str, object
        Text, kind and actions for the banner.
    rows_read : list of QueueRow
    edited : object
        Frames whose labels changed, as {frame: {structure: ml}}.
    saving_changed : none
        A save began or ended.
    decided : str, object
        Case and verdict, as soon as the reader decides.
    """

    opened = Signal(object)
    opening = Signal(str)
    unreadable = Signal(str, str)
    message = Signal(str, str, object)
    rows_read = Signal(object)
    edited = Signal(object)
    curves_measured = Signal(object)
    saving_changed = Signal()
    decided = Signal(str, object)

    def __init__(
        self, canvas: CaseCanvas, study: Study, reader: str, navigator: Navigator, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.viewer = canvas.viewer
        self.study = study
        self.reader = reader
        self.navigator = navigator
        self.session = ReviewSession(study, reader)
        self.canvas = canvas
        self.memory = ViewMemory(study.folder, reader)
        self.loader = CaseLoader(study, reader, self)
        self.saver = WorkQueue(parent=self)
        self._tracker: EditTracker | None = None
        self._saving: set[str] = set()
        self._wanted: tuple[str, int | None] | None = None
        self._painted: set[int] = set()
        self._grid: tuple | None = None
        self._stamp: tuple = ()
        self._known_strokes: set[str] = set()
        self._poll = QTimer(self)
        self._poll.timeout.connect(self._look_for_changes)
        self._poll.start(_POLL_MS)
        self.loader.loaded.connect(self._show)
        self.loader.failed.connect(self._failed_to_load)
        navigator.moved.connect(self._moved)

    def close(self) -> None:
        """Leave the case, wait for saves and stop the threads."""
        self._poll.stop()
        self.leave_case()
        self.navigator.moved.disconnect(self._moved)
        self.saver.close()
        self.loader.close()
        if self._tracker is not None:
            self._tracker.disconnect()
        self.canvas.blank()

    # -- cases ---------------------------------------------------------------------------------------------------

    def open_case(self, case_id: str, *, segmentation_id: int | None = None) -> None:
        """Show a case; what was painted on the one before stays in its journal."""
        self.leave_case()
        self._wanted = (case_id, segmentation_id)
        self.opening.emit(case_id)
        if case_id not in self._saving:
            self.loader.request(case_id, segmentation_id=segmentation_id)

    def leave_case(self) -> None:
        """Remember the view and close the case."""
        loaded = self.session.loaded
        if loaded is None:
            return
        self._remember_view(loaded)
        if self.session.is_edited:
            self._known_strokes.add(loaded.case.id)
        try:
            self.session.close()
        except (NapariSslError, OSError) as error:
            self.message.emit(in_words(error), "error", ())
        if self.canvas.labels is not None:
            self.canvas.labels.editable = False

    def _remember_view(self, loaded: LoadedCase) -> None:
        camera, image = self.viewer.scene.camera, self.canvas.image
        if image is None or image not in self.viewer.layers:
            return
        self.memory.remember(
            loaded.case.id,
            {
                "frame": self.session.frame,
                "slice": self.session.slice,
                "zoom": float(camera.zoom),
                "center": [float(c) for c in camera.center],
                "contrast": [float(c) for c in image.contrast_limits],
                "flags": sorted(self.session.flags),
                "comment": self.session.comment,
            },
        )

    def _show(self, loaded: LoadedCase) -> None:
        case = loaded.case
        self._wanted = None
        self.canvas.show(loaded, self.study.label_scheme)
        labels = self.canvas.labels
        labels.editable = not self.study.read_only
        if self._tracker is None or self._tracker.layer is not labels:
            self._tracker = EditTracker(labels, on_change=self._changed, show=self.navigator.go)
        view = self.memory.recall(case.id)
        decided = loaded.decision is not None
        self.session.open(
            loaded,
            flags=loaded_flags(view) if not decided else (),
            comment=loaded.decision.comment if decided else str(view.get("comment", "")),
        )
        self._place(loaded, view)
        self.opened.emit(loaded)
        self._tell_recovered(loaded)

    def _place(self, loaded: LoadedCase, view: dict) -> None:
        """Restore frame, slice, zoom and contrast; a first look begins at ED in the middle slice, fitted."""
        case = loaded.case
        self.navigator.set_shape(case.n_frames, case.n_slices)
        phase = next((c.ed_frame for c in loaded.curves.values() if c.ed_frame is not None), case.ed_frame or 0)
        self.navigator.go(view.get("frame", phase), view.get("slice", case.n_slices // 2))
        self._moved(*self.navigator.place)
        grid = (case.shape_tzyx[2:], case.spacing_zyx_mm)
        if {"zoom", "center"} <= view.keys():
            self.viewer.scene.camera.center = tuple(view["center"])
            self.viewer.scene.camera.zoom = view["zoom"]
        elif grid != self._grid:
            self.viewer.fit_to_view(margin=0.02)
        self._grid = grid
        if "contrast" in view:
            self.canvas.image.contrast_limits = tuple(view["contrast"])

    def _tell_recovered(self, loaded: LoadedCase) -> None:
        if not loaded.n_recovered or (loaded.case.id in self._known_strokes and not loaded.is_outdated):
            return
        n = "1 stroke" if loaded.n_recovered == 1 else f"{loaded.n_recovered} strokes"
        if loaded.is_outdated:
            text = f"{loaded.case.id}: {n} painted on earlier labels are not saved; newer labels have come since."
        else:
            text = f"{loaded.case.id}: {n} recovered from an interrupted session."
        case_id = loaded.case.id
        actions = (("Keep", lambda: self._known_strokes.add(case_id)), ("Discard", self.revert))
        self.message.emit(text, "warning", actions)

    def _failed_to_load(self, case_id: str, text: str) -> None:
        self._wanted = None
        self.canvas.blank()
        self._grid = None
        self.unreadable.emit(case_id, text)

    def _moved(self, frame: int, slice_: int) -> None:
        self.session.frame, self.session.slice = frame, slice_

    # -- edits ---------------------------------------------------------------------------------------------------

    def _changed(self, changes: list[Change], direction: int) -> None:
        if self.session.loaded is None:
            return
        try:
            self.session.add_changes(changes, depth=direction)
        except (NapariSslError, OSError) as error:
            self.message.emit(
                f"The last stroke could not be written to the journal and would be lost in a crash. {in_words(error)}",
                "error",
                (),
            )
        if not self._painted:
            QTimer.singleShot(0, self._measure_painted)
        self._painted.update(c.frame for c in changes)

    def _measure_painted(self) -> None:
        frames, self._painted = self._painted, set()
        loaded = self.session.loaded
        if loaded is None:
            return
        scheme, voxel_ml = self.study.label_scheme, loaded.case.voxel_volume_ml
        self.edited.emit({f: frame_volumes(loaded.labels[f], scheme, voxel_ml) for f in sorted(frames)})

    def undo(self) -> None:
        """Take the last edit back where it was made."""
        if self.session.loaded is not None and self._tracker is not None:
            self._tracker.undo()

    def redo(self) -> None:
        """Make the last undone edit again."""
        if self.session.loaded is not None and self._tracker is not None:
            self._tracker.redo()

    def revert(self) -> None:
        """Throw all unsaved strokes of the case away."""
        loaded = self.session.loaded
        if loaded is None:
            return
        was_outdated, frames = loaded.is_outdated, set(loaded.edited_frames)
        try:
            self.session.discard_edits()
        except (NapariSslError, OSError) as error:
            self.message.emit(in_words(error), "error", ())
            return
        if was_outdated:
            self.open_case(loaded.case.id)
            return
        self.canvas.reload_labels()
        self._painted |= frames
        self._measure_painted()

    def copy_slice(self, step: int) -> None:
        """Copy this slice's labels to the neighbour above (−1) or below (1) and show it, so that it is looked at."""
        loaded = self.session.loaded
        if loaded is None or self.study.read_only:
            return
        frame, here = self.session.frame, self.session.slice
        target = here + step
        if 0 <= target < loaded.case.n_slices:
            source = loaded.labels[frame, here].copy()
            self.navigator.go(frame, target)
            self._tracker.assign(frame, target, source)

    # -- decisions -----------------------------------------------------------------------------------------------

    @property
    def is_saving(self) -> bool:
        """Whether a decision is on its way into the study."""
        return bool(self._saving)

    def decide(self, verdict: Verdict, *, reason: str = "", stay: bool = False) -> bool:
        """Record a decision in the background; returns whether there was something to decide."""
        if self.study.read_only:
            self.message.emit(
                "The study is open for reading only; decisions cannot be recorded. Ask for write permission on "
                f"{self.study.folder}, or copy the study.",
                "warning",
                (),
            )
            return False
        try:
            order = self.session.order(verdict, reason=reason, stay=stay)
        except DecisionError as error:
            self.message.emit(in_words(error), "warning", ())
            return False
        if not self.session.has_decided(order):
            self.session.reset_clock()
            self.save(order)
        return True

    def save(self, order: SaveOrder) -> None:
        """Store a decision in a thread; when that fails it is offered again."""
        case_id = order.loaded.case.id
        self._saving.add(case_id)
        self.decided.emit(case_id, order.verdict)
        self.saving_changed.emit()
        self.saver.run(
            lambda: self._store(order),
            lambda saved: self._saved(order, saved),
            lambda error: self._failed_to_save(order, error),
        )

    def _store(self, order: SaveOrder) -> Saved:
        saved = order.run(self.study)
        if order.labels is not None:
            curves = measure_curves(order.loaded.case, order.labels, self.study, order.frames)
            document = {
                "curves_ml": {name: curve.volume_ml for name, curve in curves.items()},
                "indices": asdict(indices(curves, self.study.label_scheme)),
            }
            self.study.set_measures(saved.segmentation.id, document)
        return saved

    def _saved(self, order: SaveOrder, saved: Saved) -> None:
        case_id = order.loaded.case.id
        self._saving.discard(case_id)
        self._known_strokes.discard(case_id)
        self.loader.forget(case_id)
        self.session.saved(order, saved)
        self.saving_changed.emit()
        self.refresh_rows()
        self._go_on(case_id)

    def _failed_to_save(self, order: SaveOrder, error: Exception) -> None:
        case_id = order.loaded.case.id
        self._saving.discard(case_id)
        self.saving_changed.emit()
        kept = " Your strokes are kept." if order.labels is not None else ""
        self.message.emit(
            f"{case_id}: the decision could not be saved. {in_words(error)}{kept}",
            "error",
            (("Try again", lambda: self.save(order)), ("Open the case", lambda: self.open_case(case_id))),
        )
        self.refresh_rows()
        self._go_on(case_id)

    def _go_on(self, case_id: str) -> None:
        """Load the case that waited for its own save."""
        if self._wanted is not None and self._wanted[0] == case_id:
            self.loader.request(case_id, segmentation_id=self._wanted[1])

    def take_back(self) -> None:
        """Take this reader's last decision back and open that case again."""

        def work():
            last = last_standing(self.study.decisions(reader=self.reader))
            if last is not None:
                self.study.take_back(last.id, reader=self.reader)
            return last

        def done(last) -> None:
            if last is None:
                self.message.emit("There is no decision of yours to take back.", "info", ())
                return
            self.loader.forget(last.case_id)
            self.refresh_rows()
            corrected = last.segmentation_id if last.verdict is Verdict.CORRECT else None
            self.open_case(last.case_id, segmentation_id=corrected)
            self.message.emit(f"{last.case_id}: the decision “{last.verdict.value}” was taken back.", "info", ())

        self.saver.run(work, done, lambda error: self.message.emit(in_words(error), "error", ()))

    def set_phases(self, ed_frame: int | None, es_frame: int | None) -> None:
        """Store ED and ES of the case and measure the indices anew; None keeps what the curves use."""
        loaded = self.session.loaded
        if loaded is None:
            return
        known = next(iter(loaded.curves.values()), None)
        ed = known.ed_frame if ed_frame is None and known else ed_frame
        es = known.es_frame if es_frame is None and known else es_frame

        def work():
            case = self.study.set_phases(loaded.case.id, ed, es)
            return case, measure_curves(case, loaded.labels, self.study, loaded.labelled_frames)

        def done(result) -> None:
            loaded.case, loaded.curves = result
            self.loader.forget(loaded.case.id)
            if self.session.loaded is loaded:
                self.curves_measured.emit(loaded)

        self.saver.run(work, done, lambda error: self.message.emit(in_words(error), "error", ()))

    # -- queue ---------------------------------------------------------------------------------------------------

    def refresh_rows(self, then: Callable[[], object] | None = None) -> None:
        """Read the queue's rows in a thread."""

        def done(rows) -> None:
            self.rows_read.emit(rows)
            if then is not None:
                then()

        self.saver.run(
            lambda: self.study.queue_rows(self.reader),
            done,
            lambda error: self.message.emit(f"The queue cannot be read. {in_words(error)}", "error", ()),
        )

    def _look_for_changes(self) -> None:
        """Notice what other processes did: imports, predictions, other readers."""
        stamp = []
        for name in ("study.db", "study.db-wal"):
            try:
                stat = (self.study.folder / name).stat()
            except OSError:
                continue
            stamp.append((stat.st_mtime_ns, stat.st_size))
        if self._stamp and tuple(stamp) != self._stamp and self.saver.n_running == 0:
            self.refresh_rows()
        self._stamp = tuple(stamp)


def loaded_flags(view: dict) -> list[tuple[int, int]]:
    """Read flags from a remembered view; anything malformed counts as none."""
    flags = view.get("flags", [])
    good = isinstance(flags, list) and all(np.shape(f) == (2,) for f in flags)
    return [(int(f), int(z)) for f, z in flags] if good else []
