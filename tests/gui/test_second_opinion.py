from __future__ import annotations

import dataclasses
import threading

import pytest
from panel_fakes import FakeRunner, add_models, make_study
from qtpy.QtCore import Qt

from napari_ssl import rounds
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.labelling_run import LabellingRun
from napari_ssl.gui.models_panel import ModelsPanel
from napari_ssl.gui.second_opinion import SecondOpinion
from napari_ssl.jobs import cohort_job


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SSL_HOME", str(tmp_path / "home"))
    with make_study(tmp_path) as study:
        add_models(study, tmp_path)
        yield study


def test_without_a_model_trained_apart_it_is_said_how_to_have_one(qtbot, study):
    box = SecondOpinion()
    qtbot.addWidget(box)
    box.show_models(study.models())  # the second began with the first
    assert not box.isHidden() and not box.isEnabled() and box.model_ids == ()
    assert "no model for it yet" in box.text() and "seed (tab Training)" in box.toolTip()
    box.setChecked(True)
    assert box.model_ids == ()
    box.show_models([])
    assert box.isHidden()


def test_word_of_a_job_that_comes_after_the_study_was_closed_is_let_go(qtbot):
    run = LabellingRun()
    qtbot.addWidget(run)
    run.set_bridge(None)
    run._attach(object())
    assert run.job is None and not run.busy


def test_a_ticked_box_lets_the_other_model_label_too(qtbot, study, monkeypatch):
    orders = []

    def order(study, **arguments):
        orders.append(arguments)
        raise rounds.StoppedByRequest

    monkeypatch.setattr(cohort_job, "prediction_spec", order)
    first, second = study.models()
    monkeypatch.setattr(type(study), "models", lambda _self: [first, dataclasses.replace(second, parents=())])
    panel = ModelsPanel()
    qtbot.addWidget(panel)
    panel.show()
    make = lambda folder, parent: JobBridge(folder, parent, make_runner=lambda f: FakeRunner(study.folder))  # noqa: E731
    panel.set_study(study, make_bridge=make)
    try:
        qtbot.waitUntil(panel.second_opinion.isEnabled, timeout=5000)
        assert second.id in panel.second_opinion.text()
        for wanted in ((), (second.id,)):
            qtbot.waitUntil(panel.relabel_button.isEnabled, timeout=5000)
            panel.relabel()
            qtbot.waitUntil(lambda: bool(orders), timeout=5000)
            assert orders.pop()["ensemble"] == wanted
            qtbot.keyClick(panel.second_opinion, Qt.Key.Key_Space)
    finally:
        panel.close_panel()
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-ssl")]
