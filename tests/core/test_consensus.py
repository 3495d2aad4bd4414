from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from napari_ssl.core.consensus import open_tasks, reader_view, study_view
from napari_ssl.core.decision import Decision, ReviewState, Verdict
from napari_ssl.core.reading import ReadingKind, ReadingTask
from napari_ssl.errors import DecisionError

_NUMBERS = itertools.count(1)
_START = datetime(2026, 1, 1, tzinfo=UTC)


def _said(reader: str, verdict: str, version: int = 3, **more) -> Decision:
    number = next(_NUMBERS)
    return Decision(
        id=number,
        case_id="p0",
        verdict=Verdict(verdict),
        reader=reader,
        decided_at=_START + timedelta(minutes=number),
        seconds=1.0,
        segmentation_id=version,
        label_hash="0",
        reason="RV wrong" if verdict == "reject" else "",
        **more,
    )


def _task(number: int, kind: str = "second-read", version: int = 3, reader: str = "Bob", **more) -> ReadingTask:
    return ReadingTask(
        id=number, case_id="p0", segmentation_id=version, reader=reader, kind=kind, created_at=_START, **more
    )


def test_readers_who_agree_are_one_voice():
    accepted = [_said("Ada", "accept"), _said("Bob", "accept")]
    view = study_view(accepted, proposal_id=3)
    assert view.state is ReviewState.ACCEPTED and view.standing == accepted[1] and not view.is_disputed


def test_a_version_that_another_reader_rejects_stays_out_until_it_is_adjudicated():
    said = [_said("Ada", "reject"), _said("Bob", "accept")]
    for order in (said, said[::-1]):
        view = study_view(order, proposal_id=3)
        assert view.state is ReviewState.REJECTED and view.is_disputed
    said.append(_said("Cyn", "accept", reading=ReadingKind.ADJUDICATION, task_id=1))
    view = study_view(said, proposal_id=3)
    assert view.state is ReviewState.ACCEPTED and not view.is_disputed


def test_taking_the_rejection_back_ends_the_dispute():
    rejected = _said("Ada", "reject")
    said = [rejected, _said("Bob", "accept"), _said("Ada", "take_back", retracts_id=rejected.id)]
    assert study_view(said, proposal_id=3).state is ReviewState.ACCEPTED


def test_a_correction_of_a_rejected_version_is_no_dispute_and_goes_before_an_acceptance():
    said = [_said("Ada", "reject"), _said("Bob", "correct", version=4)]
    assert study_view(said, proposal_id=3).state is ReviewState.CORRECTED
    said = [_said("Ada", "correct", version=4), _said("Bob", "accept")]
    view = study_view(said, proposal_id=3)
    assert view.standing == said[0] and view.state is ReviewState.CORRECTED


def test_hidden_repeats_and_gold_cases_do_not_change_what_is_learned_from():
    first = _said("Ada", "accept")
    said = [first, _said("Ada", "reject", reading="repeat", task_id=1), _said("Bob", "reject", reading="gold")]
    assert study_view(said, proposal_id=3).standing == first


def test_a_newer_proposal_brings_a_rejected_case_back_for_all():
    assert study_view([_said("Ada", "reject")], proposal_id=5).state is ReviewState.SUPERSEDED
    assert study_view([], proposal_id=5).state is ReviewState.UNREVIEWED
    assert study_view([], proposal_id=5, has_edits=True).state is ReviewState.IN_PROGRESS
    assert study_view([_said("Ada", "defer")], proposal_id=3).state is ReviewState.DEFERRED


def test_an_open_repeat_makes_a_decided_case_look_new_and_shows_its_version():
    first = _said("Ada", "accept")
    repeat = _task(7, "repeat", reader="Ada")
    view = reader_view([first], [repeat], proposal_id=9)
    assert (view.state, view.standing, view.task) == (ReviewState.UNREVIEWED, None, repeat) and view.is_blind
    put_off = _said("Ada", "defer", task_id=7, reading="repeat")
    assert reader_view([first, put_off], [repeat], proposal_id=9).state is ReviewState.DEFERRED
    again = _said("Ada", "reject", task_id=7, reading="repeat")
    done = reader_view([first, put_off, again], [repeat], proposal_id=3)
    assert done.task is None and done.standing == again


def test_taking_the_answer_back_opens_the_read_again():
    answer = _said("Bob", "accept", task_id=7)
    back = _said("Bob", "take_back", retracts_id=answer.id)
    assert open_tasks([_task(7)], [answer]) == [] and open_tasks([_task(7)], [answer, back]) == [_task(7)]
    view = reader_view([answer, back], [_task(7)], proposal_id=3)
    assert view.state is ReviewState.UNREVIEWED and view.task is not None


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("gold", {}, "a gold case, and only that, says what is right"),
        ("repeat", {"expected": "good"}, "a gold case, and only that"),
        ("repeat", {"is_blind": False}, "measures nothing; leave it blind"),
        ("second-read", {"reader": " "}, "needs the name of its reader"),
    ],
)
def test_reads_that_contradict_themselves_are_refused(kind: str, more: dict, message: str):
    with pytest.raises(DecisionError, match=message):
        _task(1, kind, **more)


def test_a_dispute_about_labels_that_a_newer_proposal_replaced_brings_the_case_back():
    view = study_view([_said("Ada", "accept"), _said("Bob", "reject")], proposal_id=9)
    assert view.state is ReviewState.SUPERSEDED and view.standing is None and view.is_disputed
