"""Findings of the rules, QC scores and what drives them, in the whole window."""

import json

import numpy as np
import pytest
from gui_cases import add_model, beating_disc, geometry_of
from gui_driver import SHIFT, wait
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_ssl.core.case import Split
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.segmentation import Source
from napari_ssl.gui import workspace_cases
from napari_ssl.gui.pressures import PressureDialog
from napari_ssl.io.images import write_volume
from napari_ssl.io.layouts import ImportItem
from napari_ssl.measures.rules import check_segmentation
from napari_ssl.study.study import Study


@pytest.fixture
def gap_study(review_study, tmp_path):
    """case0's newest proposal lacks the middle slice in frame 3, is scored low, and the score is explained."""
    labels = beating_disc(0)[1]
    labels[3, 1] = 0
    segmentation = review_study.add_segmentation(
        "case0", labels, source=Source.REFINED, frames=range(6), model_id="model-1"
    )
    flags = check_segmentation(labels, PRESETS["acdc"], (8.0, 1.5, 1.5))
    attribution = {"LV": [0.0, 0.0, 0.1, 2.0, 0.0, -1.0], "RV": [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]}
    document = {"mean_confidence": 0.1, "flags": [f.to_dict() for f in flags]}
    review_study.set_measures(segmentation.id, {**document, "qc_explanation": {"attribution": attribution}})
    folder = tmp_path / "classifier"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"w")
    (folder / "card.json").write_text(json.dumps({"id": "qc1", "kind": "short-axis", "threshold": 0.6}))
    review_study.register_classifier(folder)
    review_study.add_score(segmentation.id, "qc1", 0.41)
    return review_study


@pytest.fixture
def gap_window(workspace, gap_study):
    workspace.widget.set_study(Study.open(gap_study.folder))
    workspace.wait_for("case0")
    workspace.canvas.setFocus()
    yield workspace
    workspace.widget.set_study(None)


def messages(window):
    return [f.message for f in window.widget.findings.flags]


def test_j_goes_to_the_frame_and_slice_of_a_finding(gap_window):
    assert any("gap" in m for m in messages(gap_window))
    gap_window.press(Qt.Key.Key_J)
    first = (gap_window.session.frame, gap_window.session.slice)
    assert first == (3, 1)
    gap_window.press(Qt.Key.Key_J)
    gap_window.press(Qt.Key.Key_J, SHIFT)
    assert (gap_window.session.frame, gap_window.session.slice) == first


def test_a_click_on_a_finding_goes_there(gap_window):
    listed = gap_window.widget.findings.list
    where = listed.visualItemRect(listed.item(0)).center()
    QTest.mouseClick(listed.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert gap_window.session.frame == 3


def test_rules_are_asked_again_after_a_correction_without_blocking(gap_window, gap_study):
    before = messages(gap_window)
    assert any("gap" in m for m in before)
    gap_window.widget.navigator.go(frame=3, slice_=0)
    gap_window.press(Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)  # copies the labels to the slice below
    assert messages(gap_window) == before  # not yet: that runs in a thread
    wait(lambda: not any("gap" in m for m in messages(gap_window)))
    wait(lambda: not gap_window.session.unverified)  # the copy was looked at, so nothing is asked
    gap_window.press(Qt.Key.Key_A)
    gap_window.wait_for("case1")
    gap_window.wait_saved()
    corrected = next(s for s in gap_study.segmentations("case0") if s.source is Source.CORRECTED)
    assert not any("gap" in f["message"] for f in gap_study.measures(corrected.id)["flags"])


def test_rules_are_asked_where_nobody_has_before(window):
    wait(lambda: window.session.loaded.rule_flags is not None)
    assert window.widget.findings.summary.text()


def test_the_score_and_its_reasons_are_on_the_curves_until_the_labels_change(gap_window):
    curves = gap_window.widget.curves
    assert "P(good)&nbsp;<b>0.41&nbsp;⚑</b>" in curves.legend.text() and "speaks&nbsp;against" in curves.legend.text()
    assert len(curves.plot._shades) == 2  # LV and RV in frame 3; what is weak or speaks for the labels is not shaded
    gap_window.widget.review.reasons_of_score.click()
    assert not curves.plot._shades and "0.41" in curves.legend.text()
    gap_window.widget.review.reasons_of_score.click()
    assert len(curves.plot._shades) == 2
    gap_window.stroke()
    wait(lambda: "P(good)" not in curves.legend.text())
    assert not curves.plot._shades
    gap_window.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    wait(lambda: "P(good)" in curves.legend.text())


def test_a_scoring_that_ends_shows_on_the_case_that_is_open(gap_window, gap_study):
    shown = gap_window.session.loaded.segmentation.id
    gap_study.add_score(shown, gap_study.scores([shown])[shown].classifier_id, 0.88)
    gap_window.widget.quality.job_finished.emit("qc-score-1")
    wait(lambda: "0.88" in gap_window.widget.curves.legend.text())


def test_the_score_is_hidden_while_the_curve_is_to_be_rated(gap_window):
    widget = gap_window.widget
    widget.rating.banner.clear()
    gap_window.press(Qt.Key.Key_K)
    wait(lambda: widget.is_rating and widget.rating.buttons[4].isEnabled())
    while gap_window.session.case_id != "case0":
        before = gap_window.session.case_id
        gap_window.press(Qt.Key.Key_N)
        wait(lambda before=before: gap_window.session.case_id not in (None, before))
    assert "P(good)" not in widget.curves.legend.text() and not widget.curves.plot._shades


def test_the_queue_shows_and_orders_by_the_score(gap_window):
    queue = gap_window.widget.queue
    queue.order.setCurrentIndex(queue.order.findData("worst-qc-first"))
    assert queue.model.rows[0].case_id == "case0"
    texts = [queue.model.index(0, c).data() for c in range(queue.model.columnCount())]
    assert "0.41 ⚑" in texts and any(str(t).startswith("⚑ ") for t in texts)
    assert not queue.table.isColumnHidden(texts.index("0.41 ⚑"))
    queue.order.setCurrentIndex(0)


def test_the_aorta_is_an_area_and_pressures_give_its_distensibility(workspace, tmp_path, monkeypatch):
    shape = (8, 1, 32, 32)
    y, x = np.mgrid[:32, :32]
    radius = 6 + np.cos(2 * np.pi * np.arange(8) / 8)
    labels = np.stack([(np.hypot(y - 16, x - 16) < r)[None] for r in radius]).astype(np.uint8)
    image = tmp_path / "aorta.nii.gz"
    write_volume(image, (100 * labels + 50).astype(np.int16), geometry_of(shape))
    with Study.create(tmp_path / "aorta", label_scheme=PRESETS["aorta"]) as study:
        item = ImportItem(subject_id="a", case_id="a", image_path=image, split=Split.TRAIN)
        assert not study.add_cases([item]).failed
        add_model(study, tmp_path / "m", "m")
        study.add_segmentation("a", labels, source=Source.MODEL, frames=range(8), model_id="m")
    widget = workspace.widget
    widget.set_study(Study.open(tmp_path / "aorta"))
    workspace.wait_for("a")
    largest = labels.sum(axis=(1, 2, 3)).max() * 1.5**2
    assert f"{largest:.0f} mm²" in widget.curves.legend.text() and "area" in widget.curves.legend.text()
    assert widget.curves.plot.getPlotItem().getAxis("left").labelText == "mm²"
    rows = {row[0]: row[1] for row in widget.curves.table.texts()}
    assert rows["Distens."] == "–" and rows["Strain"].endswith("%")

    def answer(dialog):
        dialog.systolic.setValue(60)
        assert dialog.problem.text()
        dialog.systolic.setValue(130)
        return PressureDialog.DialogCode.Accepted

    monkeypatch.setattr(workspace_cases.PressureDialog, "exec", answer)
    widget.review.pressures_button.click()
    workspace.wait_saved()
    assert workspace.study.pressures("a") == (130.0, 80.0)
    rows = {row[0]: row[1] for row in widget.curves.table.texts()}
    assert rows["Distens."].endswith("·10⁻³/mmHg")
    widget.set_study(None)
