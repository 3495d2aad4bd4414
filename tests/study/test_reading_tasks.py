from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from study_factory import SHAPE, decide, make_labels, make_model, propose

from napari_ssl.core.decision import ReviewState, Verdict
from napari_ssl.core.reading import ReadingKind, ReadingTask
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.errors import DecisionError
from napari_ssl.study import Study

ALL = tuple(range(SHAPE[0]))


@pytest.fixture
def proposal(study: Study, tmp_path: Path) -> Segmentation:
    make_model(study, tmp_path / "out")
    return propose(study, "p0", 1)


def _plan(study: Study, version: Segmentation, reader: str, kind: str = "second-read", **more) -> ReadingTask:
    task = ReadingTask(
        case_id=version.case_id,
        segmentation_id=version.id,
        reader=reader,
        kind=ReadingKind(kind),
        created_at=datetime.now(UTC),
        planned_by="Cyn",
        **more,
    )
    (added,) = study.add_reading_tasks([task])
    return added


def _row(study: Study, reader: str | None, case_id: str = "p0"):
    return next(row for row in study.queue_rows(reader) if row.case_id == case_id)


def test_a_second_reader_does_not_see_the_first_ones_verdict_or_labels(study: Study, proposal):
    study.record(decide(proposal, reader="Ada"))
    newer = propose(study, "p0", 2)
    task = _plan(study, proposal, "Bob")
    assert study.current("p0", "Bob") == proposal and study.current("p0", "Ada") == proposal
    row = _row(study, "Bob")
    assert (row.state, row.reader_of_decision, row.task) == (ReviewState.UNREVIEWED, None, None)
    assert row.proposal_id == proposal.id != newer.id and not row.has_reference
    assert study.visible_decisions("p0", "Bob") == [] and len(study.visible_decisions("p0", "Ada")) == 1
    recorded = study.record(decide(proposal, Verdict.REJECT, reader="Bob"))
    assert (recorded.task_id, recorded.reading) == (task.id, ReadingKind.SECOND_READ)
    assert study.reading_tasks(open_only=True) == [] and study.reading_tasks() == [task]
    assert len(study.visible_decisions("p0", "Bob")) == 2
    assert _row(study, "Ada").state is ReviewState.ACCEPTED  # nobody's verdict is overwritten
    assert _row(study, None).is_disputed and study.review_state("p0")[0] is ReviewState.SUPERSEDED


def test_a_hidden_repeat_comes_unmarked_and_is_not_learned_from(study: Study, proposal):
    first = study.record(decide(proposal, reader="Ada"))
    _plan(study, proposal, "Ada", "repeat")
    row = _row(study, "Ada")
    assert (row.state, row.task, row.reader_of_decision) == (ReviewState.UNREVIEWED, None, None)
    assert _row(study, "Bob").reader_of_decision == "Ada"
    corrected = study.add_segmentation(
        "p0", make_labels(4, ALL), source=Source.CORRECTED, frames=ALL, parent_id=proposal.id, reader="Ada"
    )
    again = study.record(decide(corrected, Verdict.CORRECT))
    assert again.reading is ReadingKind.REPEAT  # a correction of the version answers the read, too
    assert study.review_state("p0") == (ReviewState.ACCEPTED, first)
    study.take_back(again.id, reader="Ada")
    assert len(study.reading_tasks(open_only=True)) == 1 and _row(study, "Ada").state is ReviewState.UNREVIEWED


def test_a_read_is_not_answered_by_another_reader_or_another_version(study: Study, proposal):
    _plan(study, proposal, "Bob")
    assert study.record(decide(proposal, reader="Ada")).task_id is None
    newer = propose(study, "p0", 2)
    assert study.record(decide(newer, reader="Bob")).task_id is None
    assert study.record(decide(proposal, Verdict.DEFER, reader="Bob")).reading is ReadingKind.SECOND_READ
    assert len(study.reading_tasks(reader="Bob", open_only=True)) == 1  # deferring is no answer
    assert _row(study, "Bob").state is ReviewState.DEFERRED


def test_the_same_read_is_planned_once_and_open_ones_can_be_withdrawn(study: Study, proposal):
    task = _plan(study, proposal, "Bob")
    assert study.add_reading_tasks([ReadingTask(**{**_fields(task), "id": None})]) == []
    study.record(decide(proposal, reader="Bob"))
    _plan(study, proposal, "Bob", "repeat")
    _plan(study, study.reference("p1"), "Bob", "gold", expected="good")
    assert study.withdraw_reading_tasks(reader="Bob", kind="gold") == 1
    assert study.withdraw_reading_tasks() == 1  # what was answered stays
    assert [t.kind for t in study.reading_tasks()] == [ReadingKind.SECOND_READ]


def _fields(task: ReadingTask) -> dict:
    return {name: getattr(task, name) for name in ReadingTask.__dataclass_fields__}


def test_a_gold_case_shows_its_version_and_hides_that_experts_labelled_it(study: Study, proposal):
    _plan(study, study.reference("p1"), "Ada", "gold", expected="good")
    row = _row(study, "Ada", "p1")
    assert row.proposal_id == study.reference("p1").id and not row.has_reference
    study.record(decide(study.reference("p1")))
    assert study.review_state("p1") == (ReviewState.UNREVIEWED, None)
    assert study.review_state("p1", "Ada")[0] is ReviewState.ACCEPTED


def test_a_read_of_another_cases_labels_is_refused_and_nothing_is_planned(study: Study, proposal):
    good = ReadingTask(
        case_id="p0", segmentation_id=proposal.id, reader="Bob", kind="repeat", created_at=datetime.now(UTC)
    )
    wrong = ReadingTask(**{**_fields(good), "case_id": "p1"})
    with pytest.raises(DecisionError, match="belongs to case p0"):
        study.add_reading_tasks([good, wrong])
    assert study.reading_tasks() == []


def test_what_a_reader_was_doing_is_remembered_by_reader_in_the_study(any_study: Study):
    assert any_study.recall("Ada", "queue") is None
    any_study.remember("Ada", "queue", {"order": "case-id", "text": "x"})
    any_study.remember("Ada", "queue", {"order": "worst-qc-first", "case": "p3"})
    any_study.remember("Bob", "queue", {"order": "case-id"})
    with Study.open(any_study.folder) as again:
        assert again.recall("Ada", "queue") == {"order": "worst-qc-first", "case": "p3"}
        assert again.recall("Bob", "queue") == {"order": "case-id"}
