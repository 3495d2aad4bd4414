"""The correction tools by key, button and mouse: one step of undo each, off locked structures, marked, recorded."""

import errno
import time

import numpy as np
import pytest
from gui_driver import ALT, CTRL, READER, SHIFT, wait
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QApplication

from napari_ssl.core.decision import Verdict
from napari_ssl.gui import edit_marks
from napari_ssl.gui.loaded_case import load_case
from napari_ssl.gui.tool_row import COMMANDS
from napari_ssl.study import journal_file
from napari_ssl.study.edit_history import Edit, Stroke
from napari_ssl.study.journal import EditJournal

K = Qt.Key
NO = Qt.KeyboardModifier.NoModifier
MIDDLE = (24, 20)


def labels_of(window):
    return window.session.loaded.labels


def history_of(window):
    return window.session.strokes.history


def drag(window, *pixels):
    """Drag as slowly as a hand: napari takes one move in five milliseconds."""
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    window._mouse(QEvent.Type.MouseMove, window.at(*pixels[0]), none)
    window._mouse(QEvent.Type.MouseButtonPress, window.at(*pixels[0]), left)
    for pixel in pixels[1:]:
        time.sleep(0.01)
        window._mouse(QEvent.Type.MouseMove, window.at(*pixel), left)
        QApplication.processEvents()
    window._mouse(QEvent.Type.MouseButtonRelease, window.at(*pixels[-1]), left)
    QApplication.processEvents()


def run_tool(window, key, modifiers=NO):
    """Press the key of a tool and wait until it is done; returns the labels before."""
    before = labels_of(window).copy()
    window.press(key, modifiers)
    wait(lambda: not window.widget.reviewer.tools.running)
    QApplication.processEvents()
    return before


def undone(window, before):
    """One undo leads back, one redo leads on."""
    after = labels_of(window).copy()
    assert not np.array_equal(after, before)
    window.press(K.Key_Z, CTRL)
    assert np.array_equal(labels_of(window), before)
    window.press(K.Key_Z, CTRL | SHIFT)
    assert np.array_equal(labels_of(window), after)
    again = load_case(window.study, window.session.case_id, READER)
    assert np.array_equal(again.labels, after)  # the journal says the same
    return again


def change(window, frame, mask_zyx, value):
    """Make labels that a tool can improve, as an edit of its own."""
    flat = np.flatnonzero(mask_zyx).astype(np.int32)
    before = labels_of(window)[frame].reshape(-1)[flat]
    stroke = Stroke(frame=frame, flat_indices=flat, before=before, after=np.full(len(flat), value, np.uint8))
    window.widget.reviewer.make(Edit(strokes=(stroke,)))
    QApplication.processEvents()


def test_brush_eraser_fill_and_polygon_are_one_step_each(window):
    before = labels_of(window).copy()
    window.stroke()
    undone(window, before)
    before = labels_of(window).copy()
    window.press(K.Key_E)
    drag(window, MIDDLE, (24, 24), (24, 28))
    assert (labels_of(window)[window.session.frame, 1, 24, 20:25] == 0).all()
    undone(window, before)
    before = labels_of(window).copy()
    window.press(K.Key_F)
    window.drag((44, 36))
    assert labels_of(window)[window.session.frame, 1, 46, 38] == 1
    undone(window, before)
    window.press(K.Key_Z, CTRL)
    before = labels_of(window).copy()
    window.press(K.Key_G)
    for corner in ((2, 30), (2, 38), (10, 38)):
        window.drag(corner)
    window._mouse(QEvent.Type.MouseButtonDblClick, window.at(10, 30), Qt.MouseButton.LeftButton)
    window._mouse(QEvent.Type.MouseButtonRelease, window.at(10, 30), Qt.MouseButton.LeftButton)
    assert [e.tool for e in history_of(window).edits] == ["paint", "erase", "polygon"]
    undone(window, before)


def test_smooth_islands_and_gaps_by_key(window):
    window.widget.reviewer.looks._timer.setInterval(10**6)
    frame = window.session.frame
    edge = np.zeros(labels_of(window).shape[1:], bool)
    edge[1, 16:32:2, 28] = True
    change(window, frame, edge, 3)
    before = run_tool(window, K.Key_M)
    window.widget._choose_structure(3)
    window.press(K.Key_Z)  # the hand moves the image
    before = run_tool(window, K.Key_M)
    assert history_of(window).next_undo.tool == "smooth"
    undone(window, before)
    island = np.zeros_like(edge)
    island[0, 2:4, 2:4] = True
    change(window, frame, island, 3)
    before = run_tool(window, K.Key_I, CTRL)
    assert not (labels_of(window)[frame, 0, 2:4, 2:4] == 3).any()
    undone(window, before)
    change(window, frame, np.arange(3)[:, None, None] * np.ones((3, 48, 40)) == 1, 0)
    before = run_tool(window, K.Key_B, CTRL)
    assert (labels_of(window)[frame, 1] == 3).any() and history_of(window).unverified == {(frame, 1)}
    undone(window, before)
    wrong = np.zeros_like(edge)
    wrong[1, :10] = True
    change(window, frame, wrong, 2)
    before = run_tool(window, K.Key_B, CTRL | SHIFT)
    assert not (labels_of(window)[frame, 1, :5] == 2).any()
    undone(window, before)


def test_islands_of_all_frames_are_one_step(window):
    island = np.zeros(labels_of(window).shape[1:], bool)
    island[0, 2:4, 2:4] = True
    for frame in (1, 4):
        change(window, frame, island, 1)
    before = run_tool(window, K.Key_I, CTRL | SHIFT)
    assert history_of(window).next_undo.frames == (1, 4) and not labels_of(window)[[1, 4], 0, 2:4, 2:4].any()
    undone(window, before)


def test_copies_to_neighbours_are_shown_and_marked_until_looked_at(window, monkeypatch):
    window.widget.reviewer.looks._timer.setInterval(10**6)
    frame, slice_ = window.widget.navigator.place
    window.stroke()
    before = labels_of(window).copy()
    window.press(K.Key_Right, CTRL)
    assert window.widget.navigator.place == (frame + 1, slice_)
    assert np.array_equal(labels_of(window)[frame + 1, slice_], before[frame, slice_])
    assert window.session.unverified == {(frame + 1, slice_)}
    assert window.widget._badge.isVisible() and "1 slice in 1 frame" in window.widget.review.tools.status.text
    assert list(window.widget._curve_marks.points.getData()[0]) == [window.widget.curves.plot.x[frame + 1]]
    window.widget.reviewer.looks._timer.setInterval(50)
    wait(lambda: not window.session.unverified)  # it was on screen long enough
    assert not window.widget._badge.isVisible() and window.widget.review.tools.status.text == ""
    assert load_case(window.study, "case0", READER).history.unverified == set()
    window.press(K.Key_Left, CTRL)
    window.press(K.Key_U, CTRL)
    assert window.widget.navigator.place == (frame, slice_ - 1)
    for _ in range(3):
        window.press(K.Key_Z, CTRL)
    assert np.array_equal(labels_of(window)[frame, slice_ - 1], before[frame, slice_ - 1])


def test_propagation_to_the_next_frame_the_cycle_and_between_the_phases(window):
    window.widget.reviewer.looks._timer.setInterval(10**6)
    frame = window.session.frame
    before = run_tool(window, K.Key_F, CTRL)
    assert window.session.frame == frame + 1
    edit = history_of(window).next_undo
    assert (edit.tool, edit.frames) == ("propagate", (frame + 1,)) and {f for f, _ in edit.unverified} == {frame + 1}
    undone(window, before)
    window.press(K.Key_Z, CTRL)
    window.widget.navigator.go(frame=frame)
    before = run_tool(window, K.Key_F, CTRL | SHIFT)
    assert frame not in history_of(window).next_undo.frames and len(history_of(window).next_undo.frames) >= 4
    again = undone(window, before)
    assert {f for f, _ in again.history.unverified} == set(history_of(window).next_undo.frames)
    window.press(K.Key_Z, CTRL)
    before = run_tool(window, K.Key_F, CTRL | ALT)
    curve = next(iter(window.session.loaded.curves.values()))
    between = {f % 6 for f in range(curve.ed_frame + 1, curve.ed_frame + (curve.es_frame - curve.ed_frame) % 6)}
    assert set(history_of(window).next_undo.frames) <= between
    assert not window.session.loaded.labels.flags.writeable or undone(window, before)


def test_a_propagation_that_is_cancelled_changes_nothing(window):
    before = labels_of(window).copy()
    window.press(K.Key_F, CTRL | SHIFT)
    status = window.widget.review.tools.status
    assert "Carrying labels" in status.text
    status.cancel_button.click()
    wait(lambda: not window.widget.reviewer.tools.running)
    assert np.array_equal(labels_of(window), before) and status.text == ""


def test_a_tool_that_ends_after_another_case_was_opened_is_dropped(window):
    window.press(K.Key_F, CTRL | SHIFT)
    window.press(K.Key_N)
    window.wait_for("case1")
    wait(lambda: not window.widget.reviewer.tools.running)
    QApplication.processEvents()
    assert not EditJournal.cases_with_edits(window.study.folder, READER)


def test_the_crf_refines_inside_a_drawn_region(window):
    pytest.importorskip("pydensecrf", reason="pydensecrf2 is not installed")
    frame = window.session.frame
    off = np.zeros(labels_of(window).shape[1:], bool)
    off[1, 20:28, 24:30] = labels_of(window)[frame, 1, 20:28, 24:30] == 2
    change(window, frame, off, 3)
    before = labels_of(window).copy()
    window.press(K.Key_G, SHIFT)
    assert window.widget.reviewer.tools.is_drawing and "Click around" in window.widget.banner.text
    for corner in ((14, 18), (14, 36), (34, 36), (34, 18)):
        window.drag(corner)
    window._mouse(QEvent.Type.MouseButtonDblClick, window.at(30, 18), Qt.MouseButton.LeftButton)
    window._mouse(QEvent.Type.MouseButtonRelease, window.at(30, 18), Qt.MouseButton.LeftButton)
    wait(lambda: not window.widget.reviewer.tools.running)
    QApplication.processEvents()
    assert history_of(window).next_undo.tool == "CRF"
    assert str(window.widget.reviewer.canvas.labels.mode) == "pan_zoom"
    changed = np.argwhere(labels_of(window) != before)
    assert set(changed[:, 0]) == {frame} and set(changed[:, 1]) == {1} and changed[:, 3].min() >= 17
    undone(window, before)


def test_escape_calls_the_region_off_and_a_polygon_paints_again(window):
    window.press(K.Key_G, SHIFT)
    window.drag((14, 18))
    window.press(K.Key_Escape)
    assert not window.widget.banner.text
    assert not window.widget.reviewer.tools.is_drawing
    assert str(window.widget.reviewer.canvas.labels.mode) == "pan_zoom"


def test_a_locked_structure_is_changed_by_no_tool(window):
    frame = window.session.frame
    window.widget._choose_structure(2)
    window.press(K.Key_L, SHIFT)
    assert window.widget.reviewer.locked == {2} and window.widget.review.tools.lock.isChecked()
    wall = labels_of(window) == 2
    window.stroke()
    assert "locked" in window.widget.banner.text and history_of(window).next_undo is None
    window.widget._choose_structure(1)
    window.press(K.Key_P)
    drag(window, (24, 2), (24, 20), (24, 38))
    assert (labels_of(window)[frame, 1, 24] == 1).sum() > 10
    window.press(K.Key_Right, CTRL)
    run_tool(window, K.Key_F, CTRL)
    run_tool(window, K.Key_B, CTRL | SHIFT)
    run_tool(window, K.Key_I, CTRL | SHIFT)
    assert len(history_of(window).edits) >= 3 and np.array_equal(labels_of(window) == 2, wall)
    window.widget.review.tools.lock_toggled.emit(2, False)
    assert window.widget.reviewer.locked == frozenset()


def test_accepting_what_nobody_has_looked_at_asks_first(window, review_study):
    window.widget.reviewer.looks._timer.setInterval(10**6)
    run_tool(window, K.Key_F, CTRL | SHIFT)
    marks = window.session.unverified
    assert marks
    window.press(K.Key_A)
    assert window.session.case_id == "case0" and not review_study.decisions()
    assert "nobody has looked at" in window.widget.banner.text
    look, _accept = window.widget.banner.buttons
    look.click()
    assert window.widget.navigator.place in marks
    window.widget.reviewer.look_at(*window.widget.navigator.place)
    left = window.session.unverified
    assert len(left) == len(marks) - 1
    window.press(K.Key_A)
    window.widget.banner.buttons[1].click()
    window.wait_saved()
    [decision] = review_study.decisions()
    assert decision.verdict is Verdict.CORRECT
    stored = review_study.measures(decision.segmentation_id)["unverified"]
    assert {tuple(place) for place in stored} == left


def test_undo_goes_beyond_a_hundred_strokes_and_comes_back_with_the_case(window):
    before = labels_of(window).copy()
    window.stroke()
    for n in range(110):
        dot = np.zeros(before.shape[1:], bool)
        dot[n % 3, 40 + n % 8, n // 8] = True
        flat = np.flatnonzero(dot)
        old = labels_of(window)[n % 6].reshape(-1)[flat]
        assert window.widget.reviewer.make(Edit.of_arrays(n % 6, flat, old, (old + 1) % 4))
    painted = labels_of(window).copy()
    window.press(K.Key_N)
    window.wait_for("case1")
    window.press(K.Key_N, SHIFT)
    window.wait_for("case0")
    assert np.array_equal(labels_of(window), painted)
    n_edits = len(history_of(window).edits)
    assert n_edits == 111
    window.press(K.Key_Z, CTRL)
    assert window.session.frame == 109 % 6  # where the last edit was made
    for _ in range(n_edits - 1):
        edit = history_of(window).next_undo
        window.widget.reviewer.undo()
        assert window.session.frame in edit.frames
    assert np.array_equal(labels_of(window), before)
    window.press(K.Key_Z, CTRL)
    assert "nothing to undo" in window.widget.banner.text
    window.press(K.Key_Z, CTRL | SHIFT)
    for _ in range(n_edits - 1):
        window.widget.reviewer.redo()
    assert np.array_equal(labels_of(window), painted)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_is_told_once_and_gets_the_strokes_later(window, review_study, monkeypatch, code):
    def refuse(_descriptor):
        raise OSError(code, "No space left on device" if code == errno.ENOSPC else "Read-only file system")

    monkeypatch.setattr(journal_file.os, "fsync", refuse)
    window.stroke()
    said = window.widget.banner.text
    assert "kept in memory" in said and "make space or check the permissions" in said
    window.widget.banner.clear()
    window.drag((30, 4), (30, 8))
    assert window.widget.banner.text == ""  # told already
    painted = labels_of(window).copy()
    window.press(K.Key_N)
    window.wait_for("case1")
    window.press(K.Key_N, SHIFT)
    window.wait_for("case0")
    assert np.array_equal(labels_of(window), painted)
    monkeypatch.undo()
    window.widget.reviewer._retry.setInterval(20)
    wait(lambda: "on the disk now" in window.widget.banner.text)
    journal_file._waiting.clear()  # as a new process would find it
    assert np.array_equal(load_case(review_study, "case0", READER).labels, painted)


def test_every_command_has_a_button_a_key_and_an_explanation(window):
    row = window.widget.review.tools
    keys = window.widget._keys
    for caption, (_first, actions) in COMMANDS.items():
        tip = row._command_buttons[caption].toolTip()
        assert all(text in tip and f"[{keys.shown_key(action)}]" in tip for action, text in actions)
    before = labels_of(window).copy()
    row._command_buttons["Copy"].click()
    assert not np.array_equal(labels_of(window), before)
    menu = row._command_buttons["Copy"].menu().actions()
    assert [a.data() for a in menu] == ["copy_next", "copy_previous", "copy_up", "copy_down"]
    menu[3].trigger()
    assert len(history_of(window).edits) == 2


def test_a_place_is_not_looked_at_while_labels_are_hidden_or_the_cine_plays(window):
    window.widget.reviewer.looks._timer.setInterval(30)
    window.widget.reviewer.canvas.labels.visible = False
    window.stroke()
    window.press(K.Key_Right, CTRL)
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        QApplication.processEvents()
    assert window.session.unverified
    window.widget.reviewer.canvas.labels.visible = True
    wait(lambda: not window.session.unverified)


def test_marks_are_told_in_words():
    assert edit_marks.marks_in_words(frozenset()) == ""
    assert edit_marks.marks_in_words(frozenset({(1, 2)})) == "1 slice in 1 frame"
    assert edit_marks.marks_in_words(frozenset({(1, 2), (2, 2), (2, 3)})) == "3 slices in 2 frames"
