from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.errors import LabelError
from napari_ssl.study.edit_history import Edit, EditHistory, Stroke

SHAPE = (4, 3, 5, 6)


def edit(frame=0, indices=(0,), value=1, *, marks=(), reverts=False) -> Edit:
    at = np.array(indices, np.int32)
    stroke = Stroke(
        frame=frame, flat_indices=at, before=np.zeros(len(at), np.uint8), after=np.full(len(at), value, np.uint8)
    )
    return Edit(strokes=(stroke,), unverified=tuple(marks), reverts=reverts)


def test_undo_has_no_limit():
    history = EditHistory()
    for n in range(1000):
        history.add(edit(frame=n % 4))
    for n in reversed(range(1000)):
        assert history.undo().frames == (n % 4,)
    assert history.next_undo is None and history.next_redo is not None


def test_a_new_edit_forgets_what_was_undone():
    history = EditHistory()
    first, second, third = edit(), edit(), edit()
    history.add(first)
    history.add(second)
    history.undo()
    history.add(third)
    assert history.edits == [first, third] and history.next_redo is None


def test_the_stored_labels_are_found_again_by_undo_and_redo_but_not_by_other_edits():
    history = EditHistory([edit(), edit()])
    assert history.is_stored and history.n_unsaved == 0
    history.undo()
    assert not history.is_stored and history.n_unsaved == 1
    history.redo()
    assert history.is_stored
    history.undo()
    history.add(edit(frame=2))
    assert not history.is_stored and history.n_unsaved == 2  # one taken back, one made
    assert history.unsaved_frames == (2,)


def test_a_revert_leads_to_the_stored_labels_and_can_be_undone():
    history = EditHistory(unverified=[(1, 1)])
    history.add(edit(marks=[(0, 0)]))
    history.add(edit(reverts=True))
    assert history.is_stored and history.n_unsaved == 0 and history.unverified == {(1, 1)}
    history.undo()
    assert not history.is_stored and history.unverified == {(0, 0), (1, 1)}


def test_a_revert_of_before_the_labels_were_stored_does_not_count():
    history = EditHistory([edit(), edit(reverts=True), edit()])
    history.undo()
    assert not history.is_stored


def test_marks_go_with_a_look_and_come_and_go_with_their_edit():
    history = EditHistory()
    history.add(edit(marks=[(0, 0), (1, 0)]))
    assert history.look([(0, 0), (3, 3)])
    assert not history.look([(0, 0)])
    history.add(edit())
    history.undo()
    assert history.unverified == {(1, 0)}  # what was looked at stays so when another edit is undone
    history.undo()
    assert history.unverified == set()
    history.redo()
    assert history.unverified == {(0, 0), (1, 0)}


def test_an_edit_is_shown_where_one_is_or_in_its_middle():
    first, second = edit(frame=1, indices=(0, 30, 60)), edit(frame=3, indices=(31,))
    both = Edit(strokes=(*first.strokes, *second.strokes))
    assert both.place(SHAPE, (1, 2)) == (1, 2)
    assert both.place(SHAPE, (3, 0)) == (3, 1)
    assert both.place(SHAPE, (0, 0)) == (3, 1)
    assert first.place(SHAPE) == (1, 1)


def test_bytes_give_the_same_edit():
    wanted = Edit(
        strokes=(*edit(frame=0, indices=(1, 2), value=3).strokes, *edit(frame=2, indices=(89,)).strokes),
        tool="smooth",
        unverified=((0, 1),),
        reverts=True,
    )
    found = Edit.decode(wanted.encode())
    assert (found.tool, found.unverified, found.reverts, found.frames) == ("smooth", ((0, 1),), True, (0, 2))
    labels = np.zeros(SHAPE, np.uint8)
    found.paint(labels)
    assert labels[0].reshape(-1)[:4].tolist() == [0, 3, 3, 0] and labels[2, 2, 4, 5] == 1
    found.paint(labels, backwards=True)
    assert not labels.any()


def test_what_lies_outside_is_known():
    assert edit(frame=3, indices=(89,)).lies_within(SHAPE)
    assert not edit(frame=4).lies_within(SHAPE) and not edit(indices=(90,)).lies_within(SHAPE)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(LabelError, match="as many indices"):
        Edit.of_arrays(0, [1, 2], [0], [1])
