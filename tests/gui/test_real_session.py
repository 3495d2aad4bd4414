"""A whole sitting in the real window, by mouse and keys, with the real engine and a real training process."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gui_cases import SHAPE, add_model, beating_disc, geometry_of, propose
from gui_driver import CTRL, READER, SHIFT, wait
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea, QWidget

from napari_ssl.core.case import Split
from napari_ssl.core.decision import Verdict
from napari_ssl.core.job import EventKind, JobState
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.model import ModelState
from napari_ssl.core.training import Preprocessing
from napari_ssl.io.images import write_volume
from napari_ssl.io.layouts import ImportItem
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE, stop_engine
from napari_ssl.jobs.events import EventReader
from napari_ssl.study.study import Study

pytest.importorskip("torch", reason="training needs torch")

_STEPS = 160
_EXPERTS = {"expert0": Split.TRAIN, "expert1": Split.VALIDATION, "expert2": Split.TEST}


@pytest.fixture
def sitting(workspace, tmp_path, monkeypatch):
    """The window on a study with four proposals to vet, and expert labels to train on and to measure with."""
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "engine"))
    folder = _study(tmp_path)
    workspace.widget.set_study(Study.open(folder))
    workspace.wait_for("case0")
    workspace.widget.tabs.setCurrentWidget(workspace.widget.review)  # the test before may have left another page
    workspace.canvas.setFocus()
    yield workspace
    workspace.widget.tabs.setCurrentWidget(workspace.widget.review)
    workspace.widget.set_study(None)
    stop_engine()


def _study(folder):
    geometry = geometry_of(SHAPE)
    (folder / "images").mkdir()

    def item(name, n, split, *, has_labels):
        image, labels = beating_disc(n)
        paths = [folder / "images" / f"{name}{kind}.nii.gz" for kind in ("", "_gt")]
        write_volume(paths[0], image, geometry)
        if has_labels:
            write_volume(paths[1], labels, geometry)
        return ImportItem(
            subject_id=name, case_id=name, image_path=paths[0], split=split,
            label_paths=((None, paths[1]),) if has_labels else (),
        )  # fmt: skip

    items = [item(f"case{n}", n, Split.TRAIN, has_labels=False) for n in range(4)]
    items += [item(name, n, split, has_labels=True) for n, (name, split) in enumerate(_EXPERTS.items(), start=4)]
    preprocessing = Preprocessing(crop_yx=(48, 48))
    with Study.create(folder / "study", label_scheme=PRESETS["acdc"], preprocessing=preprocessing) as study:
        report = study.add_cases(items)
        assert not report.failed, report.failed
        add_model(study, folder / "model", "model-1")
        study.promote("model-1", by="test")
        for n in range(4):
            propose(study, f"case{n}", beating_disc(n)[1], "model-1", 0.6 + 0.1 * n)
        return study.folder


def click(widget: QWidget, at: QPoint | None = None) -> None:
    """Scroll to a widget as a reader would, wait until it can be clicked, and click it."""
    parent = widget.parentWidget()
    while parent is not None:
        if isinstance(parent, QScrollArea):
            parent.ensureWidgetVisible(widget)
        parent = parent.parentWidget()
    wait(lambda: widget.isVisible() and widget.isEnabled())
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=at or widget.rect().center())
    QApplication.processEvents()


def type_into(field: QWidget, text: str) -> None:
    """Click a field, replace what stands in it and leave it with Tab."""
    click(field)
    QTest.keyClick(field, Qt.Key.Key_A, CTRL)
    QTest.keyClicks(field, text)
    QTest.keyClick(field, Qt.Key.Key_Tab)
    QApplication.processEvents()


def tab(window, panel: QWidget) -> None:
    """Click a tab's caption."""
    bar = window.widget.tabs.tabBar()
    click(bar, bar.tabRect(window.widget.tabs.indexOf(panel)).center())
    assert window.widget.tabs.currentWidget() is panel


@pytest.mark.timeout(600)
def test_a_sitting_from_opening_to_promotion_with_a_real_training(sitting):
    _page(sitting)
    _paint_and_undo_across_frames(sitting)
    _decide_and_take_back(sitting)
    _rate(sitting)
    _train_stop_and_go_on(sitting)
    _promote(sitting)


def _page(window) -> None:
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Down):
        window.press(key)
    assert (window.session.frame, window.session.slice) == (2, 2)
    window.wheel(1)
    window.wheel(-1, SHIFT)
    assert (window.session.frame, window.session.slice) == (3, 1)
    click(window.widget.queue.table.viewport(), _middle_of_row(window, "case2"))
    window.wait_for("case2")
    window.press(Qt.Key.Key_N, SHIFT)
    window.wait_for("case1")
    window.press(Qt.Key.Key_N, SHIFT)
    window.wait_for("case0")
    assert (window.session.frame, window.session.slice) == (3, 1)  # as it was left


def _middle_of_row(window, case_id: str) -> QPoint:
    table = window.widget.queue.table
    rows = [r.case_id for r in window.widget.queue.model.rows]
    return table.visualRect(table.model().index(rows.index(case_id), 0)).center()


def _paint_and_undo_across_frames(window) -> None:
    before = window.session.loaded.labels.copy()
    window.stroke()
    window.press(Qt.Key.Key_Right)
    window.drag((30, 4), (30, 9))
    assert (window.session.loaded.labels != before).any(axis=(1, 2, 3)).tolist() == [0, 0, 0, 1, 1, 0]
    window.press(Qt.Key.Key_Left)
    window.press(Qt.Key.Key_Z, CTRL)
    assert window.session.frame == 4  # undo goes to where the stroke was
    window.press(Qt.Key.Key_Z, CTRL)
    assert window.session.frame == 3 and np.array_equal(window.session.loaded.labels, before)
    window.press(Qt.Key.Key_Z, CTRL | SHIFT)
    assert window.session.is_edited


def _decide_and_take_back(window) -> None:
    study = window.study
    window.press(Qt.Key.Key_A)  # the stroke that stayed makes it a correction
    window.wait_for("case1")
    window.press(Qt.Key.Key_R)
    window.press(Qt.Key.Key_3)
    window.wait_for("case2")
    click(window.widget.review.accept_button)
    window.wait_for("case3")
    window.wait_saved()
    window.press(Qt.Key.Key_Backspace, CTRL)
    window.wait_for("case2")
    window.wait_saved()
    assert [(d.case_id, d.verdict) for d in study.decisions()] == [
        ("case0", Verdict.CORRECT),
        ("case1", Verdict.REJECT),
        ("case2", Verdict.ACCEPT),
        ("case2", Verdict.TAKE_BACK),
    ]
    assert study.decisions()[1].reason == study.reject_reasons[2]


def _rate(window) -> None:
    widget, study = window.widget, window.study
    window.press(Qt.Key.Key_K)
    wait(lambda: widget.is_rating and widget._case_is_open())
    QTest.qWait(450)  # a key at once was meant for the case before
    window.press(Qt.Key.Key_2)
    wait(lambda: len(study.ratings(reader=READER)) == 1)
    window.press(Qt.Key.Key_K)
    wait(lambda: not widget.is_rating)
    window.wait_saved()


def wait_in(run, condition) -> None:
    """Wait for a training, longer than need be, since starting torch alone takes long on a busy machine."""
    try:
        wait(condition, 200)
    except AssertionError:
        log = "\n".join(run.progress.log[-20:])
        raise AssertionError(
            f"{run.title.text()!r}, {run.step.text()!r}, {run.banner.text!r}, {run.job}\n{log}"
        ) from None


def _train_stop_and_go_on(window) -> None:
    widget = window.widget
    setup, run = widget.training.setup, widget.training.run
    tab(window, widget.training)
    setup.strategy.setFocus()
    QTest.keyClicks(setup.strategy, "Superv")
    assert setup.entry.name == "supervised"
    wait(lambda: setup._counts is not None and setup._counts.corrected == 1)  # what the reader has just corrected
    type_into(setup.form.editor("duration").amount, str(_STEPS))
    QTest.keyClicks(setup.form.editor("duration").unit, "iter")
    for form in (setup.form, setup.network_form):
        click(form.advanced.toggleButton())
    type_into(setup.form.editor("batch_size"), "2")
    type_into(setup.form.editor("validate_every"), "40")
    type_into(setup.network_form.editor("base_channels"), "2")
    click(setup.start_button)
    wait_in(run, lambda: run.job is not None and bool(run.progress.losses))
    click(run.stop_button)
    wait_in(run, lambda: run.job.state is JobState.CANCELLED)
    reached = run.progress.losses[-1][0]
    assert 0 < reached < _STEPS
    assert not [m for m in window.study.models() if m.id != "model-1"]
    click(run.resume_button)
    wait_in(run, lambda: run.job.state in (JobState.DONE, JobState.FAILED))
    assert run.job.state is JobState.DONE, run.progress.log
    told = run.progress
    assert told.losses[-1][0] == told.dice["LV"][-1][0] == _STEPS
    assert told.result["model_id"] in run.step.text()
    events = EventReader(window.study.folder / "runs" / run.job.id).read_new()
    starts = [i for i, e in enumerate(events) if e.kind is EventKind.STARTED]
    assert len(starts) == 2
    went_on = [e.data["iteration"] for e in events[starts[1] :] if e.data.get("iteration") is not None]
    assert min(went_on) >= reached  # from the checkpoint, not from the beginning


def _promote(window) -> None:
    widget, study = window.widget, window.study
    trained = widget.training.run.progress.result["model_id"]
    card = study.model_card(trained)
    assert {tuple(c[:2]) for c in card["training_cases"]} >= {("expert0", "labelled"), ("case0", "corrected")}
    tab(window, widget.models)
    wait(lambda: widget.models.selected_model() is not None and widget.models.selected_model().id == trained)
    click(widget.models.promote_button)
    click(widget.models.confirmation.confirm_button)
    wait(lambda: study.model(trained).state is ModelState.PROMOTED)
    assert study.model("model-1").state is ModelState.ARCHIVED
    events = [e["event"] for e in study.model_events(trained)]
    assert events[-1] == "promoted", json.dumps(events)
