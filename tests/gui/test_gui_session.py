import signal
import subprocess
import sys

import numpy as np
import pytest
from gui_cases import add_model, beating_disc, propose

from napari_ssl.core.decision import ReviewState, Verdict
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import DecisionError
from napari_ssl.gui.loaded_case import load_case
from napari_ssl.gui.session import ReviewSession, last_standing
from napari_ssl.io.images import hash_labels
from napari_ssl.study.edit_history import Edit
from napari_ssl.study.journal import EditJournal

READER = "Dr Test"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def opened(study, case_id="case0", **kwargs):
    session = ReviewSession(study, READER, clock=kwargs.pop("clock", Clock()))
    session.open(load_case(study, case_id, READER, **kwargs))
    return session


def paint(session, frame=1, start=0, n=5, value=1):
    """Paint as the canvas does: the array first, then the journal."""
    flat = session.loaded.labels[frame].reshape(-1)
    indices = np.arange(start, start + n, dtype=np.int32)
    before = flat[indices].copy()
    flat[indices] = value
    session.add_edit(Edit.of_arrays(frame, indices, before, flat[indices].copy()))


def test_accepting_unchanged_labels_is_a_decision_about_the_proposal(review_study):
    clock = Clock()
    session = opened(review_study, clock=clock)
    clock.now += 12.5
    saved = session.order(Verdict.ACCEPT).run(review_study)
    assert saved.decision.verdict is Verdict.ACCEPT
    assert saved.decision.segmentation_id == review_study.proposal("case0").id
    assert saved.decision.model_id == "model-1"
    assert saved.decision.seconds == 12.5
    assert saved.decision.decided_at.tzinfo is not None
    assert review_study.review_state("case0", READER)[0] is ReviewState.ACCEPTED


def test_time_counts_only_while_the_window_is_active(review_study):
    clock = Clock()
    session = opened(review_study, clock=clock)
    clock.now += 10
    session.set_active(False)
    clock.now += 1000
    session.set_active(True)
    clock.now += 5
    assert session.seconds == 15


def test_accepting_edited_labels_saves_a_correction_of_all_frames(review_study):
    session = opened(review_study)
    paint(session)
    saved = session.order(Verdict.ACCEPT).run(review_study)
    assert saved.decision.verdict is Verdict.CORRECT
    assert saved.segmentation.source is Source.CORRECTED
    assert saved.segmentation.frames == review_study.proposal("case0").frames
    assert saved.segmentation.parent_id == review_study.proposal("case0").id
    assert saved.decision.model_id == "model-1"
    assert np.array_equal(review_study.read_labels(saved.segmentation), session.loaded.labels)
    assert not EditJournal.cases_with_edits(review_study.folder, READER)
    assert review_study.current("case0", READER).id == saved.segmentation.id


def test_strokes_that_cancel_out_are_no_correction(review_study):
    session = opened(review_study)
    before = int(session.loaded.labels[1].reshape(-1)[0])
    paint(session, n=1, value=1)
    paint(session, n=1, value=before)
    assert session.is_edited
    assert session.order(Verdict.ACCEPT).verdict is Verdict.ACCEPT


def test_strokes_survive_a_killed_session_and_can_be_discarded(review_study):
    session = opened(review_study)
    paint(session)
    painted = session.loaded.labels.copy()
    again = opened(review_study)  # the first session never closed: killed
    assert again.loaded.n_recovered == 1 and again.is_edited
    assert np.array_equal(again.loaded.labels, painted)
    edit = again.reverting_edit()
    edit.paint(again.loaded.labels)
    again.add_edit(edit)
    assert np.array_equal(again.loaded.labels, again.loaded.base_labels) and not again.is_edited
    again.close()
    later = opened(review_study)
    assert later.loaded.n_recovered == 0 and not EditJournal.cases_with_edits(review_study.folder, READER)
    later.strokes.history.next_undo.paint(later.loaded.labels, backwards=True)  # what was discarded can come back
    later.strokes.undo()
    assert later.is_edited and np.array_equal(later.loaded.labels, painted)


def test_strokes_survive_kill_minus_nine(review_study):
    """A process paints two strokes and is killed on the spot; the next one finds both."""
    program = f"""
import os, signal, numpy as np
from napari_ssl.gui.loaded_case import load_case
from napari_ssl.gui.session import ReviewSession
from napari_ssl.study.edit_history import Edit
from napari_ssl.study.study import Study
study = Study.open({str(review_study.folder)!r})
session = ReviewSession(study, {READER!r})
session.open(load_case(study, "case0", {READER!r}))
for start in (0, 50):
    flat, at = session.loaded.labels[1].reshape(-1), np.arange(start, start + 5, dtype=np.int32)
    before = flat[at].copy()
    flat[at] = 2
    session.add_edit(Edit.of_arrays(1, at, before, flat[at].copy()))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == -signal.SIGKILL
    loaded = load_case(review_study, "case0", READER)
    assert loaded.n_recovered == 2
    assert loaded.labels[1].reshape(-1)[[0, 4, 50, 54]].tolist() == [2, 2, 2, 2]


def test_strokes_painted_on_older_labels_are_shown_on_those(review_study, tmp_path):
    session = opened(review_study)
    paint(session)
    painted = session.loaded.labels.copy()
    add_model(review_study, tmp_path / "second", "model-2", 2)
    propose(review_study, "case0", beating_disc(1)[1], "model-2", 0.9)
    loaded = load_case(review_study, "case0", READER)
    assert loaded.is_outdated and loaded.n_recovered == 1
    assert np.array_equal(loaded.labels, painted)


def test_leaving_with_everything_undone_leaves_no_unsaved_work_but_the_way_forward(review_study):
    session = opened(review_study)
    paint(session, n=1, value=1)
    session.strokes.history.next_undo.paint(session.loaded.labels, backwards=True)
    session.strokes.undo()
    session.close()
    assert not EditJournal.cases_with_edits(review_study.folder, READER)
    again = opened(review_study)
    assert again.loaded.n_recovered == 0 and again.strokes.history.next_redo.frames == (1,)


def test_what_was_saved_can_be_undone_after_the_program_was_closed(review_study):
    session = opened(review_study)
    before = session.loaded.labels.copy()
    paint(session)
    session.saved(order := session.order(Verdict.CORRECT, stay=True), order.run(review_study))
    assert not session.is_edited
    session.close()
    again = opened(review_study)
    assert not again.is_edited and again.loaded.segmentation.source is Source.CORRECTED
    again.strokes.history.next_undo.paint(again.loaded.labels, backwards=True)
    again.strokes.undo()
    assert np.array_equal(again.loaded.labels, before) and again.is_edited
    assert opened(review_study).loaded.n_recovered == 1


def test_a_program_killed_between_storing_labels_and_knowing_it_finds_them_saved(review_study, monkeypatch):
    session = opened(review_study)
    paint(session)
    monkeypatch.setattr(session.strokes, "rebase", lambda *_: None)
    saved = session.order(Verdict.CORRECT).run(review_study)
    loaded = load_case(review_study, "case0", READER)
    assert loaded.segmentation.id == saved.segmentation.id and not loaded.is_outdated and loaded.n_recovered == 0
    assert len(loaded.history.edits) == 1 and np.array_equal(loaded.labels, session.loaded.labels)


def test_painting_goes_on_while_a_correction_is_saved(review_study):
    session = opened(review_study)
    paint(session, start=0)
    order = session.order(Verdict.CORRECT, stay=True)
    paint(session, start=100)
    saved = order.run(review_study)
    session.saved(order, saved)
    assert session.is_edited
    again = opened(review_study)
    assert again.loaded.segmentation.id == saved.segmentation.id
    assert again.loaded.n_recovered == 1
    assert np.array_equal(again.loaded.labels, session.loaded.labels)
    assert not list((review_study.folder / "journal").glob("*set-aside*"))


def test_a_failed_save_keeps_the_strokes(review_study, monkeypatch):
    session = opened(review_study)
    paint(session)
    order = session.order(Verdict.ACCEPT)

    def full_disk(*_args, **_kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(review_study, "add_segmentation", full_disk)
    with pytest.raises(OSError):
        order.run(review_study)
    assert opened(review_study).loaded.n_recovered == 1
    monkeypatch.undo()
    assert order.run(review_study).decision.verdict is Verdict.CORRECT
    assert opened(review_study).loaded.n_recovered == 0


def test_flags_and_reason_go_with_a_rejection(review_study):
    session = opened(review_study)
    session.frame, session.slice = 4, 2
    assert session.toggle_flag()
    session.frame = 1
    session.toggle_flag()
    session.comment = "base"
    decision = session.order(Verdict.REJECT, reason="Basal slice wrong").run(review_study).decision
    assert (decision.frames, decision.slices) == ((1, 4), (2,))
    assert (decision.reason, decision.comment) == ("Basal slice wrong", "base")


def test_a_rejection_of_painted_labels_is_about_the_stored_ones(review_study):
    session = opened(review_study)
    paint(session)
    decision = session.order(Verdict.REJECT, reason="Other").run(review_study).decision
    assert decision.segmentation_id == review_study.proposal("case0").id
    assert opened(review_study).loaded.n_recovered == 1


def test_a_case_without_labels_can_be_painted_but_not_accepted_empty(review_study):
    case = review_study.case("case3")
    loaded = load_case(review_study, "case3", READER)
    loaded.segmentation, loaded.base_labels = None, np.zeros(case.shape_tzyx, np.uint8)
    loaded.labels = loaded.base_labels.copy()
    loaded.base_hash = hash_labels(loaded.base_labels)
    session = ReviewSession(review_study, READER)
    session.open(loaded)
    with pytest.raises(DecisionError, match="predict the case"):
        session.order(Verdict.ACCEPT)
    paint(session, frame=2)
    saved = session.order(Verdict.ACCEPT).run(review_study)
    assert saved.segmentation.frames == (2,)
    assert saved.decision.verdict is Verdict.CORRECT


def test_a_correction_that_was_taken_back_is_shown_again_and_accepted_as_such(review_study):
    session = opened(review_study)
    paint(session)
    saved = session.order(Verdict.ACCEPT).run(review_study)
    last = last_standing(review_study.decisions(reader=READER))
    review_study.take_back(last.id, reader=READER)
    assert review_study.review_state("case0", READER)[0] is ReviewState.UNREVIEWED
    again = opened(review_study, segmentation_id=last.segmentation_id)
    decision = again.order(Verdict.ACCEPT).run(review_study).decision
    assert decision.verdict is Verdict.CORRECT
    assert decision.segmentation_id == saved.segmentation.id


def test_last_standing_skips_what_was_taken_back(review_study):
    for case_id in ("case0", "case1"):
        opened(review_study, case_id).order(Verdict.ACCEPT).run(review_study)
    first, second = review_study.decisions(reader=READER)
    assert last_standing([first, second]) == second
    review_study.take_back(second.id, reader=READER)
    assert last_standing(review_study.decisions(reader=READER)) == first
    assert last_standing([]) is None


def test_accepting_again_says_nothing_new(review_study):
    opened(review_study).order(Verdict.ACCEPT).run(review_study)
    session = opened(review_study)
    assert session.has_decided(session.order(Verdict.ACCEPT))
    assert not session.has_decided(session.order(Verdict.REJECT, reason="Other"))
