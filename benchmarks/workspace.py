"""How quickly the review workspace answers, on a virtual screen, against its budgets.

    python benchmarks/workspace.py [--json FILE] [--only latency queue session memory] [--openings 200] [--cases 40]

Starts itself under ``xvfb-run`` where there is no display. All cases are analytic phantoms; those of the latencies are
cines of 50×12×210×210. "call" is the time in which the window's thread works on a key or a click (wall clock, and the
thread's own CPU time beside it, which other programs on the machine do not change), "drawn" is the same with the
picture on screen: software OpenGL alone costs some 70 ms a redraw. Stalls are gaps between ticks of a timer in the
window's thread, drawing subtracted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

CINE, SMALL = (50, 12, 210, 210), (16, 8, 128, 128)
BUDGETS_MS = {
    "next case": 1000.0,
    "frame step": 35.0,
    "stroke to curve": 60.0,
    "undo": 20.0,
    "queue sort": 50.0,
    "queue filter": 50.0,
}
"""Limits of the 95th percentile of call times."""
STALL_MS = 100.0


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


def heart(n: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Image uint16 and ACDC labels of a disc (LV) in a ring (Myo) beside another disc (RV) that beat."""
    t, z, height, width = shape
    y, x = np.mgrid[:height, :width]
    labels = np.zeros(shape, np.uint8)
    for frame in range(t):
        radius = height / 10 * (1 + 0.3 * np.cos(2 * np.pi * frame / t)) + n
        lv = np.hypot(y - height / 2, x - width / 2) < radius
        myo = (np.hypot(y - height / 2, x - width / 2) < radius + height / 20) & ~lv
        rv = (np.hypot(y - height / 2, x - width / 4) < radius) & ~lv & ~myo
        labels[frame] = (3 * lv + 2 * myo + rv).astype(np.uint8)
    image = np.choose(labels, (60, 420, 160, 440)).astype(np.uint16)
    image += np.random.default_rng(n).integers(0, 60, (1, z, height, width), dtype=np.uint16)
    return image, labels


def make_study(folder: Path, n_cases: int, shape: tuple[int, ...]) -> Path:
    """A study of cines with proposals and confidence, from a model without weights: the window never reads them."""
    from napari_ssl.core.case import Split
    from napari_ssl.core.label_scheme import PRESETS
    from napari_ssl.core.model import Model, ModelState
    from napari_ssl.core.segmentation import Source
    from napari_ssl.io.images import Geometry, write_volume
    from napari_ssl.io.layouts import ImportItem
    from napari_ssl.study.study import Study

    geometry = Geometry(
        size_xyz=shape[:0:-1],
        spacing_xyz=(1.5, 1.5, 8.0),
        origin_xyz=(0.0, 0.0, 0.0),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        is_2d=False,
        is_4d=True,
    )
    items = []
    for n in range(n_cases):
        path = folder / "images" / f"case{n:02d}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(path, heart(n, shape)[0], geometry)
        items.append(ImportItem(subject_id=path.name[:6], case_id=path.name[:6], image_path=path, split=Split.TRAIN))
    model = folder / "model"
    model.mkdir()
    (model / "weights.safetensors").write_bytes(b"weights")
    (model / "card.json").write_text("{}")
    with Study.create(folder / "study", label_scheme=PRESETS["acdc"]) as study:
        report = study.add_cases(items)
        assert not report.failed, report.failed
        study.register_model(
            Model(
                id="model-1",
                spec_hash="0" * 64,
                strategy="supervised",
                network="res-unet",
                round=1,
                parents=(),
                metrics={},
                state=ModelState.CANDIDATE,
                created_at=datetime.now(UTC),
            ),
            model,
        )
        for n in range(n_cases):
            labels = heart(n, shape)[1]
            proposal = study.add_segmentation(
                f"case{n:02d}",
                labels,
                source=Source.MODEL,
                frames=range(shape[0]),
                confidence=np.where(labels > 0, 180, 255).astype(np.uint8),
                model_id="model-1",
            )
            study.set_measures(proposal.id, {"mean_confidence": 0.5 + 0.01 * n, "flags": []})
    return folder / "study"


class Bench:
    """The workspace, and a hand on its keys and mouse."""

    def __init__(self) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        from napari_ssl.gui import compat
        from napari_ssl.gui.workspace import add_workspace

        self.viewer = napari.Viewer(title="napari-ssl")
        compat.main_window(self.viewer).resize(1600, 1000)
        self.widget = add_workspace(self.viewer, "A. Reader")
        self.canvas = compat.canvas_widget(self.viewer)
        self.app = QApplication.instance()
        self.drawing_s = 0.0
        self._watch_drawing()

    def _watch_drawing(self) -> None:
        """Add up what drawing takes, so that it can be told apart from the window's own work."""
        paint = type(self.canvas).paintGL

        def timed(canvas: Any) -> None:
            started = time.perf_counter()
            try:
                paint(canvas)
            finally:
                self.drawing_s += time.perf_counter() - started

        type(self.canvas).paintGL = timed

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
        drawn_before = self.drawing_s
        wall, cpu = time.perf_counter(), time.thread_time()
        action()
        while not done():
            self.app.processEvents()
        call = time.perf_counter() - wall - (self.drawing_s - drawn_before)
        times.call.append(1000 * call)
        times.cpu.append(1000 * (time.thread_time() - cpu - (self.drawing_s - drawn_before)))
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


def latency(bench: Bench, study: Path) -> dict[str, Any]:
    """Cases, frames, strokes and undo of large cines."""
    bench.open(study)
    found = {name: Times() for name in ("next case", "frame step", "stroke to curve", "undo")}
    ids = [r.case_id for r in bench.widget.queue.model.rows]
    for n in range(12):
        target = ids[(ids.index(bench.case_id) + 1) % len(ids)]
        bench.widget.reviewer.loader.prefetch(target)
        bench.settle()
        open_it = lambda target=target: bench.widget.open_case(target)  # noqa: E731
        bench.time(found["next case"] if n else Times(), open_it, lambda target=target: bench.case_id == target)
    bench.settle()
    for _ in range(60):
        bench.time(found["frame step"], lambda: bench.key("Right"))
    told: list[int] = []
    bench.widget.reviewer.edited.connect(lambda volumes: told.append(len(volumes)))
    bench.key("P")
    for n in range(20):
        row = 20 + 4 * n
        bench.mouse("MouseMove", row, 20, held=False)
        bench.mouse("MouseButtonPress", row, 20, held=True)
        for step in range(8):
            bench.mouse("MouseMove", row, 20 + 3 * step, held=True)
        bench.app.processEvents()
        told.clear()
        release = lambda row=row: bench.mouse("MouseButtonRelease", row, 44, held=False)  # noqa: E731
        bench.time(found["stroke to curve"], release, lambda: bool(told))
    for _ in range(20):
        told.clear()
        bench.time(found["undo"], bench.widget.reviewer.undo)
        bench.wait(lambda: bool(told))
    return {name: times.summary() for name, times in found.items()}


def queue(bench: Bench) -> dict[str, Any]:
    """Sorting and filtering 10,000 rows."""
    from qtpy.QtCore import Qt

    from napari_ssl.core.case import Split
    from napari_ssl.core.decision import ReviewState
    from napari_ssl.gui.queue_panel import QueuePanel
    from napari_ssl.study.queue_rows import QueueRow

    rng = np.random.default_rng(0)
    states = list(ReviewState)
    rows = [
        QueueRow(
            case_id=f"case{n:05d}",
            subject_id=f"s{n:05d}",
            split=Split.TRAIN,
            group=("NOR", "DCM", "HCM")[n % 3],
            state=states[n % len(states)],
            proposal_id=n + 1,
            model_id=f"model-{n % 4}",
            mean_confidence=float(rng.random()),
            lv_ef=float(rng.normal(55, 10)),
        )
        for n in rng.permutation(10_000)
    ]
    panel = QueuePanel()
    panel.resize(460, 800)
    panel.show()
    panel.set_rows(rows)
    bench.app.processEvents()
    sort, search = Times(), Times()
    headers = [str(panel.model.headerData(c, Qt.Orientation.Horizontal)) for c in range(panel.model.columnCount())]
    for n in range(30):
        timed(sort, lambda n=n: panel._sort_by(n % len(headers)))
        bench.app.processEvents()
        timed(search, lambda n=n: panel.search.setText(("case01", "dcm", "model-3", "", "1")[n % 5]))
        bench.app.processEvents()
    panel.close()
    panel.deleteLater()
    return {"queue sort": sort.summary(), "queue filter": search.summary()}


def timed(times: Times, action: Callable[[], None]) -> None:
    """Time a call that draws nothing."""
    wall, cpu = time.perf_counter(), time.thread_time()
    action()
    times.cpu.append(1000 * (time.thread_time() - cpu))
    times.call.append(1000 * (time.perf_counter() - wall))


class StallWatch:
    """Gaps between ticks of a timer in the window's thread, drawing subtracted, in ms."""

    def __init__(self, bench: Bench) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._bench, self.gaps, self.cpu = bench, [], []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._last = (time.perf_counter(), time.thread_time(), bench.drawing_s)
        self._timer.start(2)

    def _tick(self) -> None:
        now = (time.perf_counter(), time.thread_time(), self._bench.drawing_s)
        wall, cpu, drawing = (after - before for after, before in zip(now, self._last, strict=True))
        self.gaps.append(1000 * max(0.0, wall - drawing))
        self.cpu.append(1000 * max(0.0, cpu - drawing))
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


def session(bench: Bench, study: Path, n_cases: int) -> dict[str, Any]:
    """A reader goes through cases, pages, paints, undoes and decides while a training runs in its own process."""
    training = subprocess.Popen(
        [sys.executable, __file__, "--train", str(study.parent / "training")],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        bench.open(study)
        started = study.parent / "training" / "started"
        bench.wait(lambda: started.exists() or training.poll() is not None, 300)
        watch = StallWatch(bench)
        for n in range(n_cases):
            for name in ("Right", "Right", "Down", "H", "H", "P"):
                bench.key(name)
                pause(bench, 0.03)
            bench.mouse("MouseMove", 20, 20, held=False)
            bench.mouse("MouseButtonPress", 20, 20, held=True)
            bench.mouse("MouseMove", 20, 40, held=True)
            bench.mouse("MouseButtonRelease", 20, 40, held=False)
            pause(bench, 0.1)
            bench.widget.reviewer.undo()
            pause(bench, 0.1)
            before = bench.case_id
            bench.key("A" if n % 4 else "N")
            bench.wait(lambda before=before: bench.case_id not in (None, before))
            pause(bench, 0.1)
        assert training.poll() is None, "the training ended before the session"
        return {"cases": n_cases, **watch.stop()}
    finally:
        os.killpg(training.pid, 9)
        training.wait()


def pause(bench: Bench, seconds: float) -> None:
    end = time.monotonic() + seconds
    bench.wait(lambda: time.monotonic() > end)


def train(folder: Path) -> None:
    """Train for hours, at the priority of the engine's jobs; killed when the session is over."""
    os.nice(10)
    import torch

    from napari_ssl.networks import build_network

    torch.set_num_threads(1)
    network = build_network("unet", n_classes=4)
    optimiser = torch.optim.Adam(network.parameters())
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        x, y = torch.rand(4, 1, 128, 128), torch.randint(0, 4, (4, 128, 128))
        output = network(x)
        loss = torch.nn.functional.cross_entropy(output[0] if isinstance(output, tuple) else output, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        (folder / "started").touch()


def memory(bench: Bench, study: Path, n_openings: int) -> dict[str, Any]:
    """Resident memory after each of many openings, and its slope over the last three quarters."""
    import psutil

    bench.open(study)
    ids = [r.case_id for r in bench.widget.queue.model.rows]
    process, sizes = psutil.Process(), []
    for n in range(n_openings):
        target = ids[n % len(ids)]
        if target == bench.case_id:
            continue
        bench.widget.open_case(target)
        bench.wait(lambda target=target: bench.case_id == target)
        pause(bench, 0.05)
        sizes.append(process.memory_info().rss / 2**20)
    late = np.array(sizes[len(sizes) // 4 :])
    slope = np.polyfit(np.arange(len(late)), late, 1)[0]
    return {
        "openings": len(sizes),
        "first MB": round(sizes[0]),
        "last MB": round(sizes[-1]),
        "highest MB": round(max(sizes)),
        "slope MB per 100 openings": round(100 * float(slope), 2),
    }


def raise_priority() -> bool:
    """Put this process's group of the scheduler before others, where the system allows it."""
    try:
        Path("/proc/self/autogroup").write_text("-15")
    except OSError:
        return False
    return True


def on_a_screen() -> None:
    """Begin anew under a virtual screen where there is none."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform != "linux":
        return
    if shutil.which("xvfb-run") is None:
        sys.exit("no display, and xvfb-run is not installed (Debian: xvfb, xauth)")
    command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", sys.executable, *sys.argv]
    os.execvp(command[0], command)


def report(found: dict[str, Any]) -> str:
    lines = [f"{'':18}{'call p95':>10}{'CPU p95':>10}{'drawn p95':>11}{'budget':>8}"]
    for name, budget in BUDGETS_MS.items():
        if name in found:
            t = found[name]
            drawn = f"{t['drawn']['p95']:9.1f}" if "drawn" in t else "–"
            mark = "" if t["call"]["p95"] < budget else "  over"
            lines.append(f"{name:18}{t['call']['p95']:10.1f}{t['cpu']['p95']:10.1f}{drawn:>11}{budget:8.0f}{mark}")
    for name in ("session", "memory"):
        if name in found:
            lines.append(f"{name}: " + ", ".join(f"{k} {v}" for k, v in found[name].items()))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("queue", "latency", "session", "memory")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--openings", type=int, default=200, help="cases opened for the memory")
    parser.add_argument("--cases", type=int, default=40, help="cases of the session")
    parser.add_argument("--json", type=Path, help="write all figures to a file")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train is not None:
        train(options.train)
    on_a_screen()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        for name, value in (("NAPARI_CONFIG", "napari.yaml"), ("NAPARI_SSL_HOME", "home")):
            os.environ[name] = str(home / value)
        os.environ["NAPARI_SSL_ENGINE_DIR"] = str(home / "engine")
        found: dict[str, Any] = {"cores": os.cpu_count(), "raised priority": raise_priority()}
        bench = Bench()
        steps: dict[str, Callable[[], dict[str, Any]]] = {
            "queue": lambda: queue(bench),
            "latency": lambda: latency(bench, make_study(home / "large", 3, CINE)),
            "session": lambda: {
                "session": session(bench, make_study(home / "session", options.cases + 2, SMALL), options.cases)
            },
            "memory": lambda: {"memory": memory(bench, make_study(home / "many", 6, SMALL), options.openings)},
        }
        for name in options.only:
            found |= steps[name]()
            if options.json is not None:
                options.json.write_text(json.dumps(found, indent=1) + "\n")
        bench.close()
    print(report(found))


if __name__ == "__main__":
    main()
