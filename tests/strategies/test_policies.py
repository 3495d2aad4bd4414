"""What each policy accepts, and what the oracle's clinician has time for."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.decision import Verdict
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import CatalogueError, SpecError
from napari_ssl.strategies.policies import Proposal, make_policy

ACDC = PRESETS["acdc"]
TRUTH = np.zeros((2, 4, 8, 8), np.uint8)
TRUTH[:, :, 2:6, 2:6] = 3


def proposal(name: str, *wrong: tuple[int, int]) -> Proposal:
    """The truth, with the given (frame, slice) empty."""
    labels = TRUTH.copy()
    for t, z in wrong:
        labels[t, z] = 0
    return Proposal(case_id=name, labels=labels, frames=(0, 1), ed_frame=0, es_frame=1)


def oracle(**values):
    return make_policy("oracle", values, scheme=ACDC, reference_of=lambda case: (TRUTH, (0, 1)))


def proposals():
    return [proposal("good"), proposal("bad", (0, 0), (0, 1), (1, 2)), proposal("worse", *[(0, z) for z in range(4)])]


def test_the_oracles_time_is_that_of_its_looks_and_of_the_slices_it_redraws():
    found = oracle(correct_cases=1, seconds_accept=10, seconds_reject=20, seconds_slice=30).judge(proposals())
    assert {n: j.verdict for n, j in found.items()} == {
        "good": Verdict.ACCEPT, "bad": Verdict.REJECT, "worse": Verdict.CORRECT,
    }  # fmt: skip
    assert {n: j.seconds for n, j in found.items()} == {"good": 10, "bad": 20, "worse": 20 + 4 * 30}
    assert found["worse"].n_slices == 4
    np.testing.assert_array_equal(found["worse"].labels, TRUTH)


def test_a_round_takes_no_longer_than_its_minutes():
    costs = {"seconds_accept": 10, "seconds_reject": 20, "seconds_slice": 30}
    for minutes in np.linspace(0.1, 6, 24):
        found = oracle(minutes=float(minutes), correct_cases=9, **costs).judge(proposals())
        assert sum(j.seconds for j in found.values()) <= 60 * minutes + 1e-9
    found = oracle(minutes=0.5, **costs).judge(proposals())  # 10 + 20, then no time for the third
    assert list(found) == ["good", "bad"]
    found = oracle(minutes=2.4, **costs).judge(proposals())  # 50 s of looks; 94 s are left: 4 slices no, 3 slices yes
    assert (found["worse"].verdict, found["bad"].verdict) == (Verdict.REJECT, Verdict.CORRECT)


def test_in_a_frame_the_worst_slices_are_corrected_within_its_time():
    half = proposal("half", (0, 0), (1, 3))
    half.labels[0, 1, 2, 2:6] = 0  # a smaller error
    found = oracle(accept_dice=1, frame_seconds=45, seconds_slice=30).judge([half])["half"]
    assert found.n_slices == 2  # one a frame
    np.testing.assert_array_equal(found.labels[0, 0], TRUTH[0, 0])
    np.testing.assert_array_equal(found.labels[0, 1], half.labels[0, 1])
    np.testing.assert_array_equal(found.labels[1, 3], TRUTH[1, 3])


def test_random_draws_as_many_as_asked_for_the_same_for_a_seed_in_any_order():
    pool = [Proposal(case_id=f"c{i:02d}", labels=TRUTH, frames=(0,)) for i in range(12)]
    drawn = {s: set(make_policy("random", {"n": 4}, scheme=ACDC, seed=s).judge(pool)) for s in range(5)}
    assert all(len(d) == 4 for d in drawn.values())
    assert len({frozenset(d) for d in drawn.values()}) > 1
    assert set(make_policy("random", {"n": 4}, scheme=ACDC, seed=2).judge(pool[::-1])) == drawn[2]
    assert len(make_policy("random", {"n": 99}, scheme=ACDC).judge(pool)) == 12
    with pytest.raises(CatalogueError, match="'n'"):
        make_policy("random", {"n": 0}, scheme=ACDC)


def test_quality_control_accepts_above_the_threshold_the_best_first():
    scores = {"a": 0.9, "b": 0.6, "c": 0.95, "d": 0.3}
    pool = [Proposal(case_id=n, labels=TRUTH, frames=(0,)) for n in "abcde"]  # e has no score

    def accepted(point=0.5, **values):
        policy = make_policy("qc", values, scheme=ACDC, score_of=lambda _: scores, operating_point=point)
        return list(policy.judge(pool))

    assert accepted() == ["c", "a", "b"]
    assert accepted(n_best=2) == ["c", "a"]
    assert accepted(threshold=0.92) == ["c"]
    assert accepted(point=0.2) == ["c", "a", "b", "d"]


def test_quality_control_without_a_classifier_is_refused():
    with pytest.raises(SpecError, match="qc train"):
        make_policy("qc", {}, scheme=ACDC)
