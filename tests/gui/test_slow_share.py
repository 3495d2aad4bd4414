"""A study on a share that does not answer: the window takes orders, stays alive and shows what comes when it comes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from qtpy.QtCore import QTimer
from test_engine_dialog import FakeBridge, job

from napari_ssl.core.job import JobState
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.gui import engine_dialog
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.engine_dialog import EngineDialog
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE
from napari_ssl.study.study import Study

LONG_S = 60


class Share:
    """Everything that asks it waits until `answer`; a window's thread that asks would wait for ever."""

    def __init__(self) -> None:
        self._answers = threading.Event()
        self.window = threading.get_ident()
        self.asked: list[str] = []
        self.asked_by_window: list[str] = []

    def wait(self, what: str) -> None:
        self.asked.append(what)
        if threading.get_ident() == self.window:
            self.asked_by_window.append(what)
            return
        assert self._answers.wait(LONG_S)

    def answer(self) -> None:
        self._answers.set()


@pytest.fixture
def share():
    made = Share()
    yield made
    made.answer()


class SlowRunner:
    """The jobs of a study on that share."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self.ordered: list[tuple[str, str]] = []

    def _order(self, action: str, job_id: str) -> None:
        self._share.wait(action)
        self.ordered.append((action, job_id))

    def submit(self, spec):
        self._order("submit", "new")
        return job("new", JobState.QUEUED)

    def cancel(self, job_id, *, force=False):
        self._order("cancel", job_id)

    def pause(self, job_id):
        self._order("pause", job_id)

    def resume(self, job_id):
        self._order("resume", job_id)

    def jobs(self):
        self._share.wait("jobs")
        return [job("job1", JobState.RUNNING)]

    def close(self):
        pass


def ticks_of(qtbot, n: int) -> int:
    """Let the window's timer tick `n` times; it only does where nothing blocks the window's thread."""
    count = [0]
    timer = QTimer()
    timer.timeout.connect(lambda: count.__setitem__(0, count[0] + 1))
    timer.start(5)
    qtbot.waitUntil(lambda: count[0] >= n, timeout=1000 * LONG_S)
    timer.stop()
    return count[0]


def test_orders_are_taken_while_the_share_does_not_answer_and_carried_out_when_it_does(qtbot, share, tmp_path):
    runner = SlowRunner(share)

    def make_runner(folder: Path) -> SlowRunner:
        share.wait("open")
        return runner

    bridge = JobBridge(tmp_path, make_runner=make_runner)
    seen, submitted = [], []
    bridge.jobs_changed.connect(seen.append)
    bridge.submitted.connect(submitted.append)
    bridge.submit(lambda: share.wait("order") or "spec")
    bridge.pause("job1")
    bridge.cancel("job1", force=True)
    bridge.watch("job1")
    assert ticks_of(qtbot, 20) >= 20 and not seen and not runner.ordered
    share.answer()
    qtbot.waitUntil(lambda: bool(len(runner.ordered) == 3 and seen and submitted), timeout=1000 * LONG_S)
    assert not share.asked_by_window and {"open", "order", "jobs", "pause"} <= set(share.asked)
    bridge.close()


def test_the_dialog_of_jobs_stays_alive_while_a_jobs_story_cannot_be_read(qtbot, share, tmp_path, monkeypatch):
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "engine"))
    read = engine_dialog.job_details

    def slowly(*arguments, **named):
        share.wait("details")
        return read(*arguments, **named)

    monkeypatch.setattr(engine_dialog, "job_details", slowly)
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        study.create_job("train", {"a": 1}, "job1")
        dialog = EngineDialog(study, make_bridge=FakeBridge)
        qtbot.addWidget(dialog)
        dialog._bridge.jobs_changed.emit([job("job1", JobState.RUNNING)])
        qtbot.waitUntil(lambda: "details" in share.asked, timeout=1000 * LONG_S)
        assert ticks_of(qtbot, 20) >= 20 and dialog.details.toPlainText() == ""
        dialog.pause_button.click()
        assert dialog._bridge.ordered == [("pause", "job1")]
        share.answer()
        qtbot.waitUntil(lambda: "job1" in dialog.details.toPlainText(), timeout=1000 * LONG_S)
        assert not share.asked_by_window
        dialog.done(0)
