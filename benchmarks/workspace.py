"""How quickly the review workspace answers, on a virtual screen, against its budgets.

    python benchmarks/workspace.py [--json FILE] [--only latency queue session memory] [--openings 200] [--cases 40]

Starts itself under ``xvfb-run`` where there is no display. All cases are analytic phantoms; those of the latencies are
cines of 50×12×210×210. "call" is the time in which the window's thread works on a key or a click (wall clock, and the
thread's own CPU time beside it, which other programs on the machine do not change), "drawn" is the same with the
picture on screen: software OpenGL alone costs some 70 ms a redraw. Stalls are gaps between ticks of a timer in the
window's thread. Call times and stalls are without what OpenGL takes: the drawing of the canvas, and the wait for the
composition of the window (see `workspace_bench.Drawing`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from workspace_bench import Bench, StallWatch, Times, pause, timed

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
STROKE = (
    ("MouseMove", 20, False),
    ("MouseButtonPress", 20, True),
    ("MouseMove", 40, True),
    ("MouseButtonRelease", 40, False),
)
"""Mouse events of one stroke along a row: kind, column, whether the button is held."""


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
            for kind, x, held in STROKE:
                bench.mouse(kind, 20, x, held=held)
                pause(bench, 0.01)
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
