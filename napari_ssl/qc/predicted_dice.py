"""Dice without a reference, from how much the members of an ensemble disagree.

Where networks that were trained apart agree, they are mostly right (Lakshminarayanan et al., NeurIPS 2017; for Dice of
cardiac labels: Roy et al. 2019, Sec. 3.3). On cases whose Dice is known a regression learns what a disagreement means:
isotonic in the mean pairwise Dice, or linear in three measures of disagreement, whichever has the smaller error on
subjects held out. It is a second opinion beside the classifier of curves: members that share an error agree about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import LabelError, SpecError

__all__ = ["FEATURES", "DicePredictor", "disagreement", "fit_dice_predictor"]

FEATURES = ("mean_pairwise_dice", "lowest_pairwise_dice", "volume_variation")
"""Mean and lowest over the structures of the members' pairwise Dice; mean coefficient of variation of the volumes."""

_RIDGE = 1e-3
_MOST_ERRORS = 200
_FEWEST_SUBJECTS = 4

Floats = NDArray[np.float64]


def disagreement(members: Sequence[NDArray[Any]], scheme: LabelScheme) -> Floats:
    """Measure how much label maps of the same case disagree.

    Parameters
    ----------
    members : sequence of (T, Z, Y, X) uint8
        One label map per member of the ensemble, two or more.
    scheme : LabelScheme

    Returns
    -------
    (3,) float64
        As named by `FEATURES`. A structure that no member sees is left out; with none left the members agree.

    Raises
    ------
    LabelError
        Fewer than two members, or maps of different shape.
    """
    if len(members) < 2 or len({m.shape for m in members}) != 1:
        raise LabelError(
            f"disagreement needs two label maps or more of one shape, got {[m.shape for m in members]}; "
            "label the case with every member of the ensemble"
        )
    dices, variations = [], []
    for value in scheme.values:
        masks = [m == value for m in members]
        sizes = np.array([int(m.sum()) for m in masks], float)
        if not sizes.any():
            continue
        pairs = list(combinations(range(len(masks)), 2))
        dices.append(np.mean([2.0 * (masks[i] & masks[j]).sum() / max(1.0, sizes[i] + sizes[j]) for i, j in pairs]))
        variations.append(sizes.std() / sizes.mean())
    if not dices:
        return np.array([1.0, 1.0, 0.0])
    return np.array([np.mean(dices), np.min(dices), np.mean(variations)])


@dataclass(frozen=True, slots=True, kw_only=True)
class DicePredictor:
    """A fitted regression of Dice on disagreement.

    Parameters
    ----------
    kind : str
        ``isotonic`` (`knots` are pairs of mean pairwise Dice and Dice, straight lines between) or ``linear``
        (`coefficients`: intercept, then one per feature).
    mean_absolute_error : float
        On held-out subjects.
    interval : tuple of two floats
        2.5th and 97.5th percentile of Dice minus prediction on held-out subjects.
    errors : tuple of float
        Dice minus prediction on held-out subjects, at most 200 quantiles of them, ascending.
    correlation : float
        Pearson's, between Dice and prediction on held-out subjects.
    n_cases, n_subjects : int
        What it was fitted on.
    """

    kind: str
    knots: tuple[tuple[float, float], ...] = ()
    coefficients: tuple[float, ...] = ()
    mean_absolute_error: float
    interval: tuple[float, float]
    errors: tuple[float, ...] = (0.0,)
    correlation: float
    n_cases: int
    n_subjects: int

    def predict(self, features: Floats) -> Floats:
        """Return the predicted Dice (N,) in [0, 1] for features (N, 3)."""
        features = np.atleast_2d(np.asarray(features, float))
        if self.kind == "isotonic":
            x, y = np.array(self.knots).T
            return np.interp(features[:, 0], x, y)
        return np.clip(self.coefficients[0] + features @ np.array(self.coefficients[1:]), 0.0, 1.0)

    def probability_above(self, features: Floats, dice: float) -> Floats:
        """Return the probability (N,) that Dice reaches a limit, by the errors that were made on held-out subjects.

        With n errors, k of them large enough, it is (k + 1) / (n + 2) (Laplace): few subjects never make certain.
        """
        errors = np.asarray(self.errors)
        enough = (self.predict(features)[:, None] + errors >= dice).sum(axis=1)
        return (enough + 1.0) / (len(errors) + 2.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> DicePredictor:
        """Build from `to_dict`'s output, also after JSON; SpecError when it is malformed."""
        try:
            values = dict(document)
            values["knots"] = tuple((float(x), float(y)) for x, y in values["knots"])
            values["coefficients"] = tuple(float(c) for c in values["coefficients"])
            values["interval"] = tuple(float(v) for v in values["interval"])
            values["errors"] = tuple(float(e) for e in values["errors"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"malformed predictor of Dice: {type(error).__name__}: {error}; fit it again") from error


def _isotonic(features: Floats, dice: Floats) -> dict[str, Any]:
    order = np.lexsort((dice, features[:, 0]))
    x = features[order, 0]
    positions, inverse = np.unique(x, return_inverse=True)
    means = np.bincount(inverse, dice[order]) / np.bincount(inverse)
    fitted = isotonic_regression(means, weights=np.bincount(inverse).astype(float)).x
    return {"kind": "isotonic", "knots": tuple(zip(positions.tolist(), fitted.tolist(), strict=True))}


def _linear(features: Floats, dice: Floats) -> dict[str, Any]:
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-9
    z = (features - mean) / scale
    slope = np.linalg.solve(z.T @ z + _RIDGE * len(z) * np.eye(z.shape[1]), z.T @ (dice - dice.mean())) / scale
    return {"kind": "linear", "coefficients": (float(dice.mean() - slope @ mean), *slope.tolist())}


_UNKNOWN = {"mean_absolute_error": 0.0, "interval": (0.0, 0.0), "correlation": 0.0, "n_cases": 0, "n_subjects": 0}


def fit_dice_predictor(
    features: Floats, dice: Sequence[float], subjects: Sequence[str], *, folds: int = 5, seed: int = 0
) -> DicePredictor:
    """Fit both regressions with cross-validation by subject and return the better one, fitted on everything.

    Parameters
    ----------
    features : (N, 3)
        From `disagreement`.
    dice : (N,)
        Mean Dice with the reference.
    subjects : (N,) of str
        Cases of a subject are held out together.

    Raises
    ------
    SpecError
        Fewer than four subjects.
    """
    features, truth = np.atleast_2d(np.asarray(features, float)), np.asarray(dice, float)
    names = np.unique(np.asarray(subjects, str))
    if len(names) < _FEWEST_SUBJECTS:
        raise SpecError(f"{len(names)} subjects with a reference are too few to predict Dice from; label more cases")
    fold_of = dict(zip(np.random.default_rng(seed).permutation(names).tolist(), np.arange(len(names)), strict=True))
    fold = np.array([fold_of[s] % min(folds, len(names)) for s in subjects])
    fits = {"isotonic": _isotonic, "linear": _linear}
    held_out = {kind: _held_out(fit, features, truth, fold) for kind, fit in fits.items()}  # the same folds for both
    kind = min(held_out, key=lambda k: float(np.abs(truth - held_out[k]).mean()))
    predicted = held_out[kind]
    error = truth - predicted
    varied = predicted.std() > 0 and truth.std() > 0
    low, high = np.quantile(error, [0.025, 0.975])
    return DicePredictor(
        **fits[kind](features, truth),
        mean_absolute_error=float(np.abs(error).mean()),
        interval=(float(low), float(high)),
        errors=tuple(np.quantile(error, np.linspace(0, 1, min(len(error), _MOST_ERRORS))).tolist()),
        correlation=float(np.corrcoef(truth, predicted)[0, 1]) if varied else 0.0,
        n_cases=len(truth),
        n_subjects=len(names),
    )


def _held_out(fit: Any, features: Floats, dice: Floats, fold: NDArray[np.intp]) -> Floats:
    predicted = np.zeros(len(dice))
    for k in np.unique(fold):
        model = DicePredictor(**fit(features[fold != k], dice[fold != k]), **_UNKNOWN)
        predicted[fold == k] = model.predict(features[fold == k])
    return predicted
