from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.errors import SpecError
from napari_ssl.qc.evaluate import (
    area_under_curve,
    bootstrap,
    calibration_curve,
    confusion,
    evaluate,
    fit_calibration,
    operating_threshold,
    rates,
    roc_curve,
)

P = np.array([0.1, 0.2, 0.3, 0.35, 0.6, 0.7, 0.8, 0.9])
GOOD = np.array([0, 0, 1, 0, 1, 0, 1, 1], bool)


def test_area_is_the_share_of_pairs_in_the_right_order():
    pairs = [(a > b) + 0.5 * (a == b) for a in P[GOOD] for b in P[~GOOD]]
    assert area_under_curve(P, GOOD) == pytest.approx(np.mean(pairs))
    assert area_under_curve(np.ones(8), GOOD) == 0.5
    assert area_under_curve(GOOD.astype(float), GOOD) == 1.0


def test_roc_runs_from_nothing_flagged_to_everything_flagged_and_has_that_area():
    false_alarms, sensitivity, _ = roc_curve(P, GOOD)
    assert (false_alarms[0], sensitivity[0]) == (0, 0)
    assert (false_alarms[-1], sensitivity[-1]) == (1, 1)
    assert np.trapezoid(sensitivity, false_alarms) == pytest.approx(area_under_curve(P, GOOD))


def test_roc_agrees_with_counting_at_every_threshold():
    for false_alarm, sensitivity, threshold in zip(*roc_curve(P, GOOD), strict=True):
        assert rates(P, GOOD, threshold) == pytest.approx((sensitivity, 1 - false_alarm))


def test_youden_weighted_to_sensitivity_flags_more():
    plain, weighted = (operating_threshold(P, GOOD, w) for w in (0.5, 0.9))
    assert rates(P, GOOD, weighted)[0] == 1.0
    assert rates(P, GOOD, weighted)[0] >= rates(P, GOOD, plain)[0]
    best = max(0.9 * s + 0.1 * (1 - f) for f, s, _ in zip(*roc_curve(P, GOOD), strict=True))
    sensitivity, specificity = rates(P, GOOD, weighted)
    assert 0.9 * sensitivity + 0.1 * specificity == pytest.approx(best)


def test_confusion_counts_everything_once():
    found = confusion(P, GOOD, 0.5)
    assert found == {"erroneous_flagged": 3, "erroneous_passed": 1, "good_flagged": 1, "good_passed": 3}


def test_calibration_of_honest_probabilities_is_near_the_diagonal():
    rng = np.random.default_rng(0)
    p = rng.random(20000)
    honest = calibration_curve(p, rng.random(20000) < p)
    assert honest["expected_error"] < 0.02
    assert honest["brier"] == pytest.approx(1 / 6, abs=0.01)
    assert sum(b["n"] for b in honest["bins"]) == 20000


@pytest.mark.parametrize(("method", "slope", "intercept"), [("temperature", 0.5, 0.0), ("platt", 0.5, 1.0)])
def test_calibration_finds_the_slope_and_intercept_that_logits_were_made_with(method, slope, intercept):
    rng = np.random.default_rng(1)
    logit = rng.normal(0, 4, 20000)
    good = rng.random(20000) < 1 / (1 + np.exp(-(slope * logit + intercept)))
    found = fit_calibration(logit, good, method)
    assert found.slope == pytest.approx(slope, rel=0.1)
    assert found.intercept == pytest.approx(intercept, abs=0.1)
    assert np.all(np.diff(found.probability(np.sort(logit))) >= 0)


def test_separable_logits_give_finite_calibration():
    found = fit_calibration(np.array([-3.0, -2.0, 2.0, 3.0]), np.array([False, False, True, True]), "platt")
    assert np.isfinite([found.slope, found.intercept]).all()
    assert fit_calibration(P, GOOD, "none").slope == 1.0


def test_intervals_are_drawn_by_subject():
    rng = np.random.default_rng(0)
    p = np.clip(np.repeat(rng.random(40), 10), 0.01, 0.99)
    good = np.repeat(rng.random(40) < 0.6, 10)
    by_subject = bootstrap(p, good, np.repeat([f"s{i}" for i in range(40)], 10), 0.5)["auc"]
    by_case = bootstrap(p, good, [f"c{i}" for i in range(400)], 0.5)["auc"]
    assert by_subject[1] - by_subject[0] > 2 * (by_case[1] - by_case[0])
    assert bootstrap(p, good, ["one"] * 400, 0.5) == {}
    assert bootstrap(p, good, ["a"] * 200 + ["b"] * 200, 0.5, seed=3) == bootstrap(
        p, good, ["a"] * 200 + ["b"] * 200, 0.5, seed=3
    )


def test_the_report_is_plain_and_refuses_one_verdict_alone():
    import json

    document = evaluate(P, GOOD, [f"s{i}" for i in range(8)], 0.5)
    assert json.loads(json.dumps(document, allow_nan=False))["n_subjects"] == 8
    with pytest.raises(SpecError, match="some of both"):
        evaluate(P, np.ones(8, bool), ["a"] * 8, 0.5)
