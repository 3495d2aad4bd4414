"""Paired comparisons over subjects: tests, correction for several arms, bootstrap intervals, limits of agreement.

Every function takes one number per subject and drops none silently: `n` says how many it was made of. What cannot be
computed (too few subjects, no variation) is None, never NaN, so that results are strict JSON.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from napari_ssl.errors import LabelError

__all__ = [
    "BlandAltman",
    "MeanSD",
    "TestResult",
    "bland_altman",
    "bootstrap_interval",
    "holm",
    "mean_sd",
    "paired_t_test",
    "pearson",
    "wilcoxon_test",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanSD:
    """Mean and standard deviation (n − 1) of `n` values; None where there are too few."""

    n: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """A two-sided test over `n` pairs: its statistic and p; None where it does not exist."""

    __test__ = False  # no test class of pytest

    n: int
    statistic: float | None
    p: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlandAltman:
    """Agreement of two measurements of the same quantity (Bland & Altman, Lancet 1986).

    Parameters
    ----------
    n : int
    bias : float
        Mean of found − expected.
    sd : float or None
        Standard deviation (n − 1) of the differences; the limits need it.
    lower, upper : float or None
        Limits of agreement, bias ± 1.96 SD.
    bias_interval, lower_interval, upper_interval : pair of float, or None
        95 % confidence intervals; standard errors √(s²/n) of the bias and √(3s²/n) of the limits, t with n − 1 degrees.
    """

    n: int
    bias: float
    sd: float | None = None
    lower: float | None = None
    upper: float | None = None
    bias_interval: tuple[float, float] | None = None
    lower_interval: tuple[float, float] | None = None
    upper_interval: tuple[float, float] | None = None


def mean_sd(values: Sequence[float]) -> MeanSD:
    """Summarise values; no mean of none, no deviation of fewer than two."""
    array = _finite(values, "values")
    return MeanSD(
        n=len(array),
        mean=float(array.mean()) if len(array) else None,
        sd=float(array.std(ddof=1)) if len(array) > 1 else None,
    )


def paired_t_test(first: Sequence[float], second: Sequence[float]) -> TestResult:
    """Student's paired t-test of second − first, two-sided.

    Without any difference p is 1; with equal differences other than zero, t is infinite and p does not exist here (None
    for both), as below two pairs.
    """
    differences = _differences(first, second)
    n = len(differences)
    if n < 2:
        return TestResult(n=n, statistic=None, p=None)
    if not differences.any():
        return TestResult(n=n, statistic=0.0, p=1.0)
    spread = differences.std(ddof=1)
    if spread <= 1e-12 * abs(differences.mean()):
        return TestResult(n=n, statistic=None, p=None)
    t = float(differences.mean() / (spread / math.sqrt(n)))
    return TestResult(n=n, statistic=t, p=float(2 * special.stdtr(n - 1, -abs(t))))


def wilcoxon_test(first: Sequence[float], second: Sequence[float]) -> TestResult:
    """Wilcoxon's signed-rank test of second − first, two-sided: the smaller rank sum and p.

    Pairs without a difference are left out of the ranking, as Wilcoxon did; where none remains p is 1. p is exact below
    50 pairs without ties, else from the normal approximation.
    """
    differences = _differences(first, second)
    if not len(differences):
        return TestResult(n=0, statistic=None, p=None)
    if not differences.any():
        return TestResult(n=len(differences), statistic=0.0, p=1.0)
    from scipy import stats  # takes most of a second, which every command would wait for

    found = stats.wilcoxon(differences)
    return TestResult(n=len(differences), statistic=float(found.statistic), p=float(found.pvalue))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p of several tests so that the chance of any false alarm among them stays at the level (Holm 1979).

    Tests without a p stay None and do not count.
    """
    places = sorted((i for i, p in enumerate(p_values) if p is not None), key=lambda i: p_values[i])
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(places):
        p = p_values[place]
        if p is None or not 0 <= p <= 1:
            raise LabelError(f"p must be in [0, 1], got {p}")
        largest = max(largest, min(1.0, (len(places) - rank) * p))
        adjusted[place] = largest
    return adjusted


def bootstrap_interval(
    differences: Sequence[float], *, level: float = 0.95, n_resamples: int = 5000, seed: int = 0
) -> tuple[float | None, float | None]:
    """Percentile bootstrap of the mean over subjects (Efron & Tibshirani 1993, §13.3); (None, None) below two subjects.

    The same differences and seed always give the same interval.
    """
    values = np.asarray(differences, float)
    if len(values) < 2:
        return None, None
    picks = np.random.default_rng(seed).integers(0, len(values), (n_resamples, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bland_altman(found: Sequence[float], expected: Sequence[float]) -> BlandAltman:
    """Bias and limits of agreement of found against expected, one pair per subject.

    Raises
    ------
    LabelError
        No pair, lists of different length, or a value that is not finite.
    """
    differences = _differences(expected, found)
    n = len(differences)
    if not n:
        raise LabelError("limits of agreement need at least one pair of values")
    bias = float(differences.mean())
    if n < 2:
        return BlandAltman(n=n, bias=bias)
    sd = float(differences.std(ddof=1))
    t = float(special.stdtrit(n - 1, 0.975))
    of_bias, of_limit = t * sd / math.sqrt(n), t * sd * math.sqrt(3 / n)
    lower, upper = bias - 1.96 * sd, bias + 1.96 * sd
    return BlandAltman(
        n=n,
        bias=bias,
        sd=sd,
        lower=lower,
        upper=upper,
        bias_interval=(bias - of_bias, bias + of_bias),
        lower_interval=(lower - of_limit, lower + of_limit),
        upper_interval=(upper - of_limit, upper + of_limit),
    )


def pearson(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Correlation coefficient r; None below three pairs or where a side does not vary."""
    a, b = _pair(first, second)
    if len(a) < 3 or not a.std() or not b.std():
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _differences(first: Sequence[float], second: Sequence[float]) -> NDArray[np.float64]:
    a, b = _pair(first, second)
    return b - a


def _pair(first: Sequence[float], second: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = _finite(first, "first"), _finite(second, "second")
    if len(a) != len(b):
        raise LabelError(f"paired values are {len(a)} and {len(b)}; give one of each per subject")
    return a, b


def _finite(values: Sequence[float], what: str) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise LabelError(f"{what}: expected one value per subject (N,), got shape {array.shape}")
    if not np.isfinite(array).all():
        raise LabelError(f"{what}: value {int(np.flatnonzero(~np.isfinite(array))[0])} is not finite; leave it out")
    return array
