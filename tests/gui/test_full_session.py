"""A whole sitting in the window with keys alone; `test_real_session` has mouse, engine and training, too."""

from __future__ import annotations

import json

import pytest
from gui_cases import add_model, beating_disc, propose
from gui_driver import wait
from panel_fakes import FakeRunner
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_ssl.core.job import EventKind, JobState
from napari_ssl.core.model import ModelState
from napari_ssl.gui.bridge import JobBridge

ALT = Qt.KeyboardModifier.AltModifier


@pytest.fixture
def runner(window):
    """Jobs that the test itself moves on; the panels of the window talk to it as to the engine."""
    runner = FakeRunner(window.study.folder)
    for panel in (window.widget.training, window.widget.models):
        panel.set_study(window.study, make_bridge=lambda f, p: JobBridge(f, p, make_runner=lambda _f: runner))
    yield runner
    window.widget.tabs.setCurrentWidget(window.widget.review)


def tab_to(window, widget: QWidget, within: int = 80) -> None:
    """Press Tab until a widget has the focus."""
    top = window.widget.window()
    for _ in range(within):
        if top.focusWidget() is widget:
            return
        QTest.keyClick(top.focusWidget() or top, Qt.Key.Key_Tab)
        QApplication.processEvents()
    raise AssertionError(f"Tab does not reach {widget}")


def press_here(window, key, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
    """Press a key in whatever has the focus."""
    QTest.keyClick(window.widget.window().focusWidget(), key, modifiers)
    QApplication.processEvents()


def begin_training(window, runner, click) -> str:
    training = window.widget.training
    setup = training.setup
    setup.strategy.setCurrentIndex(setup.strategy.findData("supervised"))
    wait(lambda: not training._counting.running)
    wait(setup.start_button.isEnabled)
    click(setup.start_button)
    wait(lambda: training.run.job is not None)
    job_id = training.run.job.id
    runner.set_state(job_id, JobState.RUNNING)
    runner.tell(job_id, EventKind.STARTED, attempt=1, device="cpu", threads=1)
    runner.tell(
        job_id, EventKind.PROGRESS, fraction=0.4, step="training", iteration=40, loss=0.4, seconds_left=61,
        validation_dice={"LV": 0.8, "RV": 0.7},
    )  # fmt: skip
    wait(lambda: "1 min 01 s left" in training.run.step.text())
    assert training.run.progress.dice == {"LV": [(40, 0.8)], "RV": [(40, 0.7)]}
    return job_id


def end_training(window, runner, job_id, study, folder) -> None:
    """The engine ends the training and registers the model, measured on the test cases."""
    add_model(study, folder, "model-2", round_=2)
    propose(study, "case3", beating_disc(1)[1], "model-2", 0.95)
    runner.tell(job_id, EventKind.RESULT, model_id="model-2")
    runner.set_state(job_id, JobState.DONE)
    training = window.widget.training
    wait(lambda: training.run.job.state is JobState.DONE)
    wait(lambda: "model-2" in training.run.step.text())
    wait(lambda: "model-2" in {m.id for m in window.widget.models._models})


def test_a_sitting_with_keys_alone(window, runner, review_study, tmp_path):
    widget = window.widget
    # the queue: F6 leads there, an arrow and Return open the second case
    while widget.window().focusWidget() is not widget.queue.search:
        widget.focus_next_panel()
    tab_to(window, widget.queue.table)
    press_here(window, Qt.Key.Key_Down)
    press_here(window, Qt.Key.Key_Return)
    wait(lambda: window.session.case_id in ("case0", "case1"))
    opened = window.session.case_id
    window.wait_saved()
    # judge a frame, write a comment, accept by key; reject by Tab and Space
    window.press(Qt.Key.Key_O)
    wait(lambda: bool(review_study.place_verdicts(opened)))
    tab_to(window, widget.review.comment)
    QTest.keyClicks(widget.review.comment, "apex")
    tab_to(window, widget.review.accept_button)
    press_here(window, Qt.Key.Key_Space)
    wait(lambda: bool(review_study.decisions(opened)))
    assert review_study.decisions(opened)[0].comment == "apex"
    window.wait_saved()
    wait(lambda: window.session.case_id != opened)
    second = window.session.case_id
    tab_to(window, widget.review.reject_button)
    press_here(window, Qt.Key.Key_Space)
    press_here(window, Qt.Key.Key_4)
    wait(lambda: bool(review_study.decisions(second)))
    window.wait_saved()
    # train
    window.press(Qt.Key.Key_3, ALT)

    def by_key(button):
        wait(button.isEnabled)
        tab_to(window, button)
        press_here(window, Qt.Key.Key_Space)

    job_id = begin_training(window, runner, by_key)
    by_key(widget.training.run.pause_button)
    wait(lambda: ("pause", job_id) in runner.calls)
    runner.set_state(job_id, JobState.PAUSED)
    wait(lambda: widget.training.run.resume_button.isVisible())
    by_key(widget.training.run.resume_button)
    wait(lambda: ("resume", job_id) in runner.calls)
    runner.set_state(job_id, JobState.RUNNING)
    end_training(window, runner, job_id, review_study, tmp_path / "model-2")
    # promote
    window.press(Qt.Key.Key_4, ALT)
    wait(lambda: widget.models.selected_model() is not None and widget.models.selected_model().id == "model-2")
    by_key(widget.models.promote_button)
    wait(widget.models.confirmation.confirm_button.isVisible)
    press_here(window, Qt.Key.Key_Space)  # the question has the focus
    wait(lambda: review_study.model("model-2").state is ModelState.PROMOTED)
    events = [e["event"] for e in review_study.model_events("model-2")]
    assert events[-1] == "promoted", json.dumps(events)
