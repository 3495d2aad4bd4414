from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from napari_ssl.core.rating import GOOD_FROM, SCALE, Rating, consensus, needs_adjudication, standing_ratings
from napari_ssl.errors import DecisionError

AT = datetime(2026, 3, 1, tzinfo=UTC)


def _rating(score: int = 4, reader: str = "Ada", version: int = 1, **more) -> Rating:
    return Rating(
        case_id="p0",
        segmentation_id=version,
        reader=reader,
        score=score,
        seconds=2.0,
        rated_at=AT,
        app_version="1",
        **more,
    )


def test_three_and_four_are_good_one_and_two_erroneous_zero_neither():
    assert GOOD_FROM == 3
    assert {s: _rating(s).is_good for s in SCALE} == {4: True, 3: True, 2: False, 1: False, 0: None}


def test_scores_off_the_scale_are_refused_and_named():
    for score in (5, -1, 2.5, True):
        with pytest.raises(DecisionError, match=r"case p0: a score is 1, 2, 3, 4 or 0 .*got"):
            _rating(score)
    with pytest.raises(DecisionError, match=r"needs a reader's name"):
        _rating(reader=" ")
    with pytest.raises(DecisionError, match=r"seconds must be 0 or more"):
        dataclasses.replace(_rating(), seconds=float("nan"))
    with pytest.raises(DecisionError, match=r"no time zone"):
        dataclasses.replace(_rating(), rated_at=datetime(2026, 3, 1))


def test_a_readers_newest_rating_stands():
    first, second, withdrawn = _rating(1, id=1), _rating(4, id=2), _rating(2, id=3, taken_back=True)
    other = _rating(2, reader="Bob", id=4)
    assert standing_ratings([first, second, withdrawn, other]) == [second, other]


def test_the_majority_decides():
    ratings = [_rating(4), _rating(3, "Bob"), _rating(1, "Cy"), _rating(1, version=2), _rating(2, "Bob", version=2)]
    assert consensus(ratings) == {1: True, 2: False} and needs_adjudication(ratings) == []


def test_a_tie_waits_for_the_adjudicator_who_never_overrules_a_majority():
    tie = [_rating(4), _rating(2, "Bob")]
    assert consensus(tie) == {} and needs_adjudication(tie) == [1]
    settled = [*tie, _rating(1, "Eve", is_adjudication=True)]
    assert consensus(settled) == {1: False} and needs_adjudication(settled) == []
    assert consensus([*settled, _rating(4, "Cy")]) == {1: True}


def test_versions_that_cannot_be_read_are_left_out():
    assert consensus([_rating(0), _rating(0, "Bob"), _rating(4, "Cy")]) == {}
    mixed = [_rating(0), _rating(4, "Bob")]
    assert needs_adjudication(mixed) == [1]
    assert consensus([*mixed, _rating(0, "Eve", is_adjudication=True)]) == {}
    assert consensus([_rating(0), _rating(4, "Bob"), _rating(3, "Cy")]) == {1: True}
