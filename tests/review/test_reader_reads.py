"""Planned reads, agreement of readers, acceptance in the audit stream."""

from __future__ import annotations

import math

import numpy as np
import pytest
from study_factory import SHAPE, decide, make_labels, propose

from napari_ssl.core.decision import ReviewState, Verdict
from napari_ssl.core.reading import ReadingKind
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.errors import DecisionError
from napari_ssl.measures.curves import indices, volume_curves
from napari_ssl.review.agreement import agreement_report
from napari_ssl.review.audit import acceptance, wilson_interval
from napari_ssl.review.audit_draw import in_audit
from napari_ssl.review.planning import plan_adjudications, plan_gold, plan_repeats, plan_second_reads
from napari_ssl.study import Study

ALL = tuple(range(SHAPE[0]))


def _correct(study: Study, parent: Segmentation, labels: np.ndarray, reader: str) -> Segmentation:
    return study.add_segmentation(
        parent.case_id, labels, source=Source.CORRECTED, frames=ALL, parent_id=parent.id, reader=reader
    )


@pytest.fixture
def read_study(team_study: Study) -> Study:
    """Ada has accepted the proposals of p0 to p5 but p5, which she rejected."""
    for i in range(6):
        version = propose(team_study, f"p{i}", i)
        team_study.record(decide(version, Verdict.REJECT if i == 5 else Verdict.ACCEPT, seconds=float(i)))
    return team_study


def test_all_second_reads_go_blind_to_the_other_reader_and_only_once(read_study: Study):
    added = plan_second_reads(read_study, "Bob", share=1.0, by="Cyn")
    assert [t.case_id for t in added] == [f"p{i}" for i in range(6)] and all(t.is_blind for t in added)
    assert plan_second_reads(read_study, "Bob", share=1.0, by="Cyn") == []
    assert all(row.reader_of_decision is None for row in read_study.queue_rows("Bob"))
    read_study.record(decide(read_study.proposal("p0"), reader="Bob"))
    assert plan_second_reads(read_study, "Bob", share=1.0, by="Cyn", seed=3) == []  # read is read


def test_a_share_is_drawn_by_the_seed_and_grows_with_the_share(read_study: Study):
    some = {t.case_id for t in plan_second_reads(read_study, "Bob", share=0.5, by="Cyn", seed=1)}
    read_study.withdraw_reading_tasks()
    again = {t.case_id for t in plan_second_reads(read_study, "Bob", share=0.5, by="Cyn", seed=1)}
    more = {t.case_id for t in plan_second_reads(read_study, "Bob", share=0.9, by="Cyn", seed=1)}
    assert some == again and not some & more and 0 < len(some) < 6


def test_second_reads_of_nobody_elses_cases_and_impossible_shares_are_refused(read_study: Study):
    assert plan_second_reads(read_study, "Bob", share=1.0, by="Cyn", first_reader="Dan") == []
    assert plan_second_reads(read_study, "Ada", share=1.0, by="Cyn") == []  # her own are no second reads
    for share, first in ((0.0, None), (1.2, None), (0.5, "Bob")):
        with pytest.raises(DecisionError):
            plan_second_reads(read_study, "Bob", share=share, by="Cyn", first_reader=first)
    with pytest.raises(DecisionError):
        plan_repeats(read_study, "Ada", share=0.0, by="Cyn")


def test_repeats_wait_until_decisions_are_old_and_come_once(read_study: Study):
    assert plan_repeats(read_study, "Ada", share=1.0, by="Cyn") == []  # a week is not over
    added = plan_repeats(read_study, "Ada", share=1.0, by="Cyn", after_days=0)
    assert len(added) == 6 and {t.kind for t in added} == {ReadingKind.REPEAT}
    assert {row.state for row in read_study.queue_rows("Ada")} == {ReviewState.UNREVIEWED}
    read_study.record(decide(read_study.proposal("p0")))
    assert plan_repeats(read_study, "Ada", share=1.0, by="Cyn", after_days=0) == []


def test_gold_cases_are_good_and_wrong_proposals_by_the_experts_labels(team_study: Study):
    for i in range(5):
        if i % 2 == 0:  # as the expert's
            propose(team_study, f"p{i}", i)
        else:  # LV and myocardium exchanged
            labels = make_labels(i, ALL)
            team_study.add_segmentation(
                f"p{i}", (5 - labels) * (labels > 0), source=Source.MODEL, frames=ALL, model_id="m1"
            )
    added = plan_gold(team_study, "Ada", n=4, by="Cyn")
    assert len(added) == 4
    assert {t.case_id: t.expected for t in added}.items() <= {
        f"p{i}": ("good", "wrong")[i % 2] for i in range(5)
    }.items()
    assert sorted(t.expected for t in added) == ["good", "good", "wrong", "wrong"]
    for task in added[:3]:
        team_study.record(decide(team_study.segmentation(task.segmentation_id), Verdict.ACCEPT))
    (gold,) = agreement_report(team_study)["gold"]
    n_wrong = sum(t.expected == "wrong" for t in added[:3])
    assert (gold["n"], gold["n_right"], gold["wrong_found"], gold["good_accepted"]) == (3, 3 - n_wrong, 0.0, 1.0)
    assert agreement_report(team_study)["between"] == []  # measures the reader, says nothing of the case


def test_no_gold_case_to_give_says_what_is_needed(team_study: Study):
    with pytest.raises(DecisionError, match="predict labelled cases first"):
        plan_gold(team_study, "Ada", n=4, by="Cyn")
    with pytest.raises(DecisionError, match="wrong below <= good from"):
        plan_gold(team_study, "Ada", n=4, by="Cyn", good_from=0.5, wrong_below=0.7)


def test_an_adjudicator_settles_what_readers_differ_on(read_study: Study):
    read_study.record(decide(read_study.proposal("p0"), Verdict.REJECT, reader="Bob"))
    assert agreement_report(read_study)["disputed"] == ["p0"]
    (task,) = plan_adjudications(read_study, "Cyn", by="Cyn")
    row = read_study.queue_rows("Cyn")[0]
    assert row.task == "adjudication" and row.is_disputed and len(read_study.visible_decisions("p0", "Cyn")) == 2
    settled = read_study.record(decide(read_study.segmentation(task.segmentation_id), reader="Cyn"))
    assert settled.reading is ReadingKind.ADJUDICATION
    assert read_study.review_state("p0") == (ReviewState.ACCEPTED, settled)
    assert agreement_report(read_study)["disputed"] == []


def test_agreement_between_readers_against_numbers_worked_out_by_hand(read_study: Study):
    corrected = _correct(read_study, read_study.proposal("p1"), make_labels(3, ALL), "Bob")
    for i in range(6):
        version, verdict = read_study.proposal(f"p{i}"), Verdict.ACCEPT
        if i == 1:
            version, verdict = corrected, Verdict.CORRECT
        elif i >= 4:
            verdict = Verdict.REJECT
        read_study.record(decide(version, verdict, reader="Bob"))
    (entry,) = agreement_report(read_study)["between"]
    # rows Ada, columns Bob; accept, correct, reject: p0 p2 p3 | p1 | p4 and p5 both rejected by Bob, p5 by Ada
    assert entry["readers"] == ["Ada", "Bob"] and entry["table"] == [[3, 1, 1], [0, 0, 0], [0, 0, 1]]
    observed, chance = 4 / 6, (5 * 3 + 0 * 1 + 1 * 2) / 36
    assert entry["kappa"]["value"] == pytest.approx((observed - chance) / (1 - chance))
    assert entry["kappa_bootstrap"]["low"] < entry["kappa"]["value"] < entry["kappa_bootstrap"]["high"]
    labels = entry["labels"]
    assert (labels["n"], labels["n_identical"]) == (4, 3)  # both stand for labels of p0 to p3
    # p1, a slice: Ada's LV has 2·3 pixels, all in Bob's 2·5; what lies outside the myocardium's box does not change it
    dice_p1 = (2 * 6 / (6 + 10) + 1) / 2
    assert labels["dice"]["mean"] == pytest.approx((3 + dice_p1) / 4)
    assert labels["lv_ef_percent"] is None  # volumes never change: no EF


def test_ejection_fractions_of_two_readers_give_limits_of_agreement(team_study: Study):
    differences = []
    for i, (wide, narrow) in enumerate([(4, 2), (4, 3), (3, 2)]):
        proposal = propose(team_study, f"p{i}", i)
        values = []
        for reader, width in (("Ada", narrow), ("Bob", narrow + (i == 2))):
            labels = np.zeros(SHAPE, np.uint8)
            labels[:, :, 2:4, 1 : 1 + wide] = 3
            labels[2, :, 2:4, 1 + width : 1 + wide] = 0
            version = _correct(team_study, proposal, labels, reader)
            team_study.record(decide(version, Verdict.CORRECT, reader=reader))
            case, scheme = team_study.case(f"p{i}"), team_study.label_scheme
            curves = volume_curves(case.id, labels, scheme, case.spacing_zyx_mm, frames=ALL)
            found = indices(curves, scheme).lv_ef_percent
            values.append(0.0 if found is None or math.isnan(found) else found)
        differences.append(values)
    (entry,) = agreement_report(team_study)["between"]
    known = [(a, b) for a, b in differences if a and b]
    ef = entry["labels"]["lv_ef_percent"]
    assert ef["n"] == len(known) == 2 and ef["bias"] == pytest.approx(np.mean([a - b for a, b in known]))
    assert known[0] == pytest.approx((50.0, 50.0))


def test_hidden_repeats_measure_a_reader_against_the_own_first_read(read_study: Study):
    plan_repeats(read_study, "Ada", share=1.0, by="Cyn", after_days=0)
    for i in range(6):
        read_study.record(decide(read_study.proposal(f"p{i}"), Verdict.REJECT if i in (0, 5) else Verdict.ACCEPT))
    document = agreement_report(read_study, with_labels=False)
    (entry,) = document["within"]
    assert entry["reader"] == "Ada" and entry["table"] == [[4, 0, 1], [0, 0, 0], [0, 0, 1]] and "labels" not in entry
    assert document["readers"][0]["n_read"] == 6 and document["readers"][0]["median_seconds"] == 2.5


def test_the_acceptance_rate_of_the_audit_stream_counts_audit_cases_alone(team_study: Study):
    versions = {}
    decisions = []
    template = propose(team_study, "p0", 0)
    for i in range(400):
        case_id = f"c{i}"
        version = Segmentation(
            **{name: getattr(template, name) for name in Segmentation.__dataclass_fields__}
            | {"id": i + 1, "case_id": case_id}
        )
        versions[version.id] = version
        # the reader went through the worst first: of the others only bad ones were read, and all were rejected
        good = in_audit(case_id) and i % 3 != 0
        decision = decide(version, Verdict.ACCEPT if good else Verdict.REJECT)
        decisions.append(type(decision)(**{**_values(decision), "id": i + 1}))
    found = acceptance(decisions, versions)
    audit = [i for i in range(400) if in_audit(f"c{i}")]
    assert found["audit"]["n"] == len(audit) and found["all"]["n"] == 400
    assert found["audit"]["n_accepted"] == sum(i % 3 != 0 for i in audit)
    assert found["audit"]["low"] < found["audit"]["rate"] < found["audit"]["high"]
    assert found["all"]["rate"] < found["audit"]["low"]  # biased by the order


def _values(decision) -> dict:
    return {name: getattr(decision, name) for name in type(decision).__dataclass_fields__}


def test_wilsons_interval_against_a_published_example():
    # Newcombe, Stat. Med. 17:857 (1998), Table I, method 3: 81 of 263 and 0 of 20
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (None, None)
