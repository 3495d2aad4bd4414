"""The training panel with the real engine and a real training process, as small as can be."""

from __future__ import annotations

import time

import psutil
import pytest
from panel_fakes import make_study
from qtpy.QtCore import QTimer

from napari_ssl.core.job import JobState
from napari_ssl.gui.training_panel import TrainingPanel
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE, stop_engine

pytest.importorskip("torch", reason="training needs torch")


@pytest.fixture
def panel(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "engine"))
    with make_study(tmp_path) as study:
        panel = TrainingPanel()
        qtbot.addWidget(panel)
        panel.show()
        panel.set_study(study)
        qtbot.waitUntil(lambda: not panel._counting.running, timeout=5000)
        panel.setup.strategy.setCurrentIndex(panel.setup.strategy.findData("supervised"))
        panel.setup.form.editor("duration").set_value("30 iterations")
        panel.setup.form.editor("batch_size").setValue(2)
        panel.setup.form.editor("validate_every").setValue(10)
        panel.setup.network_form.editor("base_channels").setValue(2)
        yield panel
        panel.close_panel()
        stop_engine()


def training_processes(folder):
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "napari_ssl.jobs.child" in line and any(str(folder) in word for word in line):
            found.append(process)
    return found


@pytest.mark.timeout(180)
def test_a_killed_training_is_told_resumes_and_ends_while_the_window_goes_on(qtbot, panel, tmp_path):
    late, last = [], [time.perf_counter()]

    def tick():
        now = time.perf_counter()
        late.append(now - last[0] - 0.01)
        last[0] = now

    timer = QTimer(interval=10)
    panel.start_training()
    qtbot.waitUntil(lambda: panel.run.job is not None, timeout=2000)  # acknowledged while the engine starts
    qtbot.waitUntil(lambda: bool(panel.run.progress.losses), timeout=60000)
    timer.timeout.connect(tick)
    last[0] = time.perf_counter()
    timer.start()
    for process in training_processes(tmp_path):
        process.kill()
    qtbot.waitUntil(lambda: "killed or lost" in panel.run.banner.text, timeout=30000)
    with qtbot.waitSignal(panel.job_finished, timeout=90000):
        pass
    timer.stop()
    assert panel.run.job.state is JobState.DONE, panel.run.log.toPlainText()
    assert panel.run.progress.attempt == 2
    assert panel.run.progress.dice["LV"][-1][0] == 30
    assert [m.id for m in panel._study.models()] == [panel.run.progress.result["model_id"]]
    assert sorted(late)[len(late) // 2] < 0.1  # the window was never held up for long
