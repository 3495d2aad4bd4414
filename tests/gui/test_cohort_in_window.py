"""A cohort in the window: how many processes label it, how fast it goes, what was left out and tried again."""

from __future__ import annotations

import threading

import pytest
from panel_fakes import FakeRunner, add_models, make_study
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_ssl.core.job import EventKind, JobState
from napari_ssl.gui import labelling_workers, training_processes
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.labelling_workers import WorkersForm, set_labelling_workers
from napari_ssl.gui.left_out_cases import LeftOutCases
from napari_ssl.gui.models_panel import ModelsPanel
from napari_ssl.gui.run_progress import progress_text
from napari_ssl.gui.training_processes import ProcessesForm, gpus_to_share
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE
from napari_ssl.jobs.offers import GPUS_VARIABLE
from napari_ssl.study.study import Study


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path) as study:
        add_models(study, tmp_path)
        yield study


@pytest.fixture
def runner(study):
    return FakeRunner(study.folder)


@pytest.fixture
def panel(qtbot, study, runner):
    panel = ModelsPanel()
    qtbot.addWidget(panel)
    panel.resize(420, 900)
    panel.show()
    panel.set_study(study, make_bridge=lambda folder, parent: JobBridge(folder, parent, make_runner=lambda f: runner))
    qtbot.waitUntil(panel.relabel_button.isEnabled, timeout=10_000)
    yield panel
    panel.close_panel()
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-ssl")]


def begin(qtbot, panel, runner, button) -> str:
    n_before = len(runner.specs)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(runner.specs) > n_before and panel.jobs.job is not None, timeout=10_000)
    job_id = panel.jobs.job.id
    runner.set_state(job_id, JobState.RUNNING)
    qtbot.waitUntil(lambda: panel.jobs.job.state is JobState.RUNNING, timeout=10_000)
    return job_id


def test_the_number_of_processes_is_kept_and_holds_for_the_next_relabelling(qtbot, panel, runner, home):
    form = WorkersForm()
    qtbot.addWidget(form)
    assert form.number.value() == 1
    form.number.setValue(3)
    again = WorkersForm()
    qtbot.addWidget(again)
    assert again.number.value() == 3
    begin(qtbot, panel, runner, panel.relabel_button)
    assert runner.specs[-1].workers == 3


@pytest.mark.parametrize("content", ['{"workers": "many"}', '{"workers": true}', "[]", "{", '{"workers": -4}'])
def test_a_damaged_setting_means_one_process(home, content):
    path = labelling_workers.config_folder() / "labelling.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert labelling_workers.labelling_workers() == 1
    set_labelling_workers(2)
    assert labelling_workers.labelling_workers() == 2


def test_a_number_that_cannot_be_kept_is_told(qtbot, monkeypatch):
    def refuse(*_):
        raise PermissionError("not allowed")

    monkeypatch.setattr(labelling_workers, "write_json", refuse)
    form, told = WorkersForm(), []
    qtbot.addWidget(form)
    form.told.connect(told.append)
    form.number.setValue(5)
    assert told == ["The number of processes cannot be kept (not allowed); it stays 1."]


def test_speed_and_time_left_are_told(qtbot, panel, runner):
    job_id = begin(qtbot, panel, runner, panel.relabel_button)
    data = {"step": "labelling: 40 of 2000 cases", "fraction": 0.02, "n_failed": 1, "cases_per_hour": 1200.4}
    runner.tell(job_id, EventKind.PROGRESS, **data, seconds_left=5880.0)
    expected = "Labelling: 40 of 2000 cases · 1 left out · 1,200 cases an hour · about 1 h 38 min left"
    qtbot.waitUntil(lambda: panel.jobs.text.text() == expected, timeout=10_000)


def test_progress_of_other_jobs_stays_as_it_was():
    assert progress_text({"step": "comparing: 1 of 4 cases"}) == "Comparing: 1 of 4 cases"
    assert progress_text({"step": "x (2 left out)", "n_failed": 2}) == "X (2 left out)"


def test_cases_that_were_left_out_are_listed_with_why_and_tried_again_by_hand(qtbot, panel, runner):
    job_id = begin(qtbot, panel, runner, panel.relabel_button)
    noticed = []
    panel.jobs.noticed.connect(noticed.append)
    for name in ("unl0", "unl1"):
        why = f"case {name}: the image has changed"
        runner.tell(job_id, EventKind.NOTICE, message=f"{name} was left out", case_id=name, left_out=why)
    qtbot.waitUntil(lambda: panel.jobs.left_out.case_ids == ["unl0", "unl1"], timeout=10_000)
    left_out = panel.jobs.left_out
    assert left_out.isVisible() and left_out.fold.text() == "2 cases left out" and not noticed
    assert left_out.table.item(1, 1).text() == "case unl1: the image has changed"
    assert not left_out.again_button.isEnabled()  # one labelling at a time
    runner.set_state(job_id, JobState.DONE)
    qtbot.waitUntil(left_out.again_button.isEnabled, timeout=10_000)
    left_out.fold.expand(animate=False)
    left_out.table.selectRow(1)
    QApplication.processEvents()
    begin(qtbot, panel, runner, left_out.again_button)
    assert runner.specs[-1].cases == ("unl1",)
    assert not left_out.case_ids and not left_out.isVisible()


def test_a_long_list_stays_short_and_a_row_opens_its_case(qtbot):
    left_out = LeftOutCases()
    qtbot.addWidget(left_out)
    left_out.add({f"c{n}": "why" for n in range(501)})
    left_out.add({"c0": "another reason"})
    assert left_out.table.rowCount() == 500 and left_out.fold.text() == "501 cases left out, the first 500 listed"
    left_out.set_can_try(True)
    with qtbot.waitSignal(left_out.again_requested) as asked:
        left_out.again_button.click()
    assert len(asked.args[0]) == 501
    with qtbot.waitSignal(left_out.case_chosen) as opened:
        left_out.table.itemActivated.emit(left_out.table.item(2, 1))
    assert opened.args == ["c2"]


def test_several_graphics_cards_may_share_a_training(qtbot):
    form = ProcessesForm()
    qtbot.addWidget(form)
    form.set_most(1)
    assert form.isHidden() and form.number_for("auto") == 1 and form.device_for("auto") == "auto"
    form.set_most(4)
    assert not form.isHidden()
    form.number.setValue(3)
    assert (form.number_for("auto"), form.device_for("auto")) == (3, "cuda")
    assert (form.number_for("cpu"), form.device_for("cpu")) == (1, "cpu")
    form.set_most(2)
    assert form.number_for("cuda") == 2


def test_cards_are_counted_here_and_trusted_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "engine"))
    monkeypatch.setenv(GPUS_VARIABLE, "2")
    assert gpus_to_share() == 2
    monkeypatch.setattr(training_processes, "place_in_use", lambda: "a server")
    assert gpus_to_share() == 8


def test_the_first_page_of_a_large_study_comes_before_all_rows(workspace, review_study, monkeypatch):
    from napari_ssl.gui import reviewer

    monkeypatch.setattr(reviewer, "FIRST_PAGE", 2)
    queue, shown = workspace.widget.queue, []
    set_rows = queue.set_rows

    def note(rows, **how):
        set_rows(rows, **how)
        if rows:
            shown.append(([row.case_id for row in queue.model.rows], queue.counts.text()))

    monkeypatch.setattr(queue, "set_rows", note)
    workspace.widget.set_study(Study.open(review_study.folder))
    try:
        workspace.wait_for("case0")
        _wait(shown)
        first, all_rows = shown
        assert first == (["case0", "case1"], "The 2 least confident cases; the others are being read…")
        assert all_rows[0] == ["case0", "case1", "case2", "case3"] and all_rows[1].startswith("4 cases")
        workspace.widget.reviewer.refresh_rows()
        _wait(shown, 3)
        assert len(shown[2][0]) == 4  # the page is for the first time only
    finally:
        workspace.widget.set_study(None)


def _wait(shown: list, n: int = 2) -> None:
    from gui_driver import wait

    wait(lambda: len(shown) >= n)
