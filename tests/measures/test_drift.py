from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from napari_ssl.errors import CatalogueError
from napari_ssl.measures.drift import DriftLimits, RoundRecord, monitor_drift, spiegelhalter_z


def _validation(dice: float, n: int = 8, spread: float = 0.01) -> dict:
    values = dice + spread * np.random.default_rng(0).standard_normal(n)
    cases = [{"case_id": f"v{i}", "subject_id": f"v{i}", "dice": {"LV": float(v)}} for i, v in enumerate(values)]
    return {"cases": cases, "mean": {"mean_dice": float(values.mean())}, "n": n}


def _round(number: int, **more) -> RoundRecord:
    return RoundRecord(round=number, model_id=f"m{number}", method="supervised, unet", **more)


def _flagged(n_flagged: int, n: int = 40) -> dict[str, bool]:
    return {f"c{i}": i < n_flagged for i in range(n)}


def _kinds(report) -> list[tuple[int, str]]:
    return [(a.round, a.kind) for a in report.alarms]


def test_rounds_that_get_better_raise_no_alarm():
    report = monitor_drift(
        [
            _round(1, validation_loss=0.5, validation=_validation(0.80), flagged=_flagged(12)),
            _round(2, validation_loss=0.45, validation=_validation(0.84), flagged=_flagged(6)),
            _round(3, validation_loss=0.46, validation=_validation(0.837), flagged=_flagged(7)),
        ]
    )
    assert report.alarms == () and not report.stop
    assert report.advice == "Go on: round 3 is not worse than the rounds before."


def test_a_rising_validation_loss_stops_the_loop_and_names_the_best_round():
    rounds = [_round(1, validation_loss=0.5), _round(2, validation_loss=0.4), _round(3, validation_loss=0.43)]
    report = monitor_drift(rounds)
    assert _kinds(report) == [(3, "validation-loss")] and report.stop
    assert report.alarms[0].message == (
        "Round 3: validation loss 0.4300 is 7 % above the 0.4000 of round 2 (at most 5 %)."
    )
    assert report.advice.startswith("Stop: round 3 made things worse; keep model m2 (round 2)")
    assert not monitor_drift(rounds, DriftLimits(loss_rise_percent=10.0)).stop


def test_losses_of_different_methods_are_not_compared():
    other = dataclasses.replace(_round(2, validation_loss=9.0, validation=_validation(0.3)), method="asdnet, svnet")
    assert monitor_drift([_round(1, validation_loss=0.5, validation=_validation(0.8)), other]).alarms == ()


def test_a_dice_that_falls_beyond_chance_is_an_alarm_and_a_small_one_is_not():
    good = _round(1, validation=_validation(0.85))
    report = monitor_drift([good, _round(2, validation=_validation(0.80))])
    assert _kinds(report) == [(2, "validation-dice")] and report.stop and "from 0.8" in report.alarms[0].message
    noisy = _validation(0.85)
    for i, case in enumerate(noisy["cases"]):
        case["dice"]["LV"] += 0.02 * (-1) ** i
    assert monitor_drift([good, _round(2, validation=noisy)]).alarms == ()


def test_more_flagged_proposals_on_the_same_cases_are_an_alarm():
    report = monitor_drift([_round(1, flagged=_flagged(4)), _round(2, flagged=_flagged(14))])
    assert _kinds(report) == [(2, "flagged")] and report.stop
    assert "flags 35 % of 40 proposals, 10 % of those of round 1" in report.alarms[0].message
    for few in (_flagged(6), {f"other{i}": True for i in range(40)}):  # by chance, or on other cases
        assert monitor_drift([_round(1, flagged=_flagged(4)), _round(2, flagged=few)]).alarms == ()


def test_an_old_alarm_does_not_stop_a_loop_that_has_recovered():
    rounds = [_round(1, validation_loss=0.5), _round(2, validation_loss=0.7), _round(3, validation_loss=0.45)]
    report = monitor_drift(rounds)
    assert _kinds(report) == [(2, "validation-loss")] and not report.stop
    again = monitor_drift([*rounds[:2], _round(3, validation_loss=0.8)])
    assert "keep model m1 (round 1)" in again.advice


def test_a_classifier_that_readers_no_longer_agree_with_is_to_be_trained_anew():
    rated = tuple((0.9, i < 15) for i in range(30))  # expects 90 %, readers find 50 %
    report = monitor_drift([_round(1, rated=rated)])
    assert _kinds(report) == [(1, "calibration")] and not report.stop and "train the classifier" in report.advice
    assert "expects 90 % of 30 rated proposals to be good, readers find 50 % good" in report.alarms[0].message
    assert monitor_drift([_round(1, rated=rated[10:25])]).alarms == ()  # too few


def test_spiegelhalters_z_is_standard_normal_for_probabilities_that_fit():
    rng = np.random.default_rng(0)
    z = []
    for _ in range(400):
        p = rng.uniform(0.05, 0.95, 60)
        z.append(spiegelhalter_z([(float(a), bool(b)) for a, b in zip(p, rng.random(60) < p, strict=True)]))
    assert np.mean(z) == pytest.approx(0, abs=0.15) and np.std(z) == pytest.approx(1, abs=0.1)
    assert spiegelhalter_z([(0.8, True), (0.8, True)]) == pytest.approx(-2 * 0.2 * 0.6 / np.sqrt(2 * 0.36 * 0.16))
    assert np.isnan(spiegelhalter_z([])) and np.isnan(spiegelhalter_z([(1.0, True)]))


def test_the_report_is_plain_json_and_an_empty_study_has_one_too():
    rounds = [_round(1, validation_loss=0.5, flagged=_flagged(3), rated=((0.9, True),)), _round(2)]
    document = json.loads(json.dumps(monitor_drift(rounds).to_dict(), allow_nan=False))
    assert document["rounds"][0]["share_flagged"] == pytest.approx(3 / 40) and document["rounds"][1]["n_rated"] == 0
    assert monitor_drift([]).to_dict() == {"rounds": [], "alarms": [], "stop": False, "advice": "No round yet."}
    assert "nothing to compare" in monitor_drift(rounds[:1]).advice


def test_limits_out_of_range_are_refused():
    with pytest.raises(CatalogueError, match="p_value"):
        DriftLimits(p_value=2.0)
