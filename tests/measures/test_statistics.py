"""Statistics against published examples, closed forms and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from napari_ssl.errors import LabelError
from napari_ssl.measures.statistics import (
    bland_altman,
    bootstrap_interval,
    holm,
    mean_sd,
    paired_t_test,
    pearson,
    wilcoxon_test,
)

# Student, "The probable error of a mean", Biometrika 1908: hours of sleep gained by two drugs, ten patients.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
# Darwin's maize, crossed and self-fertilised (inches), after Fisher, The Design of Experiments, 1935, §17.
CROSSED = [23.5, 12, 21, 22, 19.125, 21.5, 22.125, 20.375, 18.25, 21.625, 23.25, 21, 22.125, 23, 12]
SELFED = [17.375, 20.375, 20, 20, 18.375, 18.625, 18.625, 15.25, 16.5, 18, 16.25, 18, 12.75, 15.5, 18]
# Bland & Altman, Lancet 1986, Table: peak flow (l/min) with the Wright and the mini meter, first measurements.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_paired_t_test_on_students_sleep():
    found = paired_t_test(SLEEP_1, SLEEP_2)
    assert (found.n, found.statistic, found.p) == (
        10,
        pytest.approx(4.0621, abs=1e-4),
        pytest.approx(0.00283, abs=1e-5),
    )


def test_paired_t_test_on_darwins_maize():
    found = paired_t_test(SELFED, CROSSED)
    assert found.statistic == pytest.approx(2.148, abs=1e-3)  # Fisher, §17
    assert found.p == pytest.approx(0.0497, abs=1e-4)


def test_wilcoxon_on_darwins_maize():
    found = wilcoxon_test(SELFED, CROSSED)
    assert found.statistic == 24
    assert found.p == pytest.approx(0.0413, abs=2e-3)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=12, unique=True), st.floats(-1, 1))
def test_tests_agree_with_scipy(first, shift):
    rng = np.random.default_rng(1)
    second = np.asarray(first) + shift + rng.normal(0, 1, len(first))
    t, w = stats.ttest_rel(second, first), stats.wilcoxon(second - np.asarray(first))
    assert paired_t_test(first, second).p == pytest.approx(t.pvalue, rel=1e-9)
    assert wilcoxon_test(first, second).p == pytest.approx(w.pvalue, rel=1e-9)


def test_arms_that_do_not_differ_have_p_one_and_what_cannot_be_tested_has_none():
    assert (paired_t_test([1, 2], [1, 2]).p, wilcoxon_test([1, 2], [1, 2]).p) == (1.0, 1.0)
    assert (paired_t_test([1], [2]).p, wilcoxon_test([], []).p) == (None, None)
    assert paired_t_test([1, 2, 3], [2, 3, 4]).p is None  # equal differences: t would be infinite
    assert wilcoxon_test([1.0] * 5, [2.0] * 5).p == pytest.approx(0.0625)  # 2 / 2⁵


def test_holms_adjustment_as_in_his_procedure():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02, None, 0.02]) == [0.04, None, 0.04]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_p_nor_changes_the_order_and_bonferroni_bounds_it(p):
    adjusted = holm(p)
    assert all(a >= b for a, b in zip(adjusted, p, strict=True))
    assert all(a <= min(1.0, len(p) * b) + 1e-12 for a, b in zip(adjusted, p, strict=True))
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(np.asarray(adjusted)[order]) >= 0)


def test_bland_altmans_peak_flow():
    found = bland_altman(WRIGHT, MINI)
    assert found.bias == pytest.approx(-2.1, abs=0.05)
    assert found.sd == pytest.approx(38.8, abs=0.05)
    assert (found.lower, found.upper) == (pytest.approx(-78.1, abs=0.1), pytest.approx(73.9, abs=0.1))
    assert found.bias_interval == (pytest.approx(-22.0, abs=0.1), pytest.approx(17.8, abs=0.1))
    half = found.lower_interval[1] - found.lower
    assert half == pytest.approx(stats.t.ppf(0.975, 16) * math.sqrt(3 * found.sd**2 / 17))


def test_bland_altman_of_one_pair_has_a_bias_and_no_limits():
    found = bland_altman([3.0], [1.0])
    assert (found.bias, found.sd, found.lower, found.upper_interval) == (2.0, None, None, None)


def test_mean_and_deviation():
    assert mean_sd([2, 4, 4, 4, 5, 5, 7, 9]).sd == pytest.approx(math.sqrt(32 / 7))
    assert (mean_sd([]).mean, mean_sd([3.0]).sd) == (None, None)


def test_bootstrap_interval_of_many_values_is_that_of_the_normal_law():
    values = stats.norm.ppf((np.arange(400) + 0.5) / 400)
    low, high = bootstrap_interval(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)
    assert bootstrap_interval([1.0]) == (None, None)


def test_correlation():
    assert pearson([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert pearson([1, 1, 1], [1, 2, 3]) is None
    assert pearson(WRIGHT, MINI) == pytest.approx(0.943, abs=1e-3)  # 0.94 in the paper


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [([1, 2], [1], "one of each"), ([1, math.nan], [1, 2], "not finite"), ([[1]], [[1]], "shape")],
)
def test_values_that_are_no_pairs_are_named(first, second, match):
    with pytest.raises(LabelError, match=match):
        bland_altman(first, second)
