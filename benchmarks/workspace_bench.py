"""A workspace on a screen, a hand on its keys and mouse, and clocks that tell its work from drawing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Bench", "Drawing", "StallWatch", "Times", "pause", "timed"]

STALL_MS = 100.0
"""A gap that a reader feels."""


@dataclass
class Times:
    """What one action took, time after time, in ms."""

    call: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        def both(values: list[float]) -> dict[str, float]:
            return {"median": round(float(np.median(values)), 1), "p95": round(float(np.percentile(values, 95)), 1)}

        parts = {name: both(values) for name, values in vars(self).items() if values}
        return {"n": len(self.call), **parts}


class Drawing:
    """Wall and CPU time of the window's thread in OpenGL, which a virtual screen does in software.

    It counts what the canvas draws, and what a redraw of the window waits for while its thread does nothing: Qt puts
    window and canvas together with OpenGL. Painting of panels and curves is the window's own work and does not count.
    The classes are patched before the first window is made: later Qt asks them no more.
    """

    def __init__(self) -> None:
        import napari._qt.qt_main_window
        from qtpy.QtCore import QEvent
        from vispy.app import use_app

        self.wall = self.cpu = 0.0
        canvas_class = use_app().backend_module.CanvasBackend
        window_class = napari._qt.qt_main_window._QtMainWindow
        paint, handle = canvas_class.paintGL, window_class.event

        def paint_timed(canvas: Any) -> None:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                paint(canvas)
            finally:
                self.wall += time.perf_counter() - wall
                self.cpu += time.thread_time() - cpu

        def handle_timed(window: Any, event: Any) -> bool:
            if event.type() != QEvent.Type.UpdateRequest:
                return handle(window, event)
            wall, cpu, before = time.perf_counter(), time.thread_time(), (self.wall, self.cpu)
            try:
                return handle(window, event)
            finally:
                waited = time.perf_counter() - wall - (time.thread_time() - cpu)
                self.wall += max(0.0, waited - (self.wall - before[0]) + (self.cpu - before[1]))

        canvas_class.paintGL, window_class.event = paint_timed, handle_timed


class Bench:
    """The workspace, and a hand on its keys and mouse."""

    def __init__(self) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        from napari_ssl.gui import compat
        from napari_ssl.gui.workspace import add_workspace

        self.drawing = Drawing()
        self.viewer = napari.Viewer(title="napari-ssl")
        compat.main_window(self.viewer).resize(1600, 1000)
        self.widget = add_workspace(self.viewer, "A. Reader")
        self.canvas = compat.canvas_widget(self.viewer)
        self.app = QApplication.instance()

    def open(self, study: Path) -> None:
        from napari_ssl.study.study import Study

        self.widget.set_study(Study.open(study))
        self.wait(lambda: self.case_id is not None)
        self.settle()

    @property
    def case_id(self) -> str | None:
        reviewer = self.widget.reviewer
        return reviewer.session.case_id if reviewer is not None else None

    def wait(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("the window did not get there")
            self.app.processEvents()
            time.sleep(0.001)

    def settle(self) -> None:
        """Let prefetching and drawing come to rest."""
        loader = self.widget.reviewer.loader
        self.wait(lambda: loader._background.n_running == 0)
        end = time.monotonic() + 0.3
        self.wait(lambda: time.monotonic() > end)

    def key(self, name: str) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.keyClick(self.canvas, getattr(Qt.Key, f"Key_{name}"))

    def time(self, times: Times, action: Callable[[], None], done: Callable[[], bool] = lambda: True) -> None:
        """Do something, let the window work until it is done, then draw."""
        drawn = self.drawing.wall, self.drawing.cpu
        wall, cpu = time.perf_counter(), time.thread_time()
        action()
        while not done():
            self.app.processEvents()
        times.call.append(1000 * (time.perf_counter() - wall - (self.drawing.wall - drawn[0])))
        times.cpu.append(1000 * (time.thread_time() - cpu - (self.drawing.cpu - drawn[1])))
        self.canvas.repaint()
        self.app.processEvents()
        times.drawn.append(1000 * (time.perf_counter() - wall))

    def mouse(self, kind: str, y: float, x: float, *, held: bool) -> None:
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        camera, left, none = self.viewer.scene.camera, Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        spacing = self.widget.canvas.labels.scale[-2:]
        place = (np.array([y, x]) * spacing - np.array(camera.center)[-2:]) * camera.zoom
        point = QPointF(float(place[1]) + self.canvas.width() / 2, float(place[0]) + self.canvas.height() / 2)
        cause = none if kind == "MouseMove" else left
        where = QPointF(self.canvas.mapToGlobal(point.toPoint()))
        event = QMouseEvent(
            getattr(QEvent.Type, kind), point, where, cause, left if held else none, Qt.KeyboardModifier.NoModifier
        )
        QApplication.sendEvent(self.canvas, event)

    def close(self) -> None:
        self.widget.close_workspace()
        self.viewer.close()


def pause(bench: Bench, seconds: float) -> None:
    end = time.monotonic() + seconds
    bench.wait(lambda: time.monotonic() > end)


def timed(times: Times, action: Callable[[], None]) -> None:
    """Time a call that draws nothing."""
    wall, cpu = time.perf_counter(), time.thread_time()
    action()
    times.cpu.append(1000 * (time.thread_time() - cpu))
    times.call.append(1000 * (time.perf_counter() - wall))


class StallWatch:
    """Gaps between ticks of a timer in the window's thread, what OpenGL takes subtracted, in ms."""

    def __init__(self, bench: Bench) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._bench, self.gaps, self.cpu = bench, [], []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._last = (time.perf_counter(), time.thread_time(), bench.drawing.wall, bench.drawing.cpu)
        self._timer.start(2)

    def _tick(self) -> None:
        now = (time.perf_counter(), time.thread_time(), self._bench.drawing.wall, self._bench.drawing.cpu)
        wall, cpu, drawn, drawn_cpu = (after - before for after, before in zip(now, self._last, strict=True))
        self.gaps.append(1000 * max(0.0, wall - drawn))
        self.cpu.append(1000 * max(0.0, cpu - drawn_cpu))
        self._last = now

    def stop(self) -> dict[str, Any]:
        self._timer.stop()
        return {
            "longest ms": round(max(self.gaps), 1),
            "longest CPU ms": round(max(self.cpu), 1),
            f"over {STALL_MS:.0f} ms": int(np.sum(np.array(self.gaps) > STALL_MS)),
            f"CPU over {STALL_MS:.0f} ms": int(np.sum(np.array(self.cpu) > STALL_MS)),
            "ticks": len(self.gaps),
        }
