"""A case that is painted on is in progress at once, in the panel and in the queue, also after a take-back."""

from __future__ import annotations

import pytest
from gui_driver import CTRL, wait
from qtpy.QtCore import Qt

from napari_ssl.core.decision import ReviewState
from napari_ssl.gui.live_state import live_state


@pytest.mark.parametrize(("stored", "is_edited", "expected"), [
    ("unreviewed", True, "in_progress"),
    ("unreviewed", False, "unreviewed"),
    ("in_progress", False, "unreviewed"),
    ("superseded", True, "in_progress"),
    ("superseded", False, "superseded"),
    ("corrected", True, "corrected"),
    ("rejected", True, "rejected"),
    ("deferred", True, "deferred"),
])  # fmt: skip
def test_strokes_make_an_open_case_one_in_progress(stored, is_edited, expected):
    assert live_state(ReviewState(stored), is_edited=is_edited) is ReviewState(expected)


def _shown(window, case_id="case0"):
    return window.widget.review.state.text(), window.widget.queue.model.row_by_id(case_id).state


def test_the_first_stroke_and_its_undo_are_seen_in_panel_and_queue(window):
    assert _shown(window) == ("to review", ReviewState.UNREVIEWED)
    window.stroke()
    wait(lambda: _shown(window) == ("in progress", ReviewState.IN_PROGRESS))
    window.press(Qt.Key.Key_Z, CTRL)
    wait(lambda: _shown(window) == ("to review", ReviewState.UNREVIEWED))


def test_a_rejection_that_is_taken_back_leaves_the_strokes_in_progress(window, review_study):
    window.stroke()
    window.press(Qt.Key.Key_R)
    window.press(Qt.Key.Key_1)
    window.wait_for("case1")
    window.wait_saved()
    window.press(Qt.Key.Key_Backspace, CTRL)
    window.wait_for("case0")
    window.wait_saved()
    assert window.session.is_edited
    wait(lambda: _shown(window) == ("in progress", ReviewState.IN_PROGRESS))


def test_a_saved_correction_stays_corrected_in_the_queue_while_it_is_stored(window, review_study, monkeypatch):
    seen = []
    model = window.widget.queue.model
    monkeypatch.setattr(
        model, "set_state", lambda case, state, real=model.set_state: (seen.append(state), real(case, state))
    )
    window.stroke()
    window.press(Qt.Key.Key_Return, CTRL)
    window.wait_saved()
    wait(lambda: _shown(window) == ("corrected", ReviewState.CORRECTED))
    assert ReviewState.UNREVIEWED not in seen
