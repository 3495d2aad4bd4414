import json
import threading
from datetime import UTC, datetime

import pytest
from panel_fakes import FakeRunner
from qtpy.QtCore import Qt

from napari_ssl.core.job import EventKind, JobState
from napari_ssl.core.rating import Rating
from napari_ssl.gui import quality_facts
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.quality_panel import QualityPanel
from napari_ssl.measures.drift import DriftAlarm, DriftReport, RoundRecord
from napari_ssl.study.study import Study

METRICS = {
    "n": 100,
    "auc": 0.95,
    "sensitivity": 0.96,
    "specificity": 0.82,
    "intervals": {"auc": [0.9, 0.98]},
    "calibration": {"bins": [{"stated": 0.2, "observed": 0.1, "n": 5}], "expected_error": 0.03},
    "roc": {"false_alarms": [0.0, 0.18, 1.0], "sensitivity": [0.0, 0.96, 1.0]},
}


def add_classifier(study, folder, rated=0):
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"w")
    card = {"id": "qc1", "kind": "short-axis", "threshold": 0.6, "metrics": {"all": METRICS}}
    card |= {"evidence": {"rated": rated, "decided": 2, "simulated": 800}, "weights_hash": "0" * 64}
    (folder / "card.json").write_text(json.dumps(card))
    study.register_classifier(folder)


def rate(study, case_id, reader, score):
    study.add_rating(
        Rating(
            case_id=case_id,
            segmentation_id=study.proposal(case_id).id,
            reader=reader,
            score=score,
            seconds=10.0,
            rated_at=datetime.now(UTC),
            app_version="1",
        )
    )


@pytest.fixture
def runner(review_study):
    return FakeRunner(review_study.folder)


@pytest.fixture
def panel(qtbot):
    panel = QualityPanel()
    qtbot.addWidget(panel)
    panel.resize(360, 700)
    panel.show()
    yield panel
    panel.close_panel()
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-ssl")]


def show(qtbot, panel, study, runner):
    panel.set_study(study, make_bridge=lambda folder, parent: JobBridge(folder, parent, make_runner=lambda f: runner))
    qtbot.waitUntil(lambda: not panel._reading.running, timeout=5000)


def test_before_anything_it_says_what_to_do(qtbot, panel, review_study, runner):
    assert panel.ratings.text() == "Open a study first." and not panel.train_button.isEnabled()
    show(qtbot, panel, review_study, runner)
    assert "Rate curves in the tab Rate" in panel.ratings.text()
    assert panel.classifier.text() == "No classifier yet." and not panel.plot.isVisible()
    assert panel.train_button.isEnabled() and not panel.score_button.isEnabled()
    assert "train one first" in panel.reason.text()


def test_ratings_agreement_classifier_and_scores_are_told(qtbot, panel, review_study, runner, tmp_path):
    for number, (mine, other) in enumerate(((4, 4), (1, 2), (3, 1), (0, 4))):
        rate(review_study, f"case{number}", "Dr A", mine)
        rate(review_study, f"case{number}", "Dr B", other)
    add_classifier(review_study, tmp_path / "qc", rated=5)
    review_study.add_score(review_study.proposal("case0").id, "qc1", 0.3)
    show(qtbot, panel, review_study, runner)
    assert "8 ratings: 4 good, 3 erroneous, 1 not readable (Dr A 4, Dr B 4), 10 s each." in panel.ratings.text()
    assert "κ 0.33" in panel.agreement.text() and "2 to settle" in panel.agreement.text()
    told = panel.classifier.text()
    assert "5 rated, 2 decided and 800 simulated" in told and "AUC 0.950 (0.900 to 0.980)" in told
    assert "flagged below P(good) 0.60" in told and "finds 96 %" in told and "passes 82 %" in told
    assert panel.plot.isVisible() and panel.plot.point.getData()[1].tolist() == [0.96]
    assert panel.scores.text().startswith("1 of 4 proposals scored, 1 flagged")


def test_figures_without_ratings_are_declared_as_such(qtbot, panel, review_study, runner, tmp_path):
    add_classifier(review_study, tmp_path / "qc")
    show(qtbot, panel, review_study, runner)
    assert "No rating is behind these figures" in panel.classifier.text()


def test_training_is_a_job_with_progress_and_offers_to_score(qtbot, panel, review_study, runner):
    finished = []
    panel.job_finished.connect(finished.append)
    show(qtbot, panel, review_study, runner)
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.jobs.job is not None, timeout=5000)
    [spec] = runner.specs
    assert spec.to_dict()["kind"] == "qc-train" and not panel.train_button.isEnabled()
    job_id = panel.jobs.job.id
    runner.set_state(job_id, JobState.RUNNING)
    runner.tell(job_id, EventKind.PROGRESS, step="cross-validation: fold 1 of 5", fraction=0.3)
    qtbot.waitUntil(lambda: panel.jobs.bar.value() == 300, timeout=5000)
    assert panel.jobs.text.text().startswith("Cross-validation")
    runner.set_state(job_id, JobState.DONE)
    qtbot.waitUntil(lambda: finished == [job_id], timeout=5000)
    assert "ready" in panel.banner.text and [b.text() for b in panel.banner.buttons] == ["Score proposals"]


def test_a_stopped_job_can_go_on_where_it_was(qtbot, panel, review_study, runner):
    show(qtbot, panel, review_study, runner)
    qtbot.mouseClick(panel.train_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.jobs.job is not None, timeout=5000)
    job_id = panel.jobs.job.id
    runner.set_state(job_id, JobState.CANCELLED)
    qtbot.waitUntil(lambda: "was stopped" in panel.banner.text and panel.train_button.isEnabled(), timeout=5000)
    [go_on] = panel.banner.buttons
    qtbot.mouseClick(go_on, Qt.MouseButton.LeftButton)
    assert panel.jobs.busy and not panel.train_button.isEnabled()
    qtbot.waitUntil(lambda: ("resume", job_id) in runner.calls, timeout=5000)
    runner.set_state(job_id, JobState.RUNNING)
    qtbot.waitUntil(lambda: panel.jobs.job.state is JobState.RUNNING, timeout=5000)
    runner.set_state(job_id, JobState.DONE)
    qtbot.waitUntil(lambda: "ready" in panel.banner.text and not panel.jobs.busy, timeout=5000)


def test_an_order_that_cannot_be_made_is_told(qtbot, panel, review_study, runner, tmp_path):
    add_classifier(review_study, tmp_path / "qc")
    show(qtbot, panel, review_study, runner)
    qtbot.mouseClick(panel.score_button, Qt.MouseButton.LeftButton)  # the small proposals have no stored curves
    qtbot.waitUntil(lambda: "no proposal with curves" in panel.banner.text.lower(), timeout=5000)
    assert panel.score_button.isEnabled()


def test_drift_raises_an_alarm(qtbot, panel, review_study, runner, monkeypatch):
    alarm = DriftAlarm(round=2, model_id="m2", kind="flagged", message="Round 2: quality control flags 40 %.")
    record = RoundRecord(round=2, model_id="m2")
    report = DriftReport(rounds=(record,), alarms=(alarm,), stop=True, advice="Stop: keep model m1.")
    monkeypatch.setattr(quality_facts, "study_drift", lambda _study: report)
    raised = []
    panel.alarm_raised.connect(raised.append)
    show(qtbot, panel, review_study, runner)
    assert raised == ["Round 2: quality control flags 40 %. Stop: keep model m1."]
    assert panel.alarm.isVisible() and panel.alarm.kind == "error"


def test_a_study_open_for_reading_shows_all_and_starts_nothing(qtbot, panel, review_study):
    with Study.open(review_study.folder, read_only=True) as closed:
        panel.set_study(closed)
        qtbot.waitUntil(lambda: not panel._reading.running, timeout=5000)
        assert not panel.train_button.isEnabled() and "reading only" in panel.reason.text()
        panel.close_panel()
