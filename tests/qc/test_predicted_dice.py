from __future__ import annotations

import json

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError, SpecError
from napari_ssl.qc.predicted_dice import DicePredictor, disagreement, fit_dice_predictor

ACDC = PRESETS["acdc"]


def slab(width, value=3):
    labels = np.zeros((1, 1, 10, 40), np.uint8)
    labels[..., :width] = value
    return labels


def test_disagreement_is_that_of_the_closed_form():
    mean, lowest, variation = disagreement([slab(20), slab(10)], ACDC)
    assert mean == lowest == pytest.approx(2 * 10 / 30)
    assert variation == pytest.approx(5 / 15)


def test_members_that_agree_do_so_whatever_they_see():
    np.testing.assert_allclose(disagreement([slab(20)] * 3, ACDC), [1, 1, 0])
    np.testing.assert_allclose(disagreement([slab(0)] * 2, ACDC), [1, 1, 0])


def test_one_structure_that_only_one_member_sees_is_the_lowest():
    both = slab(20)
    both[..., 30:] = 1
    mean, lowest, _ = disagreement([both, slab(20)], ACDC)
    assert lowest == 0.0
    assert mean == pytest.approx(0.5)


def test_one_member_or_other_shapes_are_refused():
    with pytest.raises(LabelError, match="two label maps"):
        disagreement([slab(3)], ACDC)
    with pytest.raises(LabelError, match="one shape"):
        disagreement([slab(3), slab(3)[..., :20]], ACDC)


def made(relation, n=120, noise=0.01):
    rng = np.random.default_rng(0)
    pairwise = rng.uniform(0.3, 1.0, n)
    features = np.column_stack([pairwise, pairwise - 0.1 * rng.random(n), 1 - pairwise])
    return features, relation(pairwise) + rng.normal(0, noise, n), [f"s{i // 3}" for i in range(n)]


def test_a_straight_relation_is_found():
    features, dice, subjects = made(lambda d: 0.2 + 0.7 * d)
    fitted = fit_dice_predictor(features, dice, subjects)
    np.testing.assert_allclose(fitted.predict(features), dice, atol=0.06)
    assert fitted.mean_absolute_error < 0.02
    assert fitted.correlation > 0.98
    assert (fitted.n_cases, fitted.n_subjects) == (120, 40)


def test_a_bent_relation_is_found_by_the_isotonic_one():
    features, dice, subjects = made(lambda d: np.where(d < 0.7, 0.3, 0.9))
    fitted = fit_dice_predictor(features, dice, subjects)
    assert fitted.kind == "isotonic"
    assert np.all(np.diff([y for _, y in fitted.knots]) >= 0)
    assert fitted.mean_absolute_error < 0.03


def test_the_interval_holds_new_subjects():
    features, dice, subjects = made(lambda d: d, n=300, noise=0.05)
    fitted = fit_dice_predictor(features[:200], dice[:200], subjects[:200])
    error = dice[200:] - fitted.predict(features[200:])
    inside = (error > fitted.interval[0]) & (error < fitted.interval[1])
    assert inside.mean() > 0.85


def test_a_predictor_survives_json_and_refuses_what_is_none():
    fitted = fit_dice_predictor(*made(lambda d: d))
    again = DicePredictor.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    with pytest.raises(SpecError, match="malformed"):
        DicePredictor.from_dict({"kind": "linear"})


def test_too_few_subjects_are_told():
    with pytest.raises(SpecError, match="too few"):
        fit_dice_predictor(np.zeros((6, 3)), np.zeros(6), ["a", "b", "c"] * 2)


def test_the_probability_of_a_good_dice_is_the_share_of_errors_that_allow_it():
    predictor = DicePredictor(
        kind="isotonic", knots=((0.0, 0.0), (1.0, 1.0)), mean_absolute_error=0.1, interval=(-0.2, 0.2),
        errors=(-0.2, -0.1, 0.0, 0.1), correlation=1.0, n_cases=4, n_subjects=4,
    )  # fmt: skip
    features = np.array([[0.5, 0, 0], [0.75, 0, 0], [0.85, 0, 0], [0.99, 0, 0]])
    enough = np.array([0, 1, 2, 3])  # of the four errors that leave a Dice of 0.8 or more
    np.testing.assert_allclose(predictor.probability_above(features, 0.8), (enough + 1) / 6)


def test_probabilities_of_new_subjects_are_calibrated():
    features, dice, subjects = made(lambda d: d, n=900, noise=0.08)
    fitted = fit_dice_predictor(features[:300], dice[:300], subjects[:300])
    said = fitted.probability_above(features[300:], 0.8)
    good = dice[300:] >= 0.8
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)):
        inside = (said >= low) & (said <= high)
        assert good[inside].mean() == pytest.approx(said[inside].mean(), abs=0.13)
