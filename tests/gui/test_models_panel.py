from __future__ import annotations

import threading

import pytest
from panel_fakes import FakeRunner, add_models, make_study
from qtpy.QtCore import Qt

from napari_ssl.core.job import EventKind, JobState
from napari_ssl.core.model import ModelState
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.models_panel import ModelsPanel


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SSL_HOME", str(tmp_path / "home"))
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
    panel.resize(380, 900)
    panel.show()
    panel.set_study(study, make_bridge=lambda folder, parent: JobBridge(folder, parent, make_runner=lambda f: runner))
    qtbot.waitUntil(lambda: panel.comparison.structures.isVisible(), timeout=5000)
    yield panel
    panel.close_panel()
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-ssl")]


def click(qtbot, button):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_the_list_tells_scores_state_and_parents(panel):
    table = panel.table.table
    row = [table.item(0, c).text() for c in range(table.columnCount())]
    assert row == ["r002-bbbb", "0.823", "–", "candidate", "2", "Supervised", "Residual U-Net", "r001-aaaa"]


def test_a_model_that_has_come_is_selected_and_another_choice_stays(panel, study):
    models = study.models()
    panel.table.show_models(models[:1])
    assert panel.selected_model().id == "r001-aaaa"
    panel.table.show_models(models)
    assert panel.selected_model().id == "r002-bbbb"
    panel.select_model("r001-aaaa")
    panel.table.show_models(models)
    assert panel.selected_model().id == "r001-aaaa"


def test_promoted_and_newest_candidate_are_compared_per_structure_and_case(panel):
    comparison = panel.comparison
    assert (comparison.old.currentData(), comparison.new.currentData()) == ("r001-aaaa", "r002-bbbb")
    assert comparison.sentence.text().startswith("The new model is better: mean Dice 0.765 → 0.823 (+0.057)")
    structures = {comparison.structures.item(r, 0).text() for r in range(comparison.structures.rowCount())}
    assert structures == {"Dice RV", "Dice LV", "Dice mean", "HD95 RV", "HD95 LV", "EF err. LV"}
    worst = [comparison.cases.item(0, c).text() for c in range(5)]
    assert worst == ["test3", "0.795", "0.805", "+0.010", "+5.0→+6.0"]


def test_a_model_with_itself_is_not_compared(panel):
    panel.comparison.compare_with("r002-bbbb", "r002-bbbb")
    assert panel.comparison.sentence.text() == "Choose two models."
    assert not panel.comparison.structures.isVisible()


def test_promoting_asks_first_and_changes_nothing_when_cancelled(qtbot, panel, study):
    click(qtbot, panel.promote_button)
    assert panel.confirmation.isVisible() and "instead of r001-aaaa" in panel.confirmation.text
    click(qtbot, panel.confirmation.cancel_button)
    assert not panel.confirmation.isVisible()
    assert study.promoted().id == "r001-aaaa"


def test_promoting_and_rolling_back(qtbot, panel, study):
    with qtbot.waitSignal(panel.model_promoted, timeout=3000) as blocker:
        click(qtbot, panel.promote_button)
        click(qtbot, panel.confirmation.confirm_button)
    assert blocker.args == ["r002-bbbb"] and study.promoted().id == "r002-bbbb"
    qtbot.waitUntil(lambda: not panel.promote_button.isEnabled(), timeout=3000)
    with qtbot.waitSignal(panel.model_promoted, timeout=3000) as blocker:
        click(qtbot, panel.rollback_button)
        click(qtbot, panel.confirmation.confirm_button)
    assert blocker.args == ["r001-aaaa"] and study.promoted().id == "r001-aaaa"


def test_discarding_puts_the_candidate_aside(qtbot, panel, study):
    click(qtbot, panel.discard_button)
    click(qtbot, panel.confirmation.confirm_button)
    qtbot.waitUntil(lambda: study.model("r002-bbbb").state is ModelState.ARCHIVED, timeout=3000)
    qtbot.waitUntil(lambda: not panel.discard_button.isEnabled(), timeout=3000)


def test_a_rollback_that_is_not_possible_is_told(qtbot, panel):
    click(qtbot, panel.rollback_button)
    click(qtbot, panel.confirmation.confirm_button)
    qtbot.waitUntil(lambda: "none to go back to" in panel.banner.text, timeout=3000)
    assert panel.banner.kind == "error"


def test_relabelling_shows_how_far_it_is_and_tells_the_end(qtbot, panel, runner):
    with qtbot.waitSignal(panel.relabel_requested, timeout=1000):
        click(qtbot, panel.relabel_button)
    assert panel.jobs.isVisible() and not panel.relabel_button.isEnabled()
    qtbot.waitUntil(lambda: panel.jobs.job is not None, timeout=3000)
    (spec,) = runner.specs
    assert spec.cases is None and spec.model_id == "r001-aaaa"  # all that are open, whenever a batch is due
    job_id = panel.jobs.job.id
    runner.set_state(job_id, JobState.RUNNING)
    runner.tell(job_id, EventKind.PROGRESS, fraction=0.5, step="unl0: 1 of 2", seconds_left=30.0)
    qtbot.waitUntil(lambda: panel.jobs.bar.value() == 500, timeout=3000)
    assert panel.jobs.text.text() == "Unl0: 1 of 2 · about 30 s left"
    with qtbot.waitSignals([panel.relabelled, panel.job_finished], timeout=3000):
        runner.set_state(job_id, JobState.DONE)
    assert not panel.jobs.isVisible() and panel.relabel_button.isEnabled()


def test_stopping_twice_forces(qtbot, panel, runner):
    click(qtbot, panel.relabel_button)
    qtbot.waitUntil(lambda: panel.jobs.job is not None, timeout=3000)
    click(qtbot, panel.jobs.stop_button)
    assert panel.jobs.stop_button.text() == "Force"
    click(qtbot, panel.jobs.stop_button)
    qtbot.waitUntil(lambda: len(runner.calls) == 2, timeout=3000)
    assert {c[2] for c in runner.calls} == {False, True}


def test_measuring_submits_an_evaluation_of_the_selected_model(qtbot, panel, runner):
    panel.select_model("r001-aaaa")
    click(qtbot, panel.evaluate_button)
    qtbot.waitUntil(lambda: bool(runner.specs), timeout=3000)
    assert runner.specs[0].evaluate and runner.specs[0].model.model_id == "r001-aaaa"


def test_provenance_names_the_cases_and_what_became_of_the_model(qtbot, panel):
    panel.select_model("r001-aaaa")
    qtbot.waitUntil(lambda: "r001-aaaa: round 1" in panel.provenance.toPlainText(), timeout=3000)
    text = panel.provenance.toPlainText()
    assert "lab0  labelled" in text and "promoted by tester" in text


def test_without_a_study_nothing_can_be_clicked(panel):
    panel.set_study(None)
    assert panel.empty.text() == "Open a study to see its models."
    for button in (panel.promote_button, panel.discard_button, panel.rollback_button, panel.relabel_button):
        assert not button.isEnabled()
