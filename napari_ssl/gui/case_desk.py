"""The case on the desk: opened, looked at, painted on. Decisions are in `reviewer`."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ssl.errors import NapariSslError
from napari_ssl.gui import compat
from napari_ssl.gui.background import in_words
from napari_ssl.gui.canvas import CaseCanvas
from napari_ssl.gui.edit_desk import EditDesk
from napari_ssl.gui.loaded_case import LoadedCase
from napari_ssl.gui.loader import CaseLoader
from napari_ssl.gui.navigation import Navigator
from napari_ssl.gui.view_memory import ViewMemory, fitted_zoom
from napari_ssl.study.study import Study

__all__ = ["CaseDesk"]

_TO_DRAW_MS = 5
"""Pause between canvas and panels, so that the window draws and takes keys in between: both at once stall it."""


class CaseDesk(EditDesk):
    """Ties session, loader and canvas together; what is done to labels is in `edit_desk`.

    Signals
    -------
    opening : str
        A case is being read.
    opened : LoadedCase
        A case is on the canvas.
    unreadable : str, str
        A case could not be shown, and why.
    """

    opening = Signal(str)
    opened = Signal(object)
    unreadable = Signal(str, str)

    def __init__(
        self, canvas: CaseCanvas, study: Study, reader: str, navigator: Navigator, parent: QObject | None = None
    ) -> None:
        super().__init__(canvas, study, reader, navigator, parent)
        self.memory = ViewMemory(study.folder, reader)
        self.loader = CaseLoader(study, reader, self)
        self._saving: set[str] = set()
        self._wanted: tuple[str, int | None] | None = None
        self._on_canvas: LoadedCase | None = None
        self._grid: tuple | None = None
        self.loader.loaded.connect(self._show)
        self.loader.failed.connect(self._failed_to_load)
        navigator.moved.connect(self._moved)

    def close(self) -> tuple[str, ...]:
        """Leave the case and stop the threads that read; returns, in words, which strokes the disk did not take."""
        self.leave_case()
        self.navigator.moved.disconnect(self._moved)
        self.rules.close()
        self.loader.close()
        self.canvas.blank()
        return self.close_editing()

    @property
    def is_opening(self) -> bool:
        """Whether a case is being read to be shown."""
        return self._wanted is not None

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
        self._begin(loaded, self._put_on_canvas(loaded))

    def leave_case(self) -> None:
        """Remember the view and close the case."""
        self._on_canvas = None
        loaded = self.session.loaded
        if loaded is None:
            return
        self.remember_view()
        self.rules.cancel()
        self.tools.cancel()
        if self.session.is_edited:
            self._known_strokes.add(loaded.case.id)
        try:
            self.session.close()
        except (NapariSslError, OSError) as error:
            self.message.emit(in_words(error), "error", ())
        if self.canvas.labels is not None:
            compat.drop_polygon(self.canvas.labels)
            self.canvas.labels.editable = False
        self._tell_marks()

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
                "canvas": list(self.canvas.size_yx),
                "center": [float(c) for c in camera.center],
                "contrast": [float(c) for c in image.contrast_limits],
                "flags": sorted(self.session.flags),
                "comment": self.session.comment,
            },
        )

    def _show(self, loaded: LoadedCase) -> None:
        """Put a case on the canvas; panels, curves and keys follow once the window has drawn it."""
        view = self._put_on_canvas(loaded)
        QTimer.singleShot(_TO_DRAW_MS, lambda: self._begin(loaded, view))

    def _put_on_canvas(self, loaded: LoadedCase) -> dict:
        """Draw a case that nobody can work on yet; returns how it was looked at last."""
        case = loaded.case
        view = {} if loaded.is_blind else self.memory.recall(case.id)  # comment and flags would tell of an earlier read
        place = self._first_place(loaded, view)
        self.navigator.set_shape(case.n_frames, case.n_slices)
        self.canvas.show(loaded, self.study.label_scheme, place)
        self.canvas.labels.editable = False
        self.navigator.go(*place)
        self._set_camera(loaded, view)
        self._on_canvas = loaded
        return view

    def _begin(self, loaded: LoadedCase, view: dict) -> None:
        """Let the reader work on the case on the canvas, unless another one was asked for meanwhile."""
        if self._on_canvas is not loaded:
            return
        self._on_canvas = None
        self._wanted = None
        self.canvas.labels.editable = not (self.study.read_only or self.looks_only)
        self.follow_labels()
        decided = loaded.decision is not None
        self.session.open(
            loaded,
            flags=loaded_flags(view) if not decided else (),
            comment=loaded.decision.comment if decided else str(view.get("comment", "")),
        )
        self._moved(*self.navigator.place)
        self.keep_useful_locks(loaded)
        self.opened.emit(loaded)
        if loaded.rule_flags is None:
            self.rules.request(loaded, pause_ms=0)
        self._tell_marks()
        self.tell_recovered(loaded)

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
            self.viewer.scene.camera.zoom = fitted_zoom(view, self.canvas.size_yx)
        elif grid != self._grid:
            self.viewer.fit_to_view(margin=0.02)
        self._grid = grid
        if "contrast" in view:
            self.canvas.image.contrast_limits = tuple(view["contrast"])

    def _failed_to_load(self, case_id: str, text: str) -> None:
        self._wanted = self._on_canvas = None
        self.canvas.blank()
        self._grid = None
        self.unreadable.emit(case_id, text)

    def _moved(self, frame: int, slice_: int) -> None:
        self.session.frame, self.session.slice = frame, slice_


def loaded_flags(view: dict) -> list[tuple[int, int]]:
    """Read flags from a remembered view; anything malformed counts as none."""
    flags = view.get("flags", [])
    good = isinstance(flags, list) and all(np.shape(f) == (2,) for f in flags)
    return [(int(f), int(z)) for f, z in flags] if good else []
