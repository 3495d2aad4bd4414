"""Counts by the database equal those over all rows; the first page is the beginning of the queue."""

from __future__ import annotations

from collections import Counter

import pytest
from study_factory import decide, make_items, make_model, propose

from napari_ssl.core.decision import Verdict
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.review.queue import order_rows
from napari_ssl.study import Study, overview


@pytest.fixture
def busy(tmp_path):
    """Nine cases in all states: proposed once or twice, or not; accepted, rejected, superseded, taken back."""
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        study.add_cases(make_items(tmp_path / "in", n=9, n_labelled=2), split="train")
        make_model(study, tmp_path / "m1")
        for n, confidence in ((2, 0.9), (3, 0.5), (4, None), (5, 0.7), (6, 0.6)):
            proposal = propose(study, f"p{n}", n)
            study.set_measures(proposal.id, {"mean_confidence": confidence})
            if n in (2, 3, 5):
                study.record(decide(proposal, Verdict.REJECT if n == 5 else Verdict.ACCEPT, reader=f"R{n}"))
        for n, confidence in ((5, 0.2), (6, 0.95)):  # newer proposals
            study.set_measures(propose(study, f"p{n}", n + 1).id, {"mean_confidence": confidence})
        yield study


@pytest.mark.parametrize("most", [10_000, 1])
def test_counts_are_those_over_all_rows(busy, monkeypatch, most):
    monkeypatch.setattr(overview, "_MOST_ASKED_FOR", most)
    rows = busy.queue_rows()
    counts = busy.status()
    assert counts["n_cases"] == len(rows) == 9
    assert counts["cases_by_state"] == dict(Counter(row.state.value for row in rows))
    assert counts["n_with_proposal"] == sum(row.proposal_id is not None for row in rows) == 5
    assert counts["n_with_reference"] == sum(row.has_reference for row in rows) == 2
    assert counts["cases_by_split"]["train"] == 9 and counts["n_decisions"] == 3 and counts["n_subjects"] == 9


@pytest.mark.parametrize("reader", [None, "R3"])
def test_the_first_page_is_the_beginning_of_the_queue(busy, reader):
    ordered = order_rows(busy.queue_rows(reader), "worst-confidence-first")
    assert [row.case_id for row in ordered[:4]] == ["p5", "p3", "p2", "p6"]  # by the newest proposal
    assert busy.first_queue_rows(reader, 3) == ordered[:3]
    assert busy.first_queue_rows(reader, 100) == ordered[:4]


def test_an_empty_study_has_counts_and_no_page(tmp_path):
    with Study.create(tmp_path / "empty", label_scheme=PRESETS["acdc"]) as study:
        assert study.status()["n_cases"] == 0 and study.status()["cases_by_state"] == {}
        assert study.first_queue_rows(None, 10) == []
