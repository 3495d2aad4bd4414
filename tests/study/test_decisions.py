from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from study_factory import SHAPE, decide, make_labels, make_model, propose

from napari_ssl.core.decision import ReviewState, Verdict
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import DecisionError, UnknownCaseError
from napari_ssl.study import EditJournal, Study

ALL = tuple(range(SHAPE[0]))


@pytest.fixture
def proposal(study: Study, tmp_path: Path):
    make_model(study, tmp_path / "out")
    return propose(study, "p0", 1)


def _correct(study: Study, parent):
    return study.add_segmentation(
        "p0", make_labels(4, ALL), source=Source.CORRECTED, frames=ALL, parent_id=parent.id, reader="Ada"
    )


def test_a_decision_comes_back_as_it_was_recorded(study: Study, proposal):
    made = decide(proposal, Verdict.REJECT, frames=(1,), slices=(0, 2), comment="basal", model_id="m1")
    east = timezone(timedelta(hours=9))
    made = dataclasses.replace(made, decided_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=east))
    recorded = study.record(made)
    assert study.decisions("p0") == [recorded] and dataclasses.replace(recorded, id=None) == made
    assert study.decisions("p0")[0].decided_at.tzinfo == UTC


def test_states_follow_from_decisions(study: Study, proposal):
    assert study.review_state("p0", "Ada") == (ReviewState.UNREVIEWED, None)
    for verdict, state in (
        (Verdict.DEFER, ReviewState.DEFERRED),
        (Verdict.REJECT, ReviewState.REJECTED),
        (Verdict.ACCEPT, ReviewState.ACCEPTED),
    ):
        recorded = study.record(decide(proposal, verdict))
        assert study.review_state("p0", "Ada") == (state, recorded)
    assert study.review_state("p0", "Bob")[0] is ReviewState.UNREVIEWED
    assert study.review_state("p0")[0] is ReviewState.ACCEPTED


def test_a_rejected_case_comes_back_with_the_next_proposal_an_accepted_one_stays(study: Study, proposal):
    study.record(decide(proposal, Verdict.REJECT))
    study.record(decide(study.reference("p1"), Verdict.ACCEPT))
    propose(study, "p0", 2)
    propose(study, "p1", 2)
    assert study.review_state("p0", "Ada")[0] is ReviewState.SUPERSEDED
    assert study.review_state("p1", "Ada")[0] is ReviewState.ACCEPTED


def test_unsaved_strokes_make_a_case_in_progress(study: Study, proposal):
    EditJournal(study.folder, "p0", proposal.label_hash, "Ada").append(0, [1], [0], [3])
    assert study.review_state("p0", "Ada")[0] is ReviewState.IN_PROGRESS
    assert study.review_state("p0", "Bob")[0] is ReviewState.UNREVIEWED


def test_the_review_shows_what_was_decided_on_else_the_newest_proposal_else_the_reference(study: Study, proposal):
    assert study.current("p1") == study.reference("p1") and study.current("p5") is None
    assert study.current("p0") == proposal
    corrected = _correct(study, proposal)
    assert study.current("p0") == proposal  # saved, not decided
    recorded = study.record(decide(corrected, Verdict.CORRECT))
    propose(study, "p0", 2)
    assert study.current("p0") == corrected
    study.take_back(recorded.id, reader="Ada")
    assert study.current("p0") == study.proposal("p0") != proposal


def test_taking_back_restores_the_state_before(study: Study, proposal):
    first = study.record(decide(proposal, Verdict.REJECT))
    second = study.record(decide(proposal, Verdict.ACCEPT))
    taken = study.take_back(second.id, reader="Ada", comment="wrong key")
    assert taken.retracts_id == second.id and taken.comment == "wrong key"
    assert study.review_state("p0", "Ada") == (ReviewState.REJECTED, first)
    assert len(study.decisions()) == 3


def test_what_cannot_be_taken_back(study: Study, proposal):
    accepted = study.record(decide(proposal))
    with pytest.raises(DecisionError, match=r"Ada's; only Ada can take it back"):
        study.take_back(accepted.id, reader="Bob")
    taken = study.take_back(accepted.id, reader="Ada")
    with pytest.raises(DecisionError, match=r"taken back before"):
        study.take_back(accepted.id, reader="Ada")
    with pytest.raises(DecisionError, match=r"takes another one back already"):
        study.take_back(taken.id, reader="Ada")
    with pytest.raises(UnknownCaseError, match=r"no decision number 999"):
        study.take_back(999, reader="Ada")


def test_decisions_on_something_else_than_what_is_stored_are_refused(study: Study, proposal):
    other = study.reference("p1")
    for change, message in (
        ({"label_hash": "f" * 64}, "the decision is about labels ffff"),
        ({"segmentation_id": other.id, "label_hash": other.label_hash}, "belongs to case p1"),
        ({"frames": (4,)}, "frame 4 does not exist, the image has 0 to 3"),
        ({"slices": (3,)}, "slice 3 does not exist"),
        ({"seconds": -1.0}, "seconds must be 0 or more"),
        ({"seconds": float("nan")}, "seconds must be 0 or more"),
        ({"verdict": Verdict.CORRECT}, "is model; save the correction first"),
        ({"model_id": "m9"}, "was made by m1"),
        ({"id": 3}, "is recorded already"),
    ):
        with pytest.raises(DecisionError, match=message):
            study.record(dataclasses.replace(decide(proposal), **change))
    with pytest.raises(UnknownCaseError, match=r"no case 'p9'"):
        study.record(dataclasses.replace(decide(proposal), case_id="p9"))
    assert study.decisions() == []


def test_decisions_are_found_by_case_and_reader(study: Study, proposal):
    study.record(decide(proposal, reader="Ada"))
    study.record(decide(study.reference("p1"), reader="Bob"))
    assert [d.case_id for d in study.decisions()] == ["p0", "p1"]
    assert [d.reader for d in study.decisions(reader="Bob")] == ["Bob"]
    assert study.decisions("p1", reader="Ada") == []
