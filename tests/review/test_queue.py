from __future__ import annotations

import pytest

from napari_ssl.core.case import Split
from napari_ssl.core.decision import ReviewState
from napari_ssl.errors import CatalogueError
from napari_ssl.review.audit_draw import in_audit
from napari_ssl.review.queue import ORDERS, filter_rows, order_rows, with_audit
from napari_ssl.study.queue_rows import QueueRow


def _row(case_id: str, **values) -> QueueRow:
    values = {"split": Split.TRAIN, "state": ReviewState.UNREVIEWED, "subject_id": case_id, **values}
    return QueueRow(case_id=case_id, **values)


def _ids(rows: list[QueueRow]) -> list[str]:
    return [row.case_id for row in rows]


ROWS = [
    _row("d", mean_confidence=0.9, disagreement=0.1, foreground_fraction=0.2),
    _row("a"),
    _row("c", mean_confidence=0.5, disagreement=0.3, foreground_fraction=0.2),
    _row("b", mean_confidence=0.7, disagreement=None, foreground_fraction=0.0),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("worst-confidence-first", "cbda"),
        ("best-confidence-first", "dbca"),
        ("most-changed-first", "cdab"),
        ("case-id", "abcd"),
    ],
)
def test_orders_put_unknown_values_last(name: str, expected: str):
    assert _ids(order_rows(ROWS, name)) == list(expected)


@pytest.mark.parametrize("name", ORDERS)
def test_every_order_keeps_every_row_once_and_leaves_the_argument_alone(name: str):
    before = list(ROWS)
    assert sorted(_ids(order_rows(ROWS, name, audit_seed=0))) == list("abcd")
    assert before == ROWS and order_rows([], name) == []


def test_an_unknown_order_lists_those_there_are():
    with pytest.raises(CatalogueError, match=r"no order 'best'.*worst-confidence-first, best-confidence-first"):
        order_rows(ROWS, "best")


def test_the_random_order_is_decided_by_the_seed_and_not_by_the_order_of_rows():
    order = ORDERS["foreground-aware-random"]
    assert order(ROWS, 3) == order(ROWS[::-1], 3)
    assert _ids(order(ROWS, 3))[-1] == "a"
    assert len({tuple(_ids(order(ROWS, seed))) for seed in range(20)}) > 1


def test_more_foreground_comes_earlier_in_proportion():
    """Efraimidis and Spirakis: of two rows, the first is drawn with probability w1 / (w1 + w2)."""
    rows = [_row("little", foreground_fraction=0.1), _row("much", foreground_fraction=0.3)]
    n = 4000
    share = sum(_ids(ORDERS["foreground-aware-random"](rows, seed))[0] == "much" for seed in range(n)) / n
    assert share == pytest.approx(0.75, abs=0.03)


def test_a_tenth_of_the_cases_is_audited_whatever_the_model_says():
    rows = [_row(f"case{i}") for i in range(5000)]
    chosen = {r.case_id for r in rows if in_audit(r.case_id, seed=1)}
    assert len(chosen) / len(rows) == pytest.approx(0.1, abs=0.015)
    assert chosen != {r.case_id for r in rows if in_audit(r.case_id, seed=2)}
    assert all(in_audit(c, seed=1) for c in chosen)


def test_every_tenth_row_is_from_the_audit_stream_and_the_others_keep_their_order():
    rows = [_row(f"case{i:04d}", mean_confidence=i / 1000) for i in range(1000)]
    mixed = with_audit(rows, seed=1)
    n_audit = sum(in_audit(r.case_id, 1) for r in rows)
    n_regular = min(n_audit, 1000 // 10)
    assert [i for i, r in enumerate(mixed) if in_audit(r.case_id, 1)][:n_regular] == [
        10 * i + 9 for i in range(n_regular)
    ]
    assert [r for r in mixed if not in_audit(r.case_id, 1)] == [r for r in rows if not in_audit(r.case_id, 1)]
    assert sorted(_ids(mixed)) == _ids(rows)


def test_all_words_of_a_filter_must_occur():
    rows = [
        _row("patient001", group="DCM", model_id="m1", reader_of_decision="Ada"),
        _row("patient002", group="NOR", state=ReviewState.ACCEPTED, split=Split.TEST),
    ]
    assert _ids(filter_rows(rows)) == ["patient001", "patient002"]
    for text in ("dcm", "DCM patient", "ada m1", "001"):
        assert _ids(filter_rows(rows, text)) == ["patient001"]
    assert _ids(filter_rows(rows, "test accepted")) == ["patient002"]
    assert filter_rows(rows, "dcm nor") == []


def test_filters_by_state():
    rows = [_row("a"), _row("b", state=ReviewState.REJECTED), _row("c", state=ReviewState.SUPERSEDED)]
    assert _ids(filter_rows(rows, states=("rejected", ReviewState.SUPERSEDED))) == ["b", "c"]
    assert filter_rows(rows, states=()) == []
    with pytest.raises(CatalogueError, match="no state of review 'good'"):
        filter_rows(rows, states=("good",))


def test_ten_thousand_rows_are_ordered_and_filtered():
    rows = [_row(f"case{i:05d}", mean_confidence=(i * 7919 % 10000) / 10000, group="NOR") for i in range(10_000)]
    found = filter_rows(order_rows(rows, "worst-confidence-first", audit_seed=0), "nor 123")
    assert len(found) == sum("123" in r.case_id for r in rows)
