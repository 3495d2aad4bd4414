"""Moving through time and slices: keys, wheel and playback, all through the viewer's sliders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QElapsedTimer, QEvent, QObject, Qt, QTimer, Signal

from napari_ssl.gui import compat

if TYPE_CHECKING:
    import napari

__all__ = ["Navigator", "speed_text"]

_ZOOM_PER_NOTCH = 1.15
_DEFAULT_INTERVAL_MS = 40
_TICK_MS = 15
"""How often the clock is looked at: a third of the time that a frame of a fast cine is on show."""


def speed_text(n_frames: int, interval_ms: float | None) -> str:
    """Say how fast a cine is played, and whether that is the heart's speed."""
    if interval_ms:
        return f"Playing in real time: {n_frames} frames in {n_frames * interval_ms:.0f} ms"
    rate = 1000 / _DEFAULT_INTERVAL_MS
    return f"The time between frames is unknown: playing {rate:.0f} frames a second, not the heart's speed"


class Navigator(QObject):
    """Frame and slice of the viewer.

    Signals
    -------
    moved : int, int
        Frame and slice, after either changed by whatever means.
    play_changed : bool
    """

    moved = Signal(int, int)
    play_changed = Signal(bool)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._shape = (1, 1)
        self._last = (-1, -1)
        self._wheel = 0.0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._clock = QElapsedTimer()
        self._interval_ms = float(_DEFAULT_INTERVAL_MS)
        self._first_frame = 0
        self._timer.timeout.connect(self._tick)
        viewer.dims.events.current_step.connect(self._stepped)
        self._canvas = compat.canvas_widget(viewer)
        self._canvas.installEventFilter(self)

    def close(self) -> None:
        """Stop playing and give the wheel back to napari."""
        self.stop()
        self.viewer.dims.events.current_step.disconnect(self._stepped)
        try:
            self._canvas.removeEventFilter(self)
        except RuntimeError:  # the canvas was deleted before
            return

    def set_shape(self, n_frames: int, n_slices: int) -> None:
        """Tell how many frames and slices the case has."""
        self._shape = (n_frames, n_slices)
        self._last = (-1, -1)

    @property
    def place(self) -> tuple[int, int]:
        """Frame and slice on show."""
        step = self.viewer.dims.current_step
        if len(step) < 4:
            return 0, 0
        return tuple(int(np.clip(s, 0, n - 1)) for s, n in zip(step[-4:-2], self._shape, strict=True))

    def go(self, frame: int | None = None, slice_: int | None = None) -> None:
        """Show a frame or slice or both."""
        dims = self.viewer.dims
        axes, steps = [], []
        for axis, value, n in ((dims.ndim - 4, frame, self._shape[0]), (dims.ndim - 3, slice_, self._shape[1])):
            if value is not None and axis >= 0:
                axes.append(axis)
                steps.append(int(np.clip(value, 0, n - 1)))
        if axes:
            with compat.sliced_once(self.viewer):
                dims.set_current_step(axes, steps)

    def step_frame(self, step: int) -> None:
        """Go to the next or previous frame; the cycle closes."""
        self.go(frame=(self.place[0] + step) % self._shape[0])

    def step_slice(self, step: int) -> None:
        """Go to the next or previous slice and stop at the ends."""
        self.go(slice_=self.place[1] + step)

    # -- playing -------------------------------------------------------------------------------------------------

    @property
    def playing(self) -> bool:
        """Whether frames run by themselves."""
        return self._timer.isActive()

    def toggle_play(self, interval_ms: float | None) -> None:
        """Play the cine in real time when its frame interval is known, or stop.

        The clock decides which frame is shown: where drawing takes longer than a frame lasts, frames are left out and
        the beat keeps its length.
        """
        if self.playing:
            self.stop()
        elif self._shape[0] > 1:
            self._interval_ms = float(interval_ms or _DEFAULT_INTERVAL_MS)
            self._first_frame = self.place[0]
            self._clock.start()
            self._timer.start(_TICK_MS)
            self.play_changed.emit(True)

    def stop(self) -> None:
        """Stop playing."""
        if self.playing:
            self._timer.stop()
            self.play_changed.emit(False)

    def _tick(self) -> None:
        due = self._first_frame + int(self._clock.nsecsElapsed() / 1e6 / self._interval_ms)
        frame = due % self._shape[0]
        if frame != self.place[0]:
            self.go(frame=frame)

    # -- events --------------------------------------------------------------------------------------------------

    def _stepped(self, _event: object = None) -> None:
        place = self.place
        if place != self._last:
            self._last = place
            self.moved.emit(*place)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Wheel: slice; with Shift: time; with Ctrl: zoom. Alt stays napari's. A press halts the cine."""
        if event.type() == QEvent.Type.MouseButtonPress:
            self.stop()  # a stroke would run over the frames that go by
        if event.type() != QEvent.Type.Wheel or len(self.viewer.dims.current_step) < 4:
            return False
        modifiers = event.modifiers()
        if modifiers & Qt.KeyboardModifier.AltModifier or self.viewer.dims.ndisplay != 2:
            return False
        delta = event.angleDelta()
        notches = (delta.y() or delta.x()) / 120
        if modifiers & Qt.KeyboardModifier.ControlModifier:
            self._zoom(_ZOOM_PER_NOTCH**notches)
        else:
            self._wheel += notches
            whole = int(self._wheel)
            self._wheel -= whole
            if whole and modifiers & Qt.KeyboardModifier.ShiftModifier:
                self.step_frame(-whole)
            elif whole:
                self.step_slice(-whole)
        event.accept()
        return True

    def _zoom(self, factor: float) -> None:
        """Zoom around the pointer."""
        camera = self.viewer.scene.camera
        pointer = np.asarray(self.viewer.cursor.position[-2:], float)
        centre = np.asarray(camera.center, float)
        centre[-2:] = pointer + (centre[-2:] - pointer) / factor
        camera.zoom *= factor
        camera.center = tuple(centre)
