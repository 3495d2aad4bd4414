from __future__ import annotations

import threading

import pytest
from panel_fakes import FakeRunner, make_study
from qtpy.QtCore import Qt

from napari_ssl.core.catalogue import NETWORKS, STRATEGIES
from napari_ssl.core.job import EventKind, JobState
from napari_ssl.errors import StorageError
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.training_panel import TrainingPanel
from napari_ssl.study.study import Study


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path) as study:
        yield study


@pytest.fixture
def runner(study):
    return FakeRunner(study.folder)


@pytest.fixture
def panel(qtbot):
    panel = TrainingPanel()
    qtbot.addWidget(panel)
    panel.resize(360, 700)
    panel.show()
    yield panel
    panel.close_panel()
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-ssl")]


def show(qtbot, panel, study, runner):
    panel.set_study(study, make_bridge=lambda folder, parent: JobBridge(folder, parent, make_runner=lambda f: runner))
    qtbot.waitUntil(lambda: not panel._counting.running, timeout=5000)


def start(qtbot, panel, runner):
    qtbot.mouseClick(panel.setup.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.run.job is not None, timeout=5000)
    job_id = panel.run.job.id
    runner.set_state(job_id, JobState.RUNNING)
    runner.tell(job_id, EventKind.STARTED, attempt=1, device="cpu", threads=1)
    qtbot.waitUntil(lambda: panel.run.job.state is JobState.RUNNING, timeout=5000)
    return job_id


def test_without_a_study_the_start_says_why_not(panel):
    panel.set_study(None)
    assert not panel.setup.start_button.isEnabled()
    assert panel.setup.reason.text() == "Open or create a study first."


def test_what_will_enter_is_counted(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    shown = {name: labels[0].text() for name, labels in panel.setup._count_labels.items()}
    assert shown == {
        "labelled": "1",
        "accepted": "0",
        "corrected": "0",
        "unlabelled": "2",
        "rejected_left_out": "0",
        "wrong_frames": "0",
        "validation": "1",
        "test": "1",
    }
    panel.setup.strategy.setCurrentIndex(panel.setup.strategy.findData("supervised"))
    assert panel.setup._count_labels["unlabelled"][1].text() == "Unlabelled (unused)"
    panel.setup.strategy.setCurrentIndex(panel.setup.strategy.findData("alternating-crf"))
    assert panel.setup._count_labels["unlabelled"][1].text() == "Unlabelled"
    assert panel.setup.start_button.isEnabled()


@pytest.mark.parametrize(
    ("strategy", "supervised", "other"),
    [("asdnet", "attention+fcn", "proposed"), ("semi-qc-seg", "half", "without-qc")],
)
def test_an_arm_that_learns_from_labels_alone_starts_without_unlabelled_cases(
    qtbot, panel, tmp_path, strategy, supervised, other
):
    with make_study(tmp_path / "labelled", labelled=2, unlabelled=0) as labelled:
        show(qtbot, panel, labelled, FakeRunner(labelled.folder))
        setup = panel.setup
        setup.strategy.setCurrentIndex(setup.strategy.findData(strategy))
        arm = setup.form.editor("arm")
        setup.policy.setCurrentIndex(setup.policy.findData("clinician"))
        arm.setCurrentText(other)
        assert setup.order().policy == "clinician"
        assert not setup.start_button.isEnabled() and "there is none" in setup.reason.text()
        arm.setCurrentText(supervised)
        assert setup.start_button.isEnabled()
        assert setup._count_labels["unlabelled"][1].text() == "Unlabelled (unused)"
        assert setup.order().policy == "accept-all"  # there is nothing to review
        panel.close_panel()


def test_a_study_without_labels_says_what_to_do(qtbot, panel, tmp_path):
    with make_study(tmp_path / "bare", labelled=0) as bare:
        show(qtbot, panel, bare, FakeRunner(bare.folder))
        assert not panel.setup.start_button.isEnabled()
        assert "import cases with labels" in panel.setup.reason.text()
        panel.close_panel()


def test_a_read_only_study_says_so(qtbot, panel, study):
    with Study.open(study.folder, read_only=True) as closed:
        panel.set_study(closed)
        qtbot.waitUntil(lambda: not panel._counting.running, timeout=5000)
        assert "reading only" in panel.setup.reason.text()
        panel.close_panel()


def test_a_wrong_parameter_keeps_the_start_closed(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    editor = panel.setup.form.editor("learning_rate")
    editor.selectAll()
    qtbot.keyClicks(editor, "5")
    assert not panel.setup.start_button.isEnabled()
    assert "1 parameter" in panel.setup.reason.text()


def test_starting_submits_the_order_of_the_form(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    panel.setup.strategy.setCurrentIndex(panel.setup.strategy.findData("alternating-crf"))
    panel.setup.form.editor("alternations").setValue(2)
    panel.setup.policy.setCurrentIndex(panel.setup.policy.findData("clinician"))
    panel.setup.network_form.editor("base_channels").setValue(4)
    panel.setup.seed.setValue(7)
    start(qtbot, panel, runner)
    (spec,) = runner.specs
    assert spec.seed == 7
    assert (spec.strategy, spec.policy, spec.parameters["alternations"]) == ("alternating-crf", "clinician", 2)
    assert spec.parameters["initial"] == "400 iterations"  # from the preset
    assert spec.network_parameters["base_channels"] == 4
    assert {i.case_id for i in spec.items} == {"lab0", "unl0", "unl1"}


def test_events_drive_the_bar_the_plots_and_the_log(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    job_id = start(qtbot, panel, runner)
    for i in (10, 20, 30):
        runner.tell(
            job_id,
            EventKind.PROGRESS,
            fraction=i / 100,
            step="Supervised training",
            iteration=i,
            loss=1 / i,
            seconds_left=90.0,
            validation_dice={"LV": i / 50, "RV": 0.1},
            losses={"Dice": 0.5 / i, "adversarial": 0.25},
        )
    qtbot.waitUntil(lambda: len(panel.run.progress.losses) == 3, timeout=3000)
    assert panel.run.bar.value() == 300
    assert panel.run.step.text() == "Supervised training · about 1 min 30 s left"
    qtbot.waitUntil(lambda: set(panel.run.plots._curves) == {"LV", "RV"}, timeout=3000)
    assert panel.run.plots._curves["LV"].getData()[1].tolist() == [0.2, 0.4, 0.6]
    assert "LV&nbsp;<b>0.600" in panel.run.plots.legend.text()
    assert set(panel.run.plots._parts) == {"Dice", "adversarial"}
    assert "adversarial&nbsp;<b>0.25" in panel.run.plots.loss_legend.text() and panel.run.plots.loss_legend.isVisible()
    assert "Supervised training" in panel.run.log.toPlainText()


def test_stop_is_acknowledged_at_once_and_force_is_offered_immediately(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    job_id = start(qtbot, panel, runner)
    qtbot.mouseClick(panel.run.stop_button, Qt.MouseButton.LeftButton)
    assert panel.run.stop_button.text() == "Stopping…" and not panel.run.stop_button.isEnabled()
    assert panel.run.force_button.isVisible() and panel.run.force_button.isEnabled()
    qtbot.waitUntil(lambda: runner.calls == [("cancel", job_id, False)], timeout=3000)
    qtbot.mouseClick(panel.run.force_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: runner.calls[-1] == ("cancel", job_id, True), timeout=3000)
    with qtbot.waitSignal(panel.job_finished, timeout=3000) as blocker:
        runner.tell(job_id, EventKind.STOPPED, message="stopped")
        runner.set_state(job_id, JobState.CANCELLED)
    assert blocker.args == [job_id]
    assert panel.run.title.text().startswith("Stopped")
    assert not panel.run.stop_button.isVisible()


def test_pause_and_resume(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    job_id = start(qtbot, panel, runner)
    qtbot.mouseClick(panel.run.pause_button, Qt.MouseButton.LeftButton)
    assert panel.run.title.text().startswith("Pausing")
    runner.set_state(job_id, JobState.PAUSED)
    qtbot.waitUntil(lambda: panel.run.resume_button.isVisible(), timeout=3000)
    assert panel.run.resume_button.text() == "Resume"
    qtbot.mouseClick(panel.run.resume_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: runner.calls == [("pause", job_id), ("resume", job_id)], timeout=3000)


def test_a_killed_process_is_told_and_its_resumption_too(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    job_id = start(qtbot, panel, runner)
    runner.tell(job_id, EventKind.PROGRESS, fraction=0.2, step="Training", iteration=5, loss=1.0)
    runner.set_state(job_id, JobState.INTERRUPTED)
    qtbot.waitUntil(lambda: "killed or lost" in panel.run.banner.text, timeout=3000)
    assert panel.run.banner.kind == "warning" and panel.run.banner.isVisible()
    runner.set_state(job_id, JobState.RUNNING)
    runner.tell(job_id, EventKind.STARTED, attempt=2, device="cpu", threads=1)
    qtbot.waitUntil(lambda: "attempt 2" in panel.run.banner.text, timeout=3000)
    qtbot.waitUntil(lambda: panel.run.title.text() == "Training", timeout=3000)


def test_a_finished_training_names_its_model_and_leads_back_to_the_form(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    job_id = start(qtbot, panel, runner)
    with qtbot.waitSignal(panel.job_finished, timeout=3000):
        runner.tell(job_id, EventKind.RESULT, model_id="r001-abc")
        runner.set_state(job_id, JobState.DONE)
    assert "r001-abc" in panel.run.step.text() and panel.run.bar.value() == 1000
    qtbot.mouseClick(panel.run.back_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.setup.start_button.isVisible() and panel.setup.start_button.isEnabled(), timeout=3000)


def test_a_failure_is_shown_in_full(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    job_id = start(qtbot, panel, runner)
    runner.tell(job_id, EventKind.FAILED, message="disk full: make room", error="StorageError", traceback="T")
    runner.set_state(job_id, JobState.FAILED, "disk full")
    qtbot.waitUntil(lambda: panel.run.banner.text == "disk full: make room", timeout=3000)
    assert panel.run.banner.kind == "error"
    assert panel.run.resume_button.text() == "Try again from the checkpoint"


def test_a_refused_start_leads_back_to_the_form_with_the_reason(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    runner.refuse = StorageError("disk full; make room")
    qtbot.mouseClick(panel.setup.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "Disk full" in panel.banner.text, timeout=3000)
    assert panel.setup.start_button.isVisible() and panel.setup.start_button.isEnabled()


def test_opening_the_panel_again_finds_the_running_training_with_its_history(qtbot, panel, study, runner):
    runner.add_job("job9", state=JobState.RUNNING)
    runner.tell("job9", EventKind.STARTED, attempt=1, device="cpu", threads=1)
    for i in range(1, 6):
        runner.tell("job9", EventKind.PROGRESS, fraction=i / 10, step="Training", iteration=i, loss=1.0)
    show(qtbot, panel, study, runner)
    qtbot.waitUntil(lambda: panel.run.job is not None and len(panel.run.progress.losses) == 5, timeout=3000)
    assert panel.run.isVisible() and panel.run.bar.value() == 500
    assert "running already" in panel.setup._obstacle


def test_a_parked_training_asks_for_decisions(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    job_id = start(qtbot, panel, runner)
    runner.tell(job_id, EventKind.PARKED, message="waits", case_ids=["unl0", "unl1"])
    runner.set_state(job_id, JobState.PARKED)
    qtbot.waitUntil(lambda: "decisions about 2" in panel.run.banner.text, timeout=3000)
    assert panel.run.resume_button.text() == "Go on with my decisions"


def choose(combo, value):
    combo.setCurrentIndex(combo.findData(value))
    assert combo.currentData() == value


def test_quality_control_needs_a_classifier_and_then_explains_what_it_would_take(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    choose(panel.setup.strategy, "alternating-crf")
    choose(panel.setup.policy, "qc")
    assert "train one first" in panel.setup.reason.text() and not panel.setup.start_button.isEnabled()
    panel.setup.set_facts(dimensions=2, has_classifier=True)
    assert panel.setup.start_button.isEnabled()
    panel.setup.policy_form.editor("n_best").setValue(7)
    qtbot.waitUntil(lambda: "None of 2 cases is scored yet" in panel.setup.selection.text(), timeout=5000)
    assert panel.setup.order().policy_parameters == {"n_best": 7}


def test_policies_bring_their_parameters_into_the_order(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    choose(panel.setup.strategy, "alternating-crf")
    choose(panel.setup.policy, "random")
    panel.setup.policy_form.editor("n").setValue(1)
    qtbot.waitUntil(lambda: panel.setup.selection.text() == "1 of 2 cases, drawn by chance.", timeout=5000)
    start(qtbot, panel, runner)
    (spec,) = runner.specs
    assert (spec.policy, dict(spec.policy_parameters)) == ("random", {"n": 1})


@pytest.mark.parametrize("entry", STRATEGIES.values(), ids=lambda e: e.name)
def test_every_strategy_appears_and_each_preset_brings_its_network(qtbot, panel, entry):
    choose(panel.setup.strategy, entry.name)
    assert panel.setup.sentence.text() == entry.sentence
    for preset in entry.presets:
        choose(panel.setup.preset, preset)
        assert panel.setup.order().network == entry.preset_network.get(preset, entry.network)
        brings = bool(entry.preset_preprocessing.get(preset))
        assert panel.setup.brought.isHidden() is not brings
        assert panel.setup.form.errors() == {}


def test_a_network_for_other_images_keeps_the_start_closed(qtbot, panel, study, runner):
    show(qtbot, panel, study, runner)
    panel.setup.set_facts(dimensions=3, has_classifier=False)
    flat = next(n for n, e in NETWORKS.items() if e.dimensions == (2,))
    choose(panel.setup.network, flat)
    assert "takes 2D images" in panel.setup.reason.text() and not panel.setup.start_button.isEnabled()


def test_several_graphics_cards_go_into_the_order(qtbot, panel, study, runner, monkeypatch):
    monkeypatch.setenv("NAPARI_SSL_GPUS", "2")
    show(qtbot, panel, study, runner)
    assert not panel.setup.processes.isHidden()
    panel.setup.processes.number.setValue(2)
    start(qtbot, panel, runner)
    assert (runner.specs[-1].processes, runner.specs[-1].device) == (2, "cuda")
