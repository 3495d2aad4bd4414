"""Curves are rated in the whole window, with real keys."""

import csv
from datetime import UTC, datetime

import numpy as np
import pytest
from gui_cases import beating_disc, propose
from gui_driver import ALT, CTRL, READER, wait
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_ssl.core.rating import Rating
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import StorageError
from napari_ssl.gui import compat, workspace_rating
from napari_ssl.gui.keys import WHILE_RATING
from napari_ssl.study.journal import EditJournal
from napari_ssl.study.study import Study

CASES = {"case0", "case1", "case2", "case3"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """A test is faster than a person: no key comes too soon, but in the test of just that."""
    monkeypatch.setattr(workspace_rating, "TOO_SOON_S", 0.0)


def begin(window):
    window.widget.rating.banner.clear()
    window.press(Qt.Key.Key_K)
    wait(lambda: window.widget.is_rating or window.widget.rating.banner.text)
    if window.widget.is_rating:
        shown(window)
    return window.widget


def shown(window):
    wait(lambda: not window.widget.is_rating or window.widget.rating.buttons[4].isEnabled())
    return window.session.case_id


def saved(window):
    window.wait_saved()
    QApplication.processEvents()


def test_k_begins_with_a_random_case_that_plays_beside_its_curves_without_scores(window):
    widget = begin(window)
    assert widget.is_rating and widget.tabs.currentWidget() is widget.rating
    assert window.session.case_id == window.study.rating_queue(9, 0, READER)[0]
    assert widget.navigator.playing
    queue_dock, curve_dock = widget._docks
    assert not queue_dock.isVisible() and curve_dock.isVisible()
    area = compat.main_window(window.viewer).dockWidgetArea(curve_dock)
    assert area == Qt.DockWidgetArea.LeftDockWidgetArea
    legend = widget.curves.legend.text()
    assert "Myo mass" in legend and " g<" in legend
    assert not window.widget.reviewer.canvas.labels.editable
    assert "P(good)" not in widget.rating.last.text()
    place = window.session.frame
    wait(lambda: window.session.frame != place)
    window.press(Qt.Key.Key_K)
    wait(lambda: window.session.case_id == "case0")
    assert queue_dock.isVisible() and window.widget.reviewer.canvas.labels.editable
    assert compat.main_window(window.viewer).dockWidgetArea(curve_dock) == Qt.DockWidgetArea.BottomDockWidgetArea


def test_one_key_rates_and_shows_the_next_case_until_all_are_done(window, review_study):
    widget = begin(window)
    order = []
    for key in (Qt.Key.Key_4, Qt.Key.Key_0, Qt.Key.Key_1):
        order.append(shown(window))
        window.press(key)
    order.append(shown(window))
    saved(window)
    assert widget.rating.progress.text().startswith("3 of 4, ")
    assert set(order) == CASES
    window.press(Qt.Key.Key_3)
    wait(lambda: not widget.is_rating)
    saved(window)
    ratings = review_study.ratings()
    assert [(r.case_id, r.score) for r in ratings] == list(zip(order, (4, 0, 1, 3), strict=True))
    assert {r.reader for r in ratings} == {READER} and all(r.seconds >= 0 for r in ratings)
    assert {r.segmentation_id for r in ratings} == {review_study.proposal(c).id for c in CASES}
    assert widget.rating.counts.text().startswith("Done: 4 of 4")
    assert review_study.decisions() == []
    window.press(Qt.Key.Key_K)
    wait(lambda: "rated all 4 curves" in widget.rating.banner.text)


def test_the_tab_says_how_many_were_rated_before(window, review_study):
    segmentation = review_study.proposal("case0")
    review_study.add_rating(
        Rating(
            case_id="case0",
            segmentation_id=segmentation.id,
            reader=READER,
            score=3,
            seconds=9.0,
            rated_at=datetime.now(UTC),
            app_version="1",
        )
    )
    widget = window.widget
    widget.tabs.setCurrentWidget(widget.review)  # wherever the test before left it
    widget.rating.counts.clear()
    widget.tabs.setCurrentWidget(widget.review)
    widget.tabs.setCurrentWidget(widget.rating)
    wait(lambda: widget.rating.counts.text() == "You have rated 1 curve.")
    widget.set_study(Study.open(review_study.folder))  # with the tab on show
    wait(lambda: widget.rating.counts.text() == "You have rated 1 curve.")
    widget.tabs.setCurrentWidget(widget.review)


def test_the_next_case_is_read_ahead(window):
    widget = begin(window)
    following = widget._rating_session.following
    wait(lambda: following in widget.reviewer.loader._ahead)


def test_the_score_is_shown_after_the_rating_only(window, review_study, tmp_path):
    first = review_study.rating_queue(9, 0, READER)[0]
    folder = tmp_path / "classifier"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"w")
    (folder / "card.json").write_text('{"id": "qc1", "kind": "short-axis", "threshold": 0.6}')
    review_study.register_classifier(folder)
    review_study.add_score(review_study.proposal(first).id, "qc1", 0.41)
    widget = begin(window)
    assert "0.41" not in widget.rating.last.text()
    window.press(Qt.Key.Key_4)
    saved(window)
    wait(lambda: "0.41" in widget.rating.last.text())
    assert first in widget.rating.last.text() and "disagree" in widget.rating.last.text()


def test_a_second_press_does_not_rate_the_case_that_just_came(window, review_study, monkeypatch):
    monkeypatch.setattr(workspace_rating, "TOO_SOON_S", 60.0)
    begin(window)
    window.press(Qt.Key.Key_4)
    window.press(Qt.Key.Key_7)
    saved(window)
    assert review_study.ratings() == []


def test_the_last_rating_is_taken_back_and_its_case_shown_again(window, review_study):
    widget = begin(window)
    first = shown(window)
    window.press(Qt.Key.Key_2)
    second = shown(window)
    saved(window)
    window.press(Qt.Key.Key_Backspace, CTRL)
    wait(lambda: window.session.case_id == first and widget.rating.buttons[4].isEnabled())
    [rating] = review_study.ratings()
    assert rating.taken_back and widget.rating.progress.text() == "0 of 4"
    window.press(Qt.Key.Key_3)
    assert shown(window) == second
    saved(window)
    assert [r.score for r in review_study.ratings() if not r.taken_back] == [3]


def test_keys_that_decide_or_paint_do_nothing_while_rating(window, review_study):
    widget = begin(window)
    case_id = window.session.case_id
    for key, modifiers in ((Qt.Key.Key_A, None), (Qt.Key.Key_R, None), (Qt.Key.Key_P, None), (Qt.Key.Key_D, ALT)):
        window.press(key, modifiers or Qt.KeyboardModifier.NoModifier)
    window.drag((4, 4), (4, 8))
    saved(window)
    assert (window.session.case_id, review_study.decisions()) == (case_id, [])
    assert not window.session.is_edited and str(widget.reviewer.canvas.labels.mode) == "pan_zoom"
    assert "is for the review" in widget.rating.banner.text
    assert not {"accept", "reject", "save", "brush", "copy_up", "set_ed"} & WHILE_RATING


def test_skipping_puts_a_case_at_the_end_and_another_tab_leaves(window):
    widget = begin(window)
    first = window.session.case_id
    window.press(Qt.Key.Key_N)
    assert shown(window) != first
    assert widget._rating_session.drawn[-1] == first
    widget.tabs.setCurrentWidget(widget.review)
    assert not widget.is_rating and not widget.navigator.playing


def test_the_mouse_rates_too(window, review_study):
    widget = begin(window)
    case_id = window.session.case_id
    QTest.mouseClick(widget.rating.buttons[3], Qt.MouseButton.LeftButton)
    shown(window)
    saved(window)
    assert [(r.case_id, r.score) for r in review_study.ratings()] == [(case_id, 3)]


def test_progress_goes_on_where_it_was_left(window, review_study):
    for case_id in review_study.rating_queue(2, 0, READER):
        number = review_study.proposal(case_id).id
        review_study.add_rating(rating_of(case_id, number))
    widget = begin(window)
    assert widget.rating.progress.text() == "2 of 4"


def rating_of(case_id, number):
    return Rating(
        case_id=case_id,
        segmentation_id=number,
        reader=READER,
        score=4,
        seconds=9.0,
        rated_at=datetime.now(UTC),
        app_version="1",
    )


def test_a_rating_that_cannot_be_saved_is_offered_again(window, review_study, monkeypatch):
    widget = begin(window)
    study, real = window.study, Study.add_rating
    monkeypatch.setattr(Study, "add_rating", lambda self, rating: (_ for _ in ()).throw(StorageError("disk full")))
    window.press(Qt.Key.Key_4)
    wait(lambda: "Disk full" in widget.rating.banner.text)
    monkeypatch.setattr(Study, "add_rating", real)
    [again] = widget.rating.banner.buttons
    again.click()
    saved(window)
    assert len(study.ratings()) == 1


def test_proposals_are_rated_not_corrections_and_unsaved_strokes_keep_a_case_out(window, review_study):
    first, second = review_study.rating_queue(2, 0, READER)
    labels = beating_disc(1)[1]
    review_study.add_segmentation(first, labels[:, ::-1], source=Source.CORRECTED, frames=range(6), reader=READER)
    base = review_study.proposal(second).label_hash
    EditJournal(review_study.folder, second, base, READER).append(
        0, np.arange(3), labels[0].reshape(-1)[:3], labels[0].reshape(-1)[:3]
    )
    widget = begin(window)
    assert window.session.case_id == first
    assert window.session.loaded.segmentation.id == review_study.proposal(first).id
    assert second not in widget._rating_session.drawn


def test_strokes_that_were_all_undone_keep_no_case_out(window, review_study):
    window.stroke()
    wait(lambda: window.session.is_edited)
    window.press(Qt.Key.Key_Z, CTRL)
    wait(lambda: not window.session.is_edited)
    widget = begin(window)
    assert "case0" in widget._rating_session.drawn


def test_without_anything_to_rate_it_says_why(window, review_study, monkeypatch):
    monkeypatch.setattr(Study, "rating_queue", lambda *_: [])
    widget = begin(window)
    assert not widget.is_rating
    assert "import more images" in widget.rating.banner.text and "no model has learned" in widget.rating.banner.text


def test_ratings_go_to_a_table_and_come_from_one(window, review_study, tmp_path, monkeypatch):
    case_id = review_study.rating_queue(1, 0, READER)[0]
    review_study.add_rating(rating_of(case_id, review_study.proposal(case_id).id))
    out = tmp_path / "mine.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(out), ""))
    panel = window.widget.rating
    panel.export_button.click()
    wait(lambda: "written" in panel.banner.text)
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["case"], r["reader"], r["score"]) for r in rows] == [(case_id, READER, "4")]
    out.write_text(out.read_text().replace(READER, "Dr Other"))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(out), ""))
    panel.import_button.click()
    wait(lambda: "1 ratings imported" in panel.banner.text or "1 rating imported" in panel.banner.text)
    assert {r.reader for r in review_study.ratings()} == {READER, "Dr Other"}
    out.write_text("case,reader\n")
    panel.import_button.click()
    wait(lambda: "column" in panel.banner.text)


def test_a_new_proposal_is_rated_anew(window, review_study):
    case_id = review_study.rating_queue(1, 0, READER)[0]
    review_study.add_rating(rating_of(case_id, review_study.proposal(case_id).id))
    propose(review_study, case_id, beating_disc(2)[1][:, :, ::-1], "model-1", 0.8)
    assert case_id in review_study.rating_queue(9, 0, READER)
