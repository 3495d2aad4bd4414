from __future__ import annotations

import pytest

from napari_ssl.core.case import Split
from napari_ssl.core.decision import ReviewState
from napari_ssl.errors import CatalogueError
from napari_ssl.review.audit_draw import in_audit
from napari_ssl.review.queue import filter_rows
from napari_ssl.study.queue_rows import QueueRow


def _row(case_id: str, state: str = "unreviewed", **values) -> QueueRow:
    values = {"split": Split.TRAIN, "subject_id": case_id, **values}
    return QueueRow(case_id=case_id, state=ReviewState(state), **values)


ROWS = [
    _row("a1", "accepted", group="DCM", reader_of_decision="Ada", lv_ef=30.0, mean_confidence=0.9, n_flags=0),
    _row(
        "a2", "rejected", group="NOR", reader_of_decision="Bob Fox", lv_ef=60.0, probability_good=0.2, is_flagged=True
    ),
    _row("b1", "deferred", split=Split.TEST, lv_ef=39.5, n_flags=2, round=2, model_id="m3"),
    _row("b2", "in_progress", is_disputed=True, disagreement=0.25, round=1, model_id="m1"),
]


def _found(text: str) -> str:
    return " ".join(row.case_id for row in filter_rows(ROWS, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a1 a2 b1 b2"),
        ("train", "a1 a2 b2"),
        ("DCM", "a1"),
        ("state:accepted", "a1"),
        ("state:rejected,todo", "a2 b1 b2"),
        ("-state:todo", "a1 a2"),
        ("reader:ad", "a1"),
        ('reader:"bob fox"', "a2"),
        ("reader:none", "b1 b2"),
        ("-reader:none", "a1 a2"),
        ("flag:yes", "a2 b1"),
        ("flag:qc", "a2"),
        ("flag:rules", "b1"),
        ("flag:no", "a1 b2"),
        ("split:test", "b1"),
        ("ef<40", "a1 b1"),
        ("ef>39 ef<40", "b1"),
        ("qc<0.5", "a2"),
        ("conf>80", "a1"),
        ("change>20", "b2"),
        ("round:2", "b1"),
        ("disputed:yes", "b2"),
        ("model:m3 b", "b1"),
        ("state:", "a1 a2 b1 b2"),  # still being typed
        ("ef<", "a1 a2 b1 b2"),
    ],
)
def test_what_is_typed_chooses_rows(text: str, expected: str):
    assert _found(text) == expected


def test_the_audit_stream_can_be_listed():
    many = [_row(f"c{i}") for i in range(200)]
    audit = filter_rows(many, "audit:yes")
    assert audit == [r for r in many if in_audit(r.case_id)] and 0 < len(audit) < 50
    assert len(filter_rows(many, "audit:no")) == 200 - len(audit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stat:accepted", "knows no 'stat'; there are state, case"),
        ("state:good", "no state of review 'good'; there are todo, unreviewed"),
        ("flag:perhaps", "flag: knows no 'perhaps'; there are yes, no, qc, rules"),
        ("ef<low", "ef needs a number, got 'low'"),
        ("state<3", "'state' is no number; ef, conf"),
    ],
)
def test_what_cannot_be_read_says_what_there_is(text: str, message: str):
    with pytest.raises(CatalogueError, match=message):
        filter_rows(ROWS, text)
