"""The case on the desk: opened, looked at, painted on. Decisions are in `reviewer`."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ssl.errors import NapariSslError
from napari_ssl.gui import compat
from napari_ssl.gui.background import in_words
from napari_ssl.gui.canvas import CaseCanvas
from napari_ssl.gui.edit import Change, EditTracker
from napari_ssl.gui.loaded_case import LoadedCase
from napari_ssl.gui.loader import CaseLoader
from napari_ssl.gui.navigation import Navigator
from napari_ssl.gui.rule_check import RuleCheck
from napari_ssl.gui.session import ReviewSession
from napari_ssl.gui.view_memory import ViewMemory
from napari_ssl.measures.curves import frame_volumes
from napari_ssl.study.study import Study

__all__ = ["CaseDesk"]


class CaseDesk(QObject):
    """Ties session, loader and canvas together.

    Signals
    -------
    opening : str
        A case is being read.
    opened : LoadedCase
        A case is on the canvas.
    unreadable : str, str
        A case could not be shown, and why.
    message : str, str, object
        Text, kind and actions for the banner.
    edited : dict
        Frames whose labels changed, as {frame: {structure: ml}}.
    """

    opening = Signal(str)
    opened = Signal(object)
    unreadable = Signal(str, str)
    message = Signal(str, str, object)
    edited = Signal(object)

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
        self.memory = ViewMemory(study.folder, reader)
        self.loader = CaseLoader(study, reader, self)
        self.rules = RuleCheck(study, self)
        self._tracker: EditTracker | None = None
        self._saving: set[str] = set()
        self._wanted: tuple[str, int | None] | None = None
        self._painted: set[int] = set()
        self._grid: tuple | None = None
        self._known_strokes: set[str] = set()
        self.looks_only = False  # while curves are rated: labels stay as they are and no view is remembered
        self.loader.loaded.connect(self._show)
        self.loader.failed.connect(self._failed_to_load)
        navigator.moved.connect(self._moved)

    def close(self) -> None:
        """Leave the case and stop the threads that read."""
        self.leave_case()
        self.navigator.moved.disconnect(self._moved)
        self.rules.close()
        self.loader.close()
        if self._tracker is not None:
            self._tracker.disconnect()
        self.canvas.blank()

    def open_case(self, case_id: str, *, segmentation_id: int | None = None) -> None:
        """Show a case; what was painted on the one before stays in its journal."""
        self.leave_case()
        self._wanted = (case_id, segmentation_id)
        self.opening.emit(case_id)
        if case_id not in self._saving:
            self.loader.request(case_id, segmentation_id=segmentation_id)

    def show_to_look(self, loaded: LoadedCase) -> None:
        """Show what is in no queue, e.g. what two models made of a case; the caller sets `looks_only` before."""
        self.leave_case()
        self._wanted = None
        self._show(loaded)

    def leave_case(self) -> None:
        """Remember the view and close the case."""
        loaded = self.session.loaded
        if loaded is None:
            return
        self.remember_view()
        self.rules.cancel()
        if self.session.is_edited:
            self._known_strokes.add(loaded.case.id)
        try:
            self.session.close()
        except (NapariSslError, OSError) as error:
            self.message.emit(in_words(error), "error", ())
        if self.canvas.labels is not None:
            compat.drop_polygon(self.canvas.labels)
            self.canvas.labels.editable = False

    def remember_view(self) -> None:
        """Keep how the case is looked at, for the next time."""
        camera, image, loaded = self.viewer.scene.camera, self.canvas.image, self.session.loaded
        if loaded is None or self.looks_only or image is None or image not in self.viewer.layers:
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
        view = self.memory.recall(case.id)
        place = self._first_place(loaded, view)
        self.navigator.set_shape(case.n_frames, case.n_slices)
        self.canvas.show(loaded, self.study.label_scheme, place)
        labels = self.canvas.labels
        labels.editable = not (self.study.read_only or self.looks_only)
        if self._tracker is None or self._tracker.layer is not labels:
            self._tracker = EditTracker(labels, on_change=self._changed, show=self.navigator.go)
        decided = loaded.decision is not None
        self.session.open(
            loaded,
            flags=loaded_flags(view) if not decided else (),
            comment=loaded.decision.comment if decided else str(view.get("comment", "")),
        )
        self.navigator.go(*place)
        self._moved(*self.navigator.place)
        self._set_camera(loaded, view)
        self.opened.emit(loaded)
        if loaded.rule_flags is None:
            self.rules.request(loaded, pause_ms=0)
        self._tell_recovered(loaded)

    @staticmethod
    def _first_place(loaded: LoadedCase, view: dict) -> tuple[int, int]:
        """Return frame and slice of the last look; a first look begins at ED in the middle slice."""
        case = loaded.case
        phase = next((c.ed_frame for c in loaded.curves.values() if c.ed_frame is not None), case.ed_frame or 0)
        if not isinstance(view.get("frame", 0), int) or not isinstance(view.get("slice", 0), int):
            view = {}  # the file was edited by hand
        wanted = (view.get("frame", phase), view.get("slice", case.n_slices // 2))
        limits = (case.n_frames, case.n_slices)
        return tuple(int(np.clip(w, 0, n - 1)) for w, n in zip(wanted, limits, strict=True))

    def _set_camera(self, loaded: LoadedCase, view: dict) -> None:
        """Restore zoom and contrast; a first look fits the image."""
        case = loaded.case
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
        self.rules.request(loaded)
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


def loaded_flags(view: dict) -> list[tuple[int, int]]:
    """Read flags from a remembered view; anything malformed counts as none."""
    flags = view.get("flags", [])
    good = isinstance(flags, list) and all(np.shape(f) == (2,) for f in flags)
    return [(int(f), int(z)) for f, z in flags] if good else []
