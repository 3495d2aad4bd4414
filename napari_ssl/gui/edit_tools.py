"""Correction tools that are more than a stroke: each runs in a thread and comes back as one step of undo."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_ssl.editing.between import fill_between, interpolate_slice
from napari_ssl.editing.islands import remove_islands
from napari_ssl.editing.propagation import Propagation, chain
from napari_ssl.editing.region import refine_region
from napari_ssl.editing.smoothing import smooth_structure
from napari_ssl.gui import compat
from napari_ssl.gui.background import BackgroundRun, BackgroundTask
from napari_ssl.gui.edit import as_allowed, edit_between
from napari_ssl.study.edit_history import Edit

if TYPE_CHECKING:
    from napari_ssl.gui.edit_desk import EditDesk

__all__ = ["EditTools"]

Frames = Iterable[tuple[int, NDArray[np.uint8]]]


class EditTools(QObject):
    """Tools of the case on screen; one runs at a time, painting goes on meanwhile.

    Signals
    -------
    started : str
        A tool runs, in words.
    progressed : int, int
        Steps done and steps in all.
    ended : none
        It is done, was cancelled or failed.
    region_wanted : bool
        The reader is to draw a region, or need not any more.
    """

    started = Signal(str)
    progressed = Signal(int, int)
    ended = Signal()
    region_wanted = Signal(bool)

    def __init__(self, desk: EditDesk) -> None:
        super().__init__(desk)
        self._desk = desk
        self._task = BackgroundTask(self)
        self._task.progress.connect(lambda done, n_all, _text: self.progressed.emit(done, n_all))
        self._task.done.connect(self._done)
        self._task.failed.connect(self._failed)
        self._case: object = None
        self._mode_before = "pan_zoom"
        self._drawing = False

    @property
    def running(self) -> bool:
        """Whether a tool is at work."""
        return self._task.running

    def cancel(self) -> None:
        """Stop the tool that runs; it changes nothing then."""
        self.stop_drawing()
        if self._task.running:
            self._case = None
            self._task.cancel()

    def close(self) -> None:
        """Stop the thread."""
        self._case = None
        self._task.close()

    # -- tools ---------------------------------------------------------------------------------------------------

    def smooth(self) -> None:
        """Smooth the chosen structure in the frame on screen."""
        if not self._desk.can_edit:
            return
        value, frame = int(self._desk.canvas.labels.selected_label), self._desk.session.frame
        locked, spacing = self._desk.locked, self._spacing
        self._run(
            "Smoothing",
            "smooth",
            lambda _run, labels: [(frame, smooth_structure(labels[frame], value, spacing, locked=locked))],
            nothing="The outline of the chosen structure is smooth, or the frame does not show it.",
        )

    def remove_islands(self, *, all_frames: bool = False) -> None:
        """Keep the largest part of every structure, in the frame on screen or in all frames."""
        if not self._desk.can_edit:
            return
        locked, values = self._desk.locked, self._desk.study.label_scheme.values
        frames = range(self._desk.session.loaded.case.n_frames) if all_frames else (self._desk.session.frame,)

        def work(run: BackgroundRun, labels: NDArray[np.uint8]) -> Frames:
            for n, frame in enumerate(frames):
                run.report(n, len(frames), "")
                yield frame, remove_islands(labels[frame], values, locked=locked)[0]

        where = "any frame" if all_frames else "this frame"
        self._run("Removing islands", "islands", work, nothing=f"There are no islands in {where}.")

    def fill_between(self) -> None:
        """Fill the slices of this frame that structures leave out between labelled ones."""
        if self._desk.can_edit:
            frame, locked, spacing = self._desk.session.frame, self._desk.locked, self._spacing
            self._run(
                "Filling between slices",
                "interpolate",
                lambda _run, labels: [(frame, fill_between(labels[frame], spacing, locked=locked)[0])],
                marks=True,
                nothing="No structure leaves out a slice between two labelled ones in this frame.",
            )

    def interpolate_slice(self) -> None:
        """Replace the slice on screen by what lies between its labelled neighbours."""
        if self._desk.can_edit:
            (frame, slice_), locked, spacing = self._desk.navigator.place, self._desk.locked, self._spacing
            self._run(
                "Interpolating the slice",
                "interpolate",
                lambda _run, labels: [(frame, interpolate_slice(labels[frame], slice_, spacing, locked=locked))],
                marks=True,
                nothing="The slice is what lies between its neighbours already.",
            )

    def copy_slice(self, step: int) -> None:
        """Copy this slice's labels to the neighbour above (−1) or below (1) and show it, so that it is looked at."""
        if self._desk.can_edit:
            frame, here = self._desk.navigator.place
            if 0 <= here + step < self._desk.session.loaded.case.n_slices:
                self._copy(frame, here + step)

    def copy_frame(self, step: int) -> None:
        """Copy this slice's labels to the same slice of the next (1) or previous (−1) frame and show it."""
        if self._desk.can_edit:
            frame, here = self._desk.navigator.place
            n_frames = self._desk.session.loaded.case.n_frames
            if n_frames > 1:
                self._copy((frame + step) % n_frames, here)

    def _copy(self, frame: int, slice_: int) -> None:
        labels = self._desk.session.loaded.labels
        wanted = labels[frame].copy()
        wanted[slice_] = labels[self._desk.navigator.place]
        self._desk.navigator.go(frame, slice_)
        edit = edit_between(labels, [(frame, wanted)], tool="copy", marks=True)
        self._desk.make(as_allowed(edit, labels, self._desk.locked))

    def propagate(self, extent: str) -> None:
        """Carry labels to other frames by registration.

        Parameters
        ----------
        extent : str
            ``"next"``: this frame's to the next frame; ``"cycle"``: to all other frames; ``"phases"``: those of ED and
            ES to the frames between them.
        """
        if not self._desk.can_edit:
            return
        loaded, frame = self._desk.session.loaded, self._desk.session.frame
        n_frames, image, spacing = loaded.case.n_frames, loaded.image, self._spacing
        if n_frames < 2:
            self._desk.message.emit("This case has one frame; there is nothing to carry labels to.", "info", ())
            return
        curve = next(iter(loaded.curves.values()), None)
        ends = (getattr(curve, "ed_frame", None), getattr(curve, "es_frame", None))
        if extent == "phases" and (None in ends or (ends[1] - ends[0]) % n_frames < 2):
            self._desk.message.emit("Set ED and ES first; there must be frames between them.", "info", ())
            return

        def work(run: BackgroundRun, labels: NDArray[np.uint8]) -> Frames:
            carry = Propagation(
                image=image,
                labels=labels,
                spacing_zyx_mm=spacing,
                should_stop=run.should_stop,
                on_step=lambda done, n_all: run.report(done, n_all, ""),
            )
            if extent == "phases":
                return carry.between(*ends).items()
            targets = [(frame + 1) % n_frames] if extent == "next" else [f for f in range(n_frames) if f != frame]
            return carry.run(frame, targets).items()

        n_steps = 1 if extent == "next" else sum(map(len, chain(frame, range(n_frames), n_frames)))
        text = "Carrying labels to the next frame" if n_steps == 1 else "Carrying labels through the cycle"
        follow = (frame + 1) % n_frames if extent == "next" else None
        self._run(text, "propagate", work, marks=True, nothing="The labels fit already.", show=follow)

    # -- the region of the CRF -----------------------------------------------------------------------------------

    @property
    def is_drawing(self) -> bool:
        """Whether the next polygon is the region of the CRF."""
        return self._drawing

    def draw_region(self) -> None:
        """Let the reader draw the region in which the CRF refines the labels; a second time calls it off."""
        if self._drawing:
            self.stop_drawing()
        elif self._desk.can_edit and not self._is_busy():
            layer = self._desk.canvas.labels
            self._mode_before = str(layer.mode)
            self._drawing = True
            self._desk.viewer.layers.selection.active = layer
            layer.mode = "polygon"
            self.region_wanted.emit(True)
            self._desk.message.emit(
                "Click around the part of the outline to refine; a double click closes the region. Esc calls it off.",
                "info",
                (),
            )

    def stop_drawing(self) -> bool:
        """Call the region off; returns whether one was wanted."""
        if not self._drawing:
            return False
        self._drawing = False
        layer = self._desk.canvas.labels
        compat.drop_polygon(layer)
        layer.mode = self._mode_before
        self.region_wanted.emit(False)
        return True

    def take_region(self, corners: NDArray[np.float64]) -> bool:
        """Refine inside a polygon (n, 4) if one is wanted; returns whether it was."""
        if not self._drawing:
            return False
        self.stop_drawing()
        if not self._desk.can_edit:
            return True
        (frame, slice_), locked = self._desk.navigator.place, self._desk.locked
        image = self._desk.session.loaded.image

        def work(_run: BackgroundRun, labels: NDArray[np.uint8]) -> Frames:
            from skimage.draw import polygon2mask

            region = polygon2mask(labels.shape[2:], corners[:, -2:])
            refined = labels[frame].copy()
            refined[slice_] = refine_region(labels[frame, slice_], image[frame, slice_], region, locked=locked)
            return [(frame, refined)]

        self._run("Refining the region", "CRF", work, nothing="The CRF leaves the outline as it is.")
        return True

    # -- running -------------------------------------------------------------------------------------------------

    @property
    def _spacing(self) -> tuple[float, float, float]:
        return self._desk.session.loaded.case.spacing_zyx_mm

    def _is_busy(self) -> bool:
        if self._task.running:
            self._desk.message.emit("A tool is still at work; wait for it, or cancel it.", "info", ())
        return self._task.running

    def _run(
        self,
        text: str,
        tool: str,
        work: Callable[[BackgroundRun, NDArray[np.uint8]], Frames],
        *,
        nothing: str,
        marks: bool = False,
        show: int | None = None,
    ) -> None:
        if self._is_busy():
            return
        loaded = self._desk.session.loaded
        labels = loaded.labels.copy()
        self._case = loaded

        def run(background: BackgroundRun) -> tuple[Edit | None, str, int | None]:
            return edit_between(labels, work(background, labels), tool=tool, marks=marks), nothing, show

        self.started.emit(text)
        self._task.start(run)

    def _done(self, result: tuple[Edit | None, str, int | None]) -> None:
        (edit, nothing, show), case = result, self._case
        self.ended.emit()
        if case is None or self._desk.session.loaded is not case:
            return  # cancelled, or another case is open
        if show is not None:
            self._desk.navigator.go(frame=show)
        if not self._desk.make(as_allowed(edit, case.labels, self._desk.locked)):
            self._desk.message.emit(nothing, "info", ())

    def _failed(self, text: str) -> None:
        self.ended.emit()
        if self._case is not None:
            self._desk.message.emit(text, "warning", ())
