"""Relabelling in the window with the real engine: parts arrive, the window may be closed, its process be killed."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from gui_driver import wait
from panel_fakes import FakeRunner
from panel_fakes import make_study as make_fake_study
from qtpy.QtCore import Qt

from napari_ssl.core.job import EventKind, JobKind, JobState
from napari_ssl.gui.arrivals import Arrivals
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.labelling_run import LabellingRun
from napari_ssl.gui.models_panel import ModelsPanel
from napari_ssl.jobs import cohort_job
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE, stop_engine
from napari_ssl.jobs.events import read_events
from napari_ssl.jobs.spec import TEST_KINDS_VARIABLE

JOBS = Path(__file__).parents[1] / "jobs"
N = 8
WAIT_MS = 120_000


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    """A study of 8 cases; what computes notes each case (`noting_kind`), in an engine of this test's own."""
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "engine"))
    monkeypatch.setenv(TEST_KINDS_VARIABLE, "noting_kind")
    monkeypatch.setenv("PYTHONPATH", str(JOBS))
    monkeypatch.syspath_prepend(str(JOBS))
    import noting_kind

    with noting_kind.make_study(tmp_path, N) as study:
        (study.folder / "behaviour.json").write_text(json.dumps({"step_s": 0.3, "broken": ["c007"]}))
        yield study
        stop_engine()
    sys.modules.pop("noting_kind", None)


def open_panel(qtbot, study) -> ModelsPanel:
    panel = ModelsPanel()
    qtbot.addWidget(panel)
    panel.resize(420, 900)
    panel.show()
    panel.set_study(study)
    return panel


def noted(study) -> list[str]:
    path = study.folder / "noted.txt"
    return path.read_text().split() if path.exists() else []


def test_the_window_may_be_closed_and_the_process_killed_and_no_case_is_done_twice(qtbot, cohort, monkeypatch):
    make = cohort_job.cohort_spec
    monkeypatch.setattr(cohort_job, "cohort_spec", lambda study, **how: make(study, batch_size=3, **how))
    first = open_panel(qtbot, cohort)
    qtbot.waitUntil(first.relabel_button.isEnabled, timeout=WAIT_MS)
    with qtbot.waitSignal(first.proposals_arrived, timeout=WAIT_MS):
        qtbot.mouseClick(first.relabel_button, Qt.MouseButton.LeftButton)
    assert first.jobs.busy and len(cohort.proposals_of([f"c00{n}" for n in range(N)])) >= 3
    first.close_panel()
    job = next(j for j in cohort.jobs() if j.kind is JobKind.COHORT)
    started = [e for e in read_events(cohort.job_folder(job.id)) if e.kind is EventKind.STARTED]
    psutil.Process(started[-1].data["pid"]).send_signal(signal.SIGKILL)
    second = open_panel(qtbot, cohort)
    with qtbot.waitSignal(second.relabelled, timeout=WAIT_MS) as done:
        qtbot.waitUntil(lambda: second.jobs.job is not None and second.jobs.job.id == job.id, timeout=WAIT_MS)
    assert done.args == [job.id] and "new proposals are in the queue" in second.banner.text
    assert sorted(noted(cohort)) == [f"c00{n}" for n in range(N - 1)]
    assert second.jobs.left_out.case_ids == ["c007"]
    second.close_panel()


def test_stop_ends_it_and_relabelling_again_goes_on(qtbot, cohort):
    panel = open_panel(qtbot, cohort)
    qtbot.waitUntil(panel.relabel_button.isEnabled, timeout=WAIT_MS)
    panel.relabel()
    qtbot.waitUntil(lambda: len(noted(cohort)) >= 2, timeout=WAIT_MS)
    with qtbot.waitSignal(panel.job_finished, timeout=WAIT_MS):
        qtbot.mouseClick(panel.jobs.stop_button, Qt.MouseButton.LeftButton)
    assert "kept for the next time" in panel.banner.text
    before = noted(cohort)
    assert 2 <= len(before) < N - 1
    with qtbot.waitSignal(panel.relabelled, timeout=WAIT_MS):
        panel.relabel()
    assert sorted(noted(cohort)) == [f"c00{n}" for n in range(N - 1)] and noted(cohort)[: len(before)] == before
    panel.close_panel()


def test_a_cohort_is_followed_rather_than_its_batches_and_a_long_story_is_one_step(qtbot, tmp_path):
    with make_fake_study(tmp_path) as study:
        runner, run = FakeRunner(study.folder), LabellingRun()
        qtbot.addWidget(run)
        runner.add_job("cohort1", "cohort", JobState.RUNNING)
        runner.add_job("predict1", "predict", JobState.RUNNING)
        for n in range(200):
            data = {"step": f"labelling: {n} of 200 cases", "fraction": n / 200, "n_done": n, "n_cases": 200}
            runner.tell("cohort1", EventKind.PROGRESS, **data, cases_per_hour=1000.0, seconds_left=60.0)
        runner.tell("cohort1", EventKind.CHECKPOINT, iteration=100, n_in_study=100)
        texts = []
        set_text = run.text.setText
        run.text.setText = lambda text: (texts.append(text), set_text(text))
        with qtbot.waitSignal(run.batch_kept, timeout=WAIT_MS):
            run.set_bridge(JobBridge(study.folder, run, make_runner=lambda f: runner))
        assert run.job.id == "cohort1"
        expected = "Labelling: 199 of 200 cases · 1,000 cases an hour · about 1 min 00 s left"
        qtbot.waitUntil(lambda: run.text.text() == expected, timeout=WAIT_MS)
        assert len(texts) < 10
        run.set_bridge(None)


def test_what_is_paused_is_not_followed_and_does_not_keep_anybody_from_relabelling(qtbot, tmp_path):
    with make_fake_study(tmp_path) as study:
        runner, run, over = FakeRunner(study.folder), LabellingRun(), []
        qtbot.addWidget(run)
        run.over.connect(lambda job, text: over.append((job.id, text)))
        runner.add_job("predict1", "predict", JobState.PAUSED)  # of a command that was killed
        runner.add_job("cohort1", "cohort", JobState.RUNNING)
        run.set_bridge(JobBridge(study.folder, run, make_runner=lambda f: runner))
        qtbot.waitUntil(lambda: run.job is not None, timeout=WAIT_MS)
        assert run.job.id == "cohort1" and run.busy
        runner.set_state("cohort1", JobState.PAUSED, "Paused; resume goes on from the last checkpoint")
        qtbot.waitUntil(lambda: not run.busy, timeout=WAIT_MS)
        assert over == [("cohort1", "Relabelling is paused. Paused; resume goes on from the last checkpoint")]
        runner.set_state("cohort1", JobState.RUNNING)  # resumed in the dialog of jobs
        qtbot.waitUntil(lambda: run.busy, timeout=WAIT_MS)
        run.set_bridge(None)


def test_a_job_that_goes_on_and_fails_at_once_does_not_keep_the_panel_waiting(qtbot, tmp_path):
    with make_fake_study(tmp_path) as study:
        runner, run, over = FakeRunner(study.folder), LabellingRun(), []
        qtbot.addWidget(run)
        run.over.connect(lambda job, text: over.append(text))
        failed = runner.add_job("cohort1", "cohort", JobState.FAILED)
        again = dataclasses.replace(
            failed, updated_at=failed.updated_at + timedelta(seconds=9), message="Its order is lost"
        )
        runner.resume = lambda job_id: runner._jobs.update({job_id: again})
        run.set_bridge(JobBridge(study.folder, run, make_runner=lambda f: runner))
        run.go_on(failed)
        assert run.busy
        qtbot.waitUntil(lambda: not run.busy, timeout=WAIT_MS)
        assert over == ["Relabelling failed. Its order is lost"]
        run.set_bridge(None)


def test_arrivals_are_said_at_once_then_now_and_then_with_the_last(qtbot):
    said = []
    arrivals = Arrivals(every_s=0.2)
    arrivals.due.connect(lambda: said.append(None))
    for _ in range(50):
        arrivals.note()
    assert len(said) == 1
    qtbot.waitUntil(lambda: len(said) == 2, timeout=20_000)
    qtbot.wait(400)
    assert len(said) == 2
    arrivals.note()
    assert len(said) == 3


def test_the_queue_takes_what_has_arrived_and_the_case_on_the_desk_stays(window):
    shown, read = window.widget.reviewer.session.loaded.case.id, []
    window.widget.reviewer.rows_read.connect(lambda rows: read.append(len(rows)))
    window.widget.models.proposals_arrived.emit()
    wait(lambda: bool(read))
    assert read == [4] and window.widget.reviewer.session.loaded.case.id == shown
