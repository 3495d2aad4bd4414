from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from study_factory import decide

from napari_ssl.core.decision import PlaceJudgement, PlaceVerdict
from napari_ssl.errors import DecisionError, UnknownCaseError
from napari_ssl.study import Study


def _judge(study: Study, frame: int = 0, slice_: int | None = 1, reader: str = "Ada", **more) -> PlaceVerdict:
    reference = study.reference("p0")
    values = {"verdict": "wrong", "reason": "Basal slice wrong", "seconds": 2.5, **more}
    return PlaceVerdict(
        case_id="p0",
        segmentation_id=reference.id,
        label_hash=reference.label_hash,
        reader=reader,
        frame=frame,
        slice=slice_,
        judged_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        **values,
    )


def test_a_verdict_on_a_slice_comes_back_as_it_was_recorded(study: Study):
    made = _judge(study, comment="papillary")
    recorded = study.add_place_verdict(made)
    assert study.place_verdicts("p0") == [recorded] and dataclasses.replace(recorded, id=None) == made
    assert recorded.verdict is PlaceJudgement.WRONG
    assert study.place_verdicts("p1") == [] and study.place_verdicts("p0", reader="Bob") == []


def test_the_newest_verdict_of_a_reader_on_a_place_stands_and_each_reader_keeps_the_own(study: Study):
    study.add_place_verdict(_judge(study))
    newer = study.add_place_verdict(_judge(study, verdict="good", reason=""))
    whole = study.add_place_verdict(_judge(study, slice_=None))
    bobs = study.add_place_verdict(_judge(study, reader="Bob"))
    assert study.place_verdicts("p0") == [newer, whole, bobs]
    assert len(study.place_verdicts("p0", standing=False)) == 4


def test_a_verdict_on_a_place_can_be_taken_back_by_its_reader_alone_and_once(study: Study):
    first = study.add_place_verdict(_judge(study, verdict="good"))
    second = study.add_place_verdict(_judge(study))
    with pytest.raises(DecisionError, match="Ada's; only Ada can take it back"):
        study.take_back_place_verdict(second.id, "Bob")
    back = study.take_back_place_verdict(second.id, "Ada")
    assert back.retracts_id == second.id
    assert study.place_verdicts("p0") == [first]  # what stood before stands again
    with pytest.raises(DecisionError, match="taken back before"):
        study.take_back_place_verdict(second.id, "Ada")
    with pytest.raises(UnknownCaseError):
        study.take_back_place_verdict(back.id, "Ada")


def test_places_that_are_not_there_are_refused(study: Study):
    for change, message in (
        ({"frame": 4}, "frame 4 does not exist, the image has 0 to 3"),
        ({"slice": 3}, "slice 3 does not exist, the image has 0 to 2"),
        ({"label_hash": "0" * 64}, "the verdict names 000000000000"),
        ({"id": 7}, "recorded already"),
    ):
        with pytest.raises(DecisionError, match=message):
            study.add_place_verdict(dataclasses.replace(_judge(study), **change))
    with pytest.raises(DecisionError, match="good or wrong, got 'bad'"):
        _judge(study, verdict="bad")
    assert study.place_verdicts() == []


def test_verdicts_on_places_are_append_only(study: Study):
    study.add_place_verdict(_judge(study))
    for statement in ("UPDATE place_verdicts SET reader = 'Bob'", "DELETE FROM place_verdicts"):
        with pytest.raises(DecisionError, match="append-only"), study._database.write() as connection:
            connection.exec_driver_sql(statement)
    study.record(decide(study.reference("p0")))  # the study goes on
