"""Judging in detail: frames and slices, history, reasons, subjects, two models on a case, the tour."""

from __future__ import annotations

import numpy as np
import pytest
from gui_cases import add_model, beating_disc, propose
from gui_driver import ALT, CTRL, READER, SHIFT, wait
from qtpy.QtCore import Qt
from qtpy.QtGui import QPalette
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QScrollArea

from napari_ssl.core.decision import PlaceJudgement, Verdict
from napari_ssl.gui.history_dialog import HistoryDialog
from napari_ssl.gui.model_view import labels_of_model
from napari_ssl.gui.reasons_dialog import ReasonsDialog
from napari_ssl.gui.subject_dialog import SubjectDialog, subject_text


@pytest.fixture
def places(window):
    panel = window.widget.review.places
    wait(lambda: panel.grid.isEnabled() and window.widget.reviewer.saver.n_running == 0)
    return panel


def _standing(study, case_id="case0"):
    return {(v.frame, v.slice): v for v in study.place_verdicts(case_id)}


def test_keys_judge_the_slice_and_the_frame_on_screen(window, places, review_study):
    window.press(Qt.Key.Key_Right)
    places.reason.setCurrentIndex(2)
    places.comment.setText("base")
    window.press(Qt.Key.Key_O)
    window.press(Qt.Key.Key_Right)
    window.press(Qt.Key.Key_Y, ALT)
    window.wait_saved()
    found = _standing(review_study)
    wrong, good = found[1, 1], found[2, None]
    assert (wrong.verdict, wrong.reader, wrong.comment) == (PlaceJudgement.WRONG, READER, "base")
    assert wrong.reason == review_study.reject_reasons[1] and good.reason == "" and good.comment == ""
    assert wrong.label_hash == window.session.loaded.segmentation.label_hash
    wait(lambda: places.grid.verdict_on((1, 1)) is PlaceJudgement.WRONG)
    assert "1 wrong, 1 good" in places.told.text()


def test_saying_it_again_takes_it_back(window, places, review_study):
    window.press(Qt.Key.Key_O)
    wait(lambda: places.grid.verdict_on((0, 1)) is not None)
    window.press(Qt.Key.Key_O)
    wait(lambda: places.grid.verdict_on((0, 1)) is None)
    assert not _standing(review_study)
    assert len(review_study.place_verdicts("case0", standing=False)) == 2


def test_a_click_goes_there_and_a_double_click_says_wrong(window, places, review_study):
    grid = places.grid
    point = grid.cell(4, 2).center().toPoint()
    QTest.mouseClick(grid, Qt.MouseButton.LeftButton, pos=point)
    assert window.widget.navigator.place == (4, 2)
    QTest.mouseDClick(grid, Qt.MouseButton.LeftButton, pos=point)
    wait(lambda: grid.verdict_on((4, 2)) is PlaceJudgement.WRONG)
    QTest.mouseDClick(grid, Qt.MouseButton.LeftButton, pos=grid.cell(3, None).center().toPoint())
    wait(lambda: grid.verdict_on((3, None)) is PlaceJudgement.WRONG, 3)
    assert set(_standing(review_study)) == {(4, 2), (3, None)}


def test_the_grid_is_used_by_arrows_and_letters(window, places):
    grid = places.grid
    grid.setFocus()
    QTest.keyClick(grid, Qt.Key.Key_Right)
    QTest.keyClick(grid, Qt.Key.Key_Up)
    assert window.widget.navigator.place == (1, 0)
    QTest.keyClick(grid, Qt.Key.Key_Up)
    assert grid.place == (1, None) and "whole" not in grid.accessibleDescription()
    QTest.keyClick(grid, Qt.Key.Key_Y)
    wait(lambda: grid.verdict_on((1, None)) is PlaceJudgement.GOOD)
    QTest.keyClick(grid, Qt.Key.Key_Delete)
    wait(lambda: grid.verdict_on((1, None)) is None)


def test_labels_with_unsaved_strokes_are_not_judged(window, places, review_study):
    window.stroke()
    window.press(Qt.Key.Key_O)
    assert "save or revert" in places.told.text()
    assert not _standing(review_study)


def test_verdicts_come_back_with_the_case_but_not_with_other_labels(window, places, review_study):
    window.press(Qt.Key.Key_O)
    wait(lambda: places.grid.verdict_on((0, 1)) is not None)
    window.press(Qt.Key.Key_N)
    window.wait_for("case1")
    wait(lambda: places.grid.verdict_on((0, 1)) is None)
    window.press(Qt.Key.Key_N, SHIFT)
    window.wait_for("case0")
    wait(lambda: places.grid.verdict_on((0, 1)) is PlaceJudgement.WRONG)
    window.stroke()
    window.press(Qt.Key.Key_Return, CTRL)
    window.wait_saved()
    wait(lambda: places.grid.verdict_on((0, 1)) is None)


def _history(window) -> HistoryDialog:
    window.press(Qt.Key.Key_H, SHIFT)
    wait(lambda: any(isinstance(w, HistoryDialog) and w.isVisible() for w in QApplication.topLevelWidgets()))
    return next(w for w in QApplication.topLevelWidgets() if isinstance(w, HistoryDialog) and w.isVisible())


def test_any_own_decision_is_taken_back_from_the_history(window, review_study):
    window.press(Qt.Key.Key_A)
    window.wait_for("case1")
    window.press(Qt.Key.Key_A)
    window.wait_for("case2")
    window.wait_saved()
    window.widget.open_case("case0")
    window.wait_for("case0")
    dialog = _history(window)
    texts = [" ".join(row.texts) for row in dialog._rows]
    assert "accepted" in texts[0] and READER in texts[0] and "model-1" in texts[1]
    QTest.mouseClick(dialog.take_back_button, Qt.MouseButton.LeftButton)
    wait(lambda: "back" in dialog._rows[0].what)
    assert review_study.decisions("case0")[-1].verdict is Verdict.TAKE_BACK
    assert review_study.decisions("case1")[-1].verdict is Verdict.ACCEPT  # the last decision stands
    assert dialog._rows[1].taken_back and not dialog.take_back_button.isEnabled()
    dialog.close()
    window.wait_saved()


def test_a_line_that_was_taken_back_is_read_on_the_dialogs_ground(window, review_study):
    window.press(Qt.Key.Key_A)
    window.wait_for("case1")
    window.wait_saved()
    window.press(Qt.Key.Key_Backspace, CTRL)
    window.wait_for("case0")
    window.wait_saved()
    dialog = _history(window)
    (gone,) = [i for i, row in enumerate(dialog._rows) if row.taken_back]
    ground = dialog.palette().color(QPalette.ColorRole.Window).lightness()
    assert abs(dialog.table.item(gone, 0).foreground().color().lightness() - ground) > 80
    dialog.close()


def test_an_earlier_version_of_the_labels_can_be_looked_at(window, review_study):
    first = review_study.current("case0", READER)
    window.stroke()
    window.press(Qt.Key.Key_Return, CTRL)
    window.wait_saved()
    dialog = _history(window)
    row = next(i for i, r in enumerate(dialog._rows) if r.segmentation_id == first.id)
    dialog.table.selectRow(row)
    QTest.mouseClick(dialog.show_button, Qt.MouseButton.LeftButton)
    wait(lambda: window.session.loaded is not None and window.session.loaded.segmentation.id == first.id)
    assert np.array_equal(window.session.loaded.labels, review_study.read_labels(first))


def test_other_reasons_are_offered_at_once(window, review_study):
    widget = window.widget
    dialog = ReasonsDialog(widget.study.reject_reasons, ("a", "b"), lambda _r: None, widget)
    assert dialog.text.toPlainText().splitlines() == list(review_study.reject_reasons)
    buttons = dialog.findChild(QDialogButtonBox)
    QTest.mouseClick(buttons.buttons()[-1], Qt.MouseButton.LeftButton)
    assert dialog.text.toPlainText() == "a\nb"
    dialog.deleteLater()


def test_sex_and_body_give_normal_ranges_and_values_per_m2(window, review_study):
    widget = window.widget
    before = widget.curves.table.texts()
    review_study.set_subject("case0", sex="M", height_cm=180, weight_kg=80)
    widget._read_subjects()
    wait(lambda: "/m²" in widget.curves.table.texts()[0])
    assert widget.curves.width() < 780  # the window is 1280 pixels wide: units move away, the normal ranges stay
    rows = {row[0]: row[1:] for row in widget.curves.table.texts()}
    old = {row[0]: row[1:] for row in before}
    assert rows["EDV ml"][0].startswith("↓")  # a disc of 12 ml is no man's heart
    assert f"{rows['EDV ml'][0].removeprefix('↓ ')} ml" == old["EDV"][0]
    assert rows["EDV ml"][2] == "103–229"
    assert widget.review.subject_button.text() == "male · 180 cm · 80 kg · 2.00 m²"
    tips = [cell.toolTip() for cell in widget.curves.table._cells.values()]
    assert any("Petersen et al." in tip and "doi" in tip for tip in tips)


def test_the_dialog_of_a_subject_gives_what_was_entered(qapp, review_study):
    dialog = SubjectDialog(review_study.subject("case0"))
    assert dialog.values == {"sex": None, "height_cm": None, "weight_kg": None, "birth_year": None}
    dialog.sex.setCurrentIndex(1)
    dialog.height_cm.setValue(169)
    dialog.weight_kg.setValue(64)
    assert dialog.values == {"sex": "F", "height_cm": 169.0, "weight_kg": 64.0, "birth_year": None}
    assert dialog.surface.text() == "1.73 m²"
    assert subject_text(review_study.set_subject("case0", **dialog.values)) == "female · 169 cm · 64 kg · 1.73 m²"
    dialog.deleteLater()


def test_a_case_is_shown_as_two_models_label_it_and_nothing_can_be_decided(window, review_study, tmp_path):
    add_model(review_study, tmp_path / "model-2", "model-2", round_=2)
    other = beating_disc(2)[1]
    propose(review_study, "case3", other, "model-2", 0.9)
    assert np.array_equal(labels_of_model(review_study, "model-2", "case3")[0], other)
    widget = window.widget
    widget.models.case_chosen.emit("case3", "model-1", "model-2")
    window.wait_for("case3")
    loaded = window.session.loaded
    assert np.array_equal(loaded.labels, other)
    assert np.array_equal(loaded.previous, beating_disc(3)[1])
    assert widget.reviewer.canvas.is_shown("Previous model")
    assert "yellow contour model-1" in widget.banner.text
    assert not widget.review.accept_button.isEnabled()
    window.press(Qt.Key.Key_A)
    window.stroke()
    assert not review_study.decisions() and not window.session.is_edited
    widget.open_case("case0")
    window.wait_for("case0")
    assert widget.review.accept_button.isEnabled() and not widget.reviewer.looks_only


def test_models_of_which_nothing_is_kept_say_what_to_do(window):
    window.widget.models.case_chosen.emit("case0", "model-1", "model-9")
    wait(lambda: "model-9" in window.widget.banner.text)
    assert window.session.case_id == "case0"


def test_the_tour_points_at_each_part_and_is_driven_by_keys(window):
    widget = window.widget
    window.press(Qt.Key.Key_F1)
    tour = widget.tour
    assert tour.is_running and tour.index == 0
    titles = [tour.bubble.title.text()]
    assert not tour.bubble.back_button.isEnabled()
    for _ in range(7):
        QTest.keyClick(tour.bubble, Qt.Key.Key_Right)
        titles.append(tour.bubble.title.text())
        window_box = tour.bubble.parentWidget().rect()
        assert window_box.contains(tour.bubble.geometry())
    assert len(set(titles)) == 8 and tour.bubble.next_button.text() == "&Done"
    QTest.keyClick(tour.bubble, Qt.Key.Key_Left)
    assert tour.index == 6 and widget.tabs.currentWidget() is widget.models
    QTest.keyClick(tour.bubble, Qt.Key.Key_A)  # decides nothing behind the bubble
    assert not widget.study.decisions()
    QTest.keyClick(tour.bubble, Qt.Key.Key_Escape)
    assert not tour.is_running
    widget.tabs.setCurrentWidget(widget.review)


def test_parts_of_the_window_are_reached_by_keys(window):
    widget = window.widget
    for i, panel in enumerate((widget.review, widget.rating, widget.training, widget.models, widget.quality), 1):
        window.press(getattr(Qt.Key, f"Key_{i}"), Qt.KeyboardModifier.AltModifier)
        assert widget.tabs.currentWidget() is panel
    window.press(Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
    window.canvas.setFocus()
    seen = []
    for _ in range(4):
        widget.focus_next_panel()
        QApplication.processEvents()
        focus = widget.window().focusWidget()
        seen.append(
            next(n for n, part in (("queue", widget.queue), ("curves", widget.curves), ("tabs", widget.tabs),
                                   ("canvas", window.canvas)) if focus is part or part.isAncestorOf(focus))
        )  # fmt: skip
    assert set(seen) == {"queue", "curves", "tabs", "canvas"}


def test_nothing_of_the_panel_is_cut_in_a_window_of_1280_pixels(window):
    for _ in range(20):
        QApplication.processEvents()
    area = window.widget.review.findChild(QScrollArea)
    assert window.widget.width() <= 380, "the window of the tests is 1280 pixels wide"
    assert area.widget().minimumSizeHint().width() <= area.viewport().width()
