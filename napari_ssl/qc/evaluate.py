"""How good a classifier of curves is: ROC, operating point, confusion, calibration, intervals by subject.

Erroneous is what is to be found: sensitivity is the share of erroneous curve sets that are flagged, specificity the
share of good ones that are not. A curve set is flagged when its probability of being good is below the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from napari_ssl.errors import SpecError

__all__ = [
    "Calibration",
    "area_under_curve",
    "bootstrap",
    "calibration_curve",
    "confusion",
    "evaluate",
    "fit_calibration",
    "operating_threshold",
    "rates",
    "roc_curve",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def _both_verdicts(good: Bools) -> None:
    if good.all() or not good.any():
        raise SpecError(
            f"{int(good.sum())} good and {int((~good).sum())} erroneous curve sets; there must be some of both to "
            "compare them; rate more cases"
        )


def roc_curve(probability: Floats, good: Bools) -> tuple[Floats, Floats, Floats]:
    """Return (1 − specificity, sensitivity, threshold) for every threshold that flags another number, rising.

    The first point flags nothing, the last one everything.
    """
    probability, good = np.asarray(probability, float), np.asarray(good, bool)
    _both_verdicts(good)
    values = np.unique(probability)
    thresholds = np.concatenate([values[:1], (values[:-1] + values[1:]) / 2, [np.nextafter(values[-1], np.inf)]])
    erroneous, fine = np.sort(probability[~good]), np.sort(probability[good])
    sensitivity = np.searchsorted(erroneous, thresholds, side="left") / len(erroneous)
    false_alarms = np.searchsorted(fine, thresholds, side="left") / len(fine)
    return false_alarms, sensitivity, thresholds


def area_under_curve(probability: Floats, good: Bools) -> float:
    """Probability that a good curve set ranks above an erroneous one, ties counted half (Hanley & McNeil 1982)."""
    probability, good = np.asarray(probability, float), np.asarray(good, bool)
    _both_verdicts(good)
    erroneous = np.sort(probability[~good])
    below = np.searchsorted(erroneous, probability[good], side="left")
    up_to = np.searchsorted(erroneous, probability[good], side="right")
    return float((below + up_to).mean() / 2 / len(erroneous))


def rates(probability: Floats, good: Bools, threshold: float) -> tuple[float, float]:
    """Return (sensitivity for erroneous, specificity) at a threshold; NaN where there is none of a verdict."""
    flagged, good = np.asarray(probability) < threshold, np.asarray(good, bool)
    with np.errstate(invalid="ignore"):
        return (
            float(flagged[~good].mean()) if (~good).any() else float("nan"),
            float((~flagged[good]).mean()) if good.any() else float("nan"),
        )


def operating_threshold(probability: Floats, good: Bools, weight: float) -> float:
    """Return the threshold that maximises the weighted Youden index J_w = w·sensitivity + (1 − w)·specificity.

    w = 0.5 gives Youden's own choice; above it, an erroneous case that is missed costs more than a good one that is
    flagged (Li et al., Biometrics 2013; Ruijsink 2020, Sec. 3.1). Of equal maxima the most sensitive one.
    """
    false_alarms, sensitivity, thresholds = roc_curve(probability, good)
    index = weight * sensitivity + (1 - weight) * (1 - false_alarms)
    best = np.flatnonzero(index >= index.max() - 1e-12)[-1]
    return float(np.clip(thresholds[best], 0.0, 1.0))


def confusion(probability: Floats, good: Bools, threshold: float) -> dict[str, int]:
    """Return how many erroneous and good curve sets are flagged or passed."""
    flagged, good = np.asarray(probability) < threshold, np.asarray(good, bool)
    return {
        "erroneous_flagged": int((flagged & ~good).sum()),
        "erroneous_passed": int((~flagged & ~good).sum()),
        "good_flagged": int((flagged & good).sum()),
        "good_passed": int((~flagged & good).sum()),
    }


def calibration_curve(probability: Floats, good: Bools, *, n_bins: int = 10) -> dict[str, Any]:
    """Compare stated probabilities with shares of good, in bins of equal width.

    Returns
    -------
    dict
        ``bins`` (list of ``stated``, ``observed``, ``n``; empty ones left out), ``expected_error`` (mean distance,
        weighted by n: Guo et al. 2017, Eq. 3) and ``brier`` (mean squared distance: Brier 1950).
    """
    probability, good = np.asarray(probability, float), np.asarray(good, bool)
    which = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    bins = [
        {"stated": float(probability[m].mean()), "observed": float(good[m].mean()), "n": int(m.sum())}
        for m in (which == b for b in range(n_bins))
        if m.any()
    ]
    distance = sum(b["n"] * abs(b["stated"] - b["observed"]) for b in bins)
    return {
        "bins": bins,
        "expected_error": float(distance / max(1, len(good))),
        "brier": float(np.mean((probability - good) ** 2)),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Probability of good = sigmoid(slope · logit + intercept)."""

    slope: float = 1.0
    intercept: float = 0.0

    def probability(self, logit: Floats) -> Floats:
        """Turn logits into probabilities of being good."""
        return expit(self.slope * np.asarray(logit, float) + self.intercept)


def fit_calibration(logit: Floats, good: Bools, method: str, weight: Floats | None = None) -> Calibration:
    """Fit slope (``temperature``) or slope and intercept (``platt``) by maximum likelihood; ``none`` changes nothing.

    Targets are smoothed as in Platt 1999, Sec. 2.2, so that separable data give finite values. The slope stays
    positive: the ranking never changes.
    """
    if method == "none":
        return Calibration()
    logit, good = np.asarray(logit, float), np.asarray(good, bool)
    weight = np.ones(len(logit)) if weight is None else np.asarray(weight, float)
    n_good, n_erroneous = good.sum(), (~good).sum()
    target = np.where(good, (n_good + 1) / (n_good + 2), 1 / (n_erroneous + 2))

    def loss(values: Floats) -> float:
        z = np.exp(values[0]) * logit + (values[1] if method == "platt" else 0.0)
        return float(np.sum(weight * (np.logaddexp(0, z) - target * z)) / weight.sum())

    start = np.zeros(2 if method == "platt" else 1)
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(-5, 5), (-20, 20)][: len(start)]).x
    return Calibration(slope=float(np.exp(found[0])), intercept=float(found[1]) if method == "platt" else 0.0)


def bootstrap(
    probability: Floats,
    good: Bools,
    subjects: Sequence[str],
    threshold: float,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of AUC, sensitivity and specificity, drawing subjects and not curve sets.

    Resamples that lack a verdict are drawn again in effect: they are left out. One subject gives an empty dict.
    """
    probability, good = np.asarray(probability, float), np.asarray(good, bool)
    names, member = np.unique(np.asarray(subjects), return_inverse=True)
    if len(names) < 2:
        return {}
    of_subject = [np.flatnonzero(member == n) for n in range(len(names))]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_resamples):
        rows = np.concatenate([of_subject[n] for n in rng.integers(0, len(names), len(names))])
        if good[rows].all() or not good[rows].any():
            continue
        p, g = probability[rows], good[rows]
        found.append((area_under_curve(p, g), *rates(p, g, threshold)))
    if not found:
        return {}
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.array(found), tails, axis=0)
    return {name: (float(low[n]), float(high[n])) for n, name in enumerate(("auc", "sensitivity", "specificity"))}


def evaluate(
    probability: Floats,
    good: Bools,
    subjects: Sequence[str],
    threshold: float,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Gather everything that is reported about probabilities and verdicts, as plain JSON.

    Returns
    -------
    dict
        ``n``, ``n_subjects``, ``n_good``, ``threshold``, ``auc``, ``sensitivity``, ``specificity``, ``intervals``
        (95 %, by subject), ``confusion``, ``calibration`` and ``roc`` (at most 200 points of ``false_alarms`` and
        ``sensitivity``).

    Raises
    ------
    SpecError
        All curve sets have the same verdict.
    """
    probability, good = np.asarray(probability, float), np.asarray(good, bool)
    false_alarms, sensitivity, _ = roc_curve(probability, good)
    kept = np.unique(np.linspace(0, len(false_alarms) - 1, 200).astype(int))
    at = rates(probability, good, threshold)
    return {
        "n": len(good),
        "n_subjects": len(set(subjects)),
        "n_good": int(good.sum()),
        "threshold": float(threshold),
        "auc": area_under_curve(probability, good),
        "sensitivity": at[0],
        "specificity": at[1],
        "intervals": {
            name: list(interval)
            for name, interval in bootstrap(
                probability, good, subjects, threshold, n_resamples=n_resamples, seed=seed
            ).items()
        },
        "confusion": confusion(probability, good, threshold),
        "calibration": calibration_curve(probability, good),
        "roc": {
            "false_alarms": [round(float(v), 5) for v in false_alarms[kept]],
            "sensitivity": [round(float(v), 5) for v in sensitivity[kept]],
        },
    }
