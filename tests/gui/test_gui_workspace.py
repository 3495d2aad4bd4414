"""The whole window, driven by real key presses and mouse events."""

import numpy as np
import pytest
from gui_cases import add_model
from gui_driver import ALT, CTRL, READER, SHIFT, wait
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_ssl.core.case import Split
from napari_ssl.core.decision import ReviewState, Verdict
from napari_ssl.core.segmentation import Source
from napari_ssl.gui import compat
from napari_ssl.gui.loaded_case import load_case
from napari_ssl.gui.session import ReviewSession
from napari_ssl.gui.view_memory import ViewMemory
from napari_ssl.io.layouts import ImportItem
from napari_ssl.study.journal import EditJournal
from napari_ssl.study.study import Study


def test_opens_the_least_confident_case_at_end_diastole(window):
    assert window.viewer.title.endswith("study")
    assert window.session.frame == 0
    assert window.session.slice == 1
    layer = window.widget.reviewer.canvas.labels
    assert tuple(layer.scale) == (1.0, 8.0, 1.5, 1.5)
    assert tuple(layer.axis_labels) == ("t", "z", "y", "x")
    assert not any(dock.isVisible() for dock in compat.napari_docks(window.viewer))


def test_a_accepts_saves_and_goes_to_the_next_case(window, review_study):
    window.press(Qt.Key.Key_A)
    window.wait_for("case1")
    window.wait_saved()
    [decision] = review_study.decisions("case0")
    assert (decision.verdict, decision.reader) == (Verdict.ACCEPT, READER)
    assert window.widget.queue.model.rows[0].state is ReviewState.ACCEPTED


def test_keys_work_before_the_first_click(window):
    """Qt gives the focus of a new window to napari's widget around the canvas."""
    QTest.keyClick(compat.viewer_widget(window.viewer), Qt.Key.Key_N)
    window.wait_for("case1")


def test_before_proposals_a_model_that_is_ready_is_named(workspace, review_study, tmp_path):
    case = review_study.cases()[0]
    item = ImportItem(subject_id="new", case_id="new", image_path=case.image_path, split=Split.TRAIN)
    with Study.create(tmp_path / "other", label_scheme=review_study.label_scheme) as study:
        study.add_cases([item])
        add_model(study, tmp_path / "model-7", "model-7")
        study.promote("model-7", by=READER)
    workspace.widget.set_study(Study.open(tmp_path / "other"))
    page = workspace.widget.start_page
    wait(lambda: "model-7 is ready" in page.text)
    QTest.mouseClick(page.buttons[0], Qt.MouseButton.LeftButton)
    assert workspace.widget.tabs.currentWidget() is workspace.widget.models
    workspace.widget.tabs.setCurrentWidget(workspace.widget.review)
    workspace.widget.set_study(None)


def test_a_tab_that_comes_up_shows_what_others_did_meanwhile(window, review_study, tmp_path):
    add_model(review_study, tmp_path / "model-8", "model-8", round_=2)
    widget = window.widget
    widget.tabs.setCurrentWidget(widget.models)
    wait(lambda: "model-8" in {m.id for m in widget.models._models})
    widget.tabs.setCurrentWidget(widget.review)


def test_naparis_hints_about_keys_that_the_workspace_claims_are_not_shown(window):
    window.press(Qt.Key.Key_P)
    window.press(Qt.Key.Key_Z)
    assert window.viewer.help and window.viewer.window._status_bar._help.text() == ""


def test_a_decision_of_the_same_reader_in_another_window_is_told(window, review_study):
    other = ReviewSession(review_study, READER)
    other.open(load_case(review_study, "case0", READER))
    other.order(Verdict.ACCEPT).run(review_study)
    window.stroke()
    window.widget.reviewer.refresh_rows()
    wait(lambda: "in another window" in window.widget.banner.text)
    assert "case0" in window.widget.banner.text and window.session.is_edited


def test_rows_that_were_read_before_a_decision_do_not_undo_it_on_screen(window, review_study, monkeypatch):
    reviewer = window.widget.reviewer
    stale = review_study.queue_rows(READER)
    monkeypatch.setattr(reviewer.saver, "run", lambda work, done, failed: done(stale))
    reviewer._saving.add("case0")
    window.widget.queue.set_state("case0", ReviewState.ACCEPTED)
    reviewer.refresh_rows()
    state = {row.case_id: row.state for row in window.widget.queue.model.rows}["case0"]
    reviewer._saving.discard("case0")
    assert state is ReviewState.ACCEPTED


def test_accepting_all_ends_with_a_message(window, review_study):
    for following in ("case1", "case2", "case3"):
        window.press(Qt.Key.Key_A)
        window.wait_for(following)
    window.press(Qt.Key.Key_A)
    window.wait_saved()
    assert "decided" in window.widget.banner.text
    assert len(review_study.decisions()) == 4


def test_a_painted_stroke_is_journalled_measured_and_saved_by_accepting(window, review_study):
    curve = window.widget.curves
    before = curve._curves["RV"].volume_ml[0]
    window.stroke()
    labels = window.session.loaded.labels
    assert labels[0, 1, 4, 4] == 1
    assert EditJournal.cases_with_edits(review_study.folder, READER) == {"case0"}
    wait(lambda: curve._curves["RV"].volume_ml[0] > before)
    painted = labels.copy()
    window.press(Qt.Key.Key_A)
    window.wait_for("case1")
    window.wait_saved()
    [decision] = review_study.decisions("case0")
    assert decision.verdict is Verdict.CORRECT
    stored = review_study.segmentation(decision.segmentation_id)
    assert np.array_equal(review_study.read_labels(stored), painted)
    assert not EditJournal.cases_with_edits(review_study.folder, READER)
    assert review_study.measures(stored.id)["indices"]["lv_ef_percent"] > 0


def test_ctrl_enter_saves_and_stays(window, review_study):
    window.stroke()
    window.press(Qt.Key.Key_Return, CTRL)
    window.wait_saved()
    assert window.session.case_id == "case0"
    assert not window.session.is_edited
    assert review_study.current("case0", READER).source is Source.CORRECTED


def test_r_then_a_digit_rejects_with_that_reason(window, review_study):
    window.press(Qt.Key.Key_R)
    assert window.widget.review.reasons.isVisible()
    window.press(Qt.Key.Key_2)
    window.wait_for("case1")
    window.wait_saved()
    [decision] = review_study.decisions("case0")
    assert (decision.verdict, decision.reason) == (Verdict.REJECT, review_study.reject_reasons[1])


def test_a_digit_alone_rejects_nothing_and_chooses_no_tool_of_napari(window, review_study):
    """For napari 1 is the eraser and 7 moves the labels over the image."""
    layer = window.widget.reviewer.canvas.labels
    for key in (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_7):
        window.press(key)
        assert str(layer.mode) == "pan_zoom"
    assert review_study.decisions() == []
    assert window.session.case_id == "case0"


def test_escape_takes_the_question_for_a_reason_back(window, review_study):
    window.press(Qt.Key.Key_R)
    window.press(Qt.Key.Key_Escape)
    assert window.widget.review.reasons.isHidden()
    window.press(Qt.Key.Key_2)
    assert review_study.decisions() == []


def test_a_stroke_halts_the_cine(window):
    window.press(Qt.Key.Key_P, SHIFT)
    wait(lambda: window.session.frame != 0)
    window.press(Qt.Key.Key_P)
    window.stroke()
    assert not window.widget.navigator.playing
    assert len({f for e in window.session.strokes.history.edits for f in e.frames}) == 1
    assert set(window.session.strokes._journal.history().edits[0].frames) == {window.session.frame}


def test_a_polygon_that_was_not_closed_does_not_lie_over_the_next_case(window):
    polygon = window.widget.reviewer.canvas.labels._overlays["polygon"]
    window.press(Qt.Key.Key_G)
    window.drag((10, 10))
    window.drag((10, 20))
    assert polygon.points
    window.press(Qt.Key.Key_N)
    window.wait_for("case1")
    assert not polygon.points


def test_the_study_opens_again_where_it_was_left(window, review_study):
    window.press(Qt.Key.Key_N)
    window.wait_for("case1")
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Down):
        window.press(key)
    window.viewer.scene.camera.zoom = 4.4
    place = (window.session.frame, window.session.slice)
    window.widget.set_study(None)
    window.widget.set_study(Study.open(review_study.folder))
    window.wait_for("case1")
    assert (window.session.frame, window.session.slice) == place
    assert window.viewer.scene.camera.zoom == pytest.approx(4.4)


def test_the_view_is_kept_for_a_killed_window(window, review_study):
    window.press(Qt.Key.Key_Right)
    window.widget.reviewer._look_for_changes()
    assert ViewMemory(review_study.folder, READER).recall("case0")["frame"] == 1
    assert ViewMemory(review_study.folder, READER).last == "case0"


def test_captions_of_the_tabs_are_not_cut(window):
    bar = window.widget.tabs.tabBar()
    for i in range(bar.count()):
        assert bar.tabRect(i).height() >= bar.fontMetrics().height() + 4
        assert bar.tabRect(i).width() >= bar.fontMetrics().horizontalAdvance(bar.tabText(i)) + 8
    assert bar.height() >= bar.tabRect(0).height()


def test_ctrl_backspace_takes_the_last_decision_back_and_reopens_the_case(window, review_study):
    window.stroke()
    painted = window.session.loaded.labels.copy()
    window.press(Qt.Key.Key_A)
    window.wait_for("case1")
    window.press(Qt.Key.Key_Backspace, CTRL)
    window.wait_for("case0")
    assert review_study.decisions("case0")[-1].verdict is Verdict.TAKE_BACK
    assert window.session.loaded.segmentation.source is Source.REFINED
    [show] = window.widget.banner.buttons
    show.click()
    wait(lambda: window.session.loaded is not None and window.session.loaded.segmentation.source is Source.CORRECTED)
    assert np.array_equal(window.session.loaded.labels, painted)


def test_frames_slices_and_phases_by_key_and_wheel_move_the_curve(window):
    place = lambda: (window.session.frame, window.session.slice)  # noqa: E731
    window.press(Qt.Key.Key_Right)
    assert place() == (1, 1) and window.widget.curves.frame == 1
    window.press(Qt.Key.Key_Left)
    window.press(Qt.Key.Key_Left)
    assert place() == (5, 1)
    window.press(Qt.Key.Key_Up)
    assert place() == (5, 0)
    window.press(Qt.Key.Key_S)
    assert window.session.frame == 3
    window.press(Qt.Key.Key_D)
    assert window.session.frame == 0
    window.wheel(-1)
    assert place() == (0, 1)
    window.wheel(-1, SHIFT)
    assert place() == (1, 1)
    zoom = window.viewer.scene.camera.zoom
    window.wheel(1, CTRL)
    assert window.viewer.scene.camera.zoom > zoom
    window.widget.curves.frame_selected.emit(4)
    assert window.session.frame == 4 and window.widget.curves.frame == 4


def test_alt_s_sets_end_systole(window, review_study):
    for _ in range(2):
        window.press(Qt.Key.Key_Right)
    window.press(Qt.Key.Key_S, ALT)
    wait(lambda: review_study.case("case0").es_frame == 2)
    wait(lambda: window.session.loaded.curves["LV"].es_frame == 2)


def test_undo_goes_to_the_frame_of_the_stroke_and_updates_the_curve(window):
    window.stroke()
    before = window.widget.curves._curves["RV"].volume_ml[0]
    for _ in range(3):
        window.press(Qt.Key.Key_Right)
    window.press(Qt.Key.Key_Z, CTRL)
    assert window.session.frame == 0
    assert not window.session.is_edited
    wait(lambda: window.widget.curves._curves["RV"].volume_ml[0] < before)
    window.press(Qt.Key.Key_Z, CTRL | SHIFT)
    assert window.session.is_edited


def test_keys_that_napari_claims_are_the_workspaces(window):
    """Alt+S is napari's screenshot, Ctrl+Y its 3D view, C an image key, H and I free, M leaves the label scheme."""
    layer = window.widget.reviewer.canvas.labels
    window.press(Qt.Key.Key_C)
    assert layer.contour == 1
    window.press(Qt.Key.Key_Y, CTRL)
    assert window.viewer.dims.ndisplay == 2
    window.press(Qt.Key.Key_I)
    assert window.widget.review.overlays["Uncertainty"].isChecked()
    window.press(Qt.Key.Key_H)
    assert not layer.visible and window.widget.reviewer.canvas.image.visible
    window.press(Qt.Key.Key_H)
    assert layer.visible
    window.press(Qt.Key.Key_M)
    assert int(layer.selected_label) in (0, 1, 2, 3)
    for key, mode in (
        (Qt.Key.Key_E, "erase"),
        (Qt.Key.Key_F, "fill"),
        (Qt.Key.Key_L, "pick"),
        (Qt.Key.Key_Z, "pan_zoom"),
    ):
        window.press(key)
        assert str(layer.mode) == mode
    layer.selected_label = 1
    window.press(Qt.Key.Key_Q)
    assert (int(layer.selected_label), str(layer.mode)) == (2, "paint")


def test_keys_are_silent_while_a_comment_is_typed(window, review_study):
    comment = window.widget.review.comment
    compat.main_window(window.viewer).activateWindow()
    comment.setFocus()
    wait(comment.hasFocus)
    QTest.keyClicks(comment, "a rn")
    QApplication.processEvents()
    assert comment.toPlainText() == "a rn"
    assert window.session.case_id == "case0" and review_study.decisions() == []
    assert window.session.comment == "a rn"


def test_flags_comment_and_view_come_back_with_the_case(window):
    window.press(Qt.Key.Key_Right)
    window.press(Qt.Key.Key_U)
    window.widget.review.comment.setPlainText("look again")
    window.viewer.scene.camera.zoom = 3.3
    window.press(Qt.Key.Key_N)
    window.wait_for("case1")
    assert window.session.flags == set()
    window.press(Qt.Key.Key_N, SHIFT)
    window.wait_for("case0")
    assert window.session.flags == {(1, 1)}
    assert window.widget.review.comment.toPlainText() == "look again"
    assert window.session.frame == 1
    assert window.viewer.scene.camera.zoom == pytest.approx(3.3)


def test_layers_are_kept_between_cases(window):
    layer = window.widget.reviewer.canvas.labels
    window.press(Qt.Key.Key_N)
    window.wait_for("case1")
    assert window.widget.reviewer.canvas.labels is layer
    assert layer.data is window.session.loaded.labels
    loaded, (frame, slice_) = window.session.loaded, window.widget.navigator.place
    assert np.array_equal(layer._slice.image.raw, loaded.labels[frame, slice_])
    assert np.array_equal(window.widget.reviewer.canvas.image._slice.image.raw, loaded.image[frame, slice_])
    window.press(Qt.Key.Key_Z, CTRL)
    assert not window.session.is_edited


def test_copying_to_the_next_slice_is_an_edit_that_can_be_undone(window):
    labels = window.session.loaded.labels
    labels[0, 2] = 0
    window.widget.reviewer.tools.copy_slice(1)
    QApplication.processEvents()
    assert window.session.slice == 2
    assert np.array_equal(labels[0, 2], labels[0, 1])
    window.press(Qt.Key.Key_Z, CTRL)
    assert not labels[0, 2].any()
