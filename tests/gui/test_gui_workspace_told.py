"""What the window tells: saves that fail, images that cannot be read, labels that arrive; driven by real events."""

import time
from pathlib import Path

import numpy as np
from gui_cases import add_model, beating_disc, propose
from gui_driver import READER, wait
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_ssl.core.decision import Verdict
from napari_ssl.errors import StorageError
from napari_ssl.io.images import read_image
from napari_ssl.study.journal import EditJournal
from napari_ssl.study.study import Study


def test_a_failed_save_is_told_and_can_be_tried_again(window, review_study, monkeypatch):
    def full(*_args, **_kwargs):
        raise StorageError("the disk is full; free some space")

    monkeypatch.setattr(window.study, "add_segmentation", full)
    window.stroke()
    window.press(Qt.Key.Key_A)
    window.wait_for("case1")
    window.wait_saved()
    assert "disk is full" in window.widget.banner.text and "strokes are kept" in window.widget.banner.text
    assert EditJournal.cases_with_edits(review_study.folder, READER) == {"case0"}
    monkeypatch.undo()
    window.widget.banner.buttons[0].click()
    window.wait_saved()
    assert review_study.decisions("case0")[-1].verdict is Verdict.CORRECT


def test_a_save_that_fails_while_the_study_is_closed_is_told(window, review_study, monkeypatch):
    def full(*_args, **_kwargs):
        time.sleep(0.2)
        raise StorageError("the disk is full; free some space")

    monkeypatch.setattr(window.study, "record", full)
    window.press(Qt.Key.Key_A)
    window.widget.set_study(None)
    assert "case0: the decision could not be saved. The disk is full" in window.widget.banner.text
    window.widget.set_study(Study.open(review_study.folder))
    window.wait_for("case0")


def test_an_unreadable_image_is_told_and_the_review_goes_on(window, review_study):
    Path(review_study.case("case2").image_path).write_bytes(b"broken")
    window.widget.reviewer.loader.forget()
    window.widget.open_case("case2")
    wait(lambda: window.widget.banner.kind == "error" and "case2" in window.widget.banner.text)
    assert window.session.loaded is None
    window.press(Qt.Key.Key_A)
    assert review_study.decisions() == []
    window.press(Qt.Key.Key_N)
    window.wait_for("case3")
    assert not window.widget.start_page.isVisible()


def test_r_asks_on_the_page_review_whatever_page_is_in_front(window, review_study):
    tabs, review = window.widget.tabs, window.widget.review
    tabs.setCurrentWidget(window.widget.training)
    window.press(Qt.Key.Key_R)
    assert tabs.currentWidget() is review and review.reasons.isVisible()
    tabs.setCurrentWidget(window.widget.models)  # the question stays open behind it
    window.press(Qt.Key.Key_1)
    assert not review_study.decisions("case0")
    window.press(Qt.Key.Key_R)
    assert tabs.currentWidget() is review and review.reasons.isVisible()
    window.press(Qt.Key.Key_R)
    assert not review.reasons.isVisible() and not review_study.decisions("case0")


def test_the_labels_of_an_unreadable_image_can_be_rejected(window, review_study):
    Path(review_study.case("case2").image_path).write_bytes(b"broken")
    window.widget.reviewer.loader.forget()
    window.widget.open_case("case2")
    wait(lambda: window.widget.banner.kind == "error" and "case2" in window.widget.banner.text)
    window.press(Qt.Key.Key_R)
    assert window.widget.review.reasons.isVisible()
    window.press(Qt.Key.Key_1)
    window.wait_for("case3")
    window.wait_saved()
    [decision] = review_study.decisions("case2")
    assert (decision.verdict, decision.reason) == (Verdict.REJECT, review_study.reject_reasons[0])
    assert decision.segmentation_id == review_study.proposal("case2").id


def test_new_labels_from_a_retrained_model_are_announced(window, review_study, tmp_path):
    add_model(review_study, tmp_path / "second", "model-2", 2)
    propose(review_study, "case0", np.roll(beating_disc(0)[1], 1, axis=2), "model-2", 0.9)
    window.widget._job_finished("job")
    wait(lambda: "model-2" in window.widget.banner.text)
    window.widget.banner.buttons[0].click()
    wait(lambda: window.session.loaded is not None and window.session.loaded.segmentation.model_id == "model-2")
    assert window.widget.reviewer.canvas.has("Previous model")


def drawn(layer) -> np.ndarray:
    """Return the pixels that napari last sliced for drawing."""
    return np.asarray(layer._slice.image.raw)  # before contours are drawn from it


def test_the_slice_drawn_after_a_change_of_case_belongs_to_the_new_case(window, review_study):
    """From another frame and slice, with the uncertainty shown: layers are reused, their old slices must not be."""
    for key in (Qt.Key.Key_I, Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Up):
        window.press(key)
    for case_id in ("case1", "case2"):
        window.press(Qt.Key.Key_N)
        window.wait_for(case_id)
        QApplication.processEvents()
        frame, z = window.session.frame, window.session.slice
        canvas = window.widget.reviewer.canvas
        image = read_image(review_study.case(case_id).image_path).data[frame, z]
        np.testing.assert_array_equal(drawn(canvas.image), image)
        proposal = review_study.read_labels(review_study.proposal(case_id))[frame, z]
        np.testing.assert_array_equal(drawn(canvas.labels) > 0, proposal > 0)
        window.press(Qt.Key.Key_Right)
        window.press(Qt.Key.Key_Up)
    window.press(Qt.Key.Key_I)
