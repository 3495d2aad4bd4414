"""How well readers agree beyond chance: Cohen's, weighted and Fleiss' kappa with intervals.

`cohen_kappa` and `weighted_kappa` compare two readers on the same items, `fleiss_kappa` any number of readers, not
necessarily the same for every item. Intervals are those of the large-sample variance of Fleiss, Cohen & Everitt
(Psychol. Bull. 72:323, 1969) for two readers and of a bootstrap over items for more.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.rating import NOT_READABLE, Rating, needs_adjudication, standing_ratings
from napari_ssl.errors import DecisionError

__all__ = [
    "FOUR_POINT_SCALE",
    "Kappa",
    "bootstrap_kappa",
    "cohen_kappa",
    "fleiss_kappa",
    "plain_kappa",
    "rating_agreement",
    "weighted_kappa",
]

FOUR_POINT_SCALE = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kappa:
    """Agreement beyond chance: 1 perfect, 0 as by chance.

    NaN where the readers used one category only: chance alone would have made them agree. `low` and `high` are the
    limits of the interval, `agreement` the (weighted) share of agreement as observed, `n_items` how many items count.
    """

    value: float
    low: float
    high: float
    agreement: float
    n_items: int


def cohen_kappa(table: NDArray[Any] | Sequence[Sequence[int]], *, level: float = 0.95) -> Kappa:
    """Kappa of two readers on nominal categories (Cohen, Educ. Psychol. Meas. 20:37, 1960).

    Parameters
    ----------
    table : (K, K) array of counts
        Row: category of the first reader; column: category of the second.
    level : float
        Of the interval.
    """
    table = _checked_table(table)
    return _kappa(table, np.eye(len(table)), level)


def bootstrap_kappa(
    table: NDArray[Any] | Sequence[Sequence[int]], *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> tuple[float | None, float | None]:
    """Percentile bootstrap interval of Cohen's kappa over items (Efron & Tibshirani 1993, Ch. 13).

    Better than the large-sample interval for few items. None, None below two items or where kappa is not defined.

    Parameters
    ----------
    table : (K, K) array of counts
    """
    table = _checked_table(table)
    n = round(float(table.sum()))
    if n < 2 or math.isnan(cohen_kappa(table).value):
        return None, None
    shares = (table / table.sum()).ravel()
    counts = np.random.default_rng(seed).multinomial(n, shares, size=n_resamples).reshape(n_resamples, *table.shape) / n
    observed = np.trace(counts, axis1=1, axis2=2)
    expected = (counts.sum(axis=2) * counts.sum(axis=1)).sum(axis=1)
    defined = expected < 1 - 1e-12  # all items in one category say nothing
    if not defined.any():
        return None, None
    values = (observed[defined] - expected[defined]) / (1 - expected[defined])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def weighted_kappa(
    table: NDArray[Any] | Sequence[Sequence[int]], *, weights: str = "quadratic", level: float = 0.95
) -> Kappa:
    """Kappa of two readers on ordered categories, far disagreements weighing more (Cohen, Psychol. Bull. 70:213, 1968).

    Parameters
    ----------
    table : (K, K) array of counts
        Categories in order, equally far apart.
    weights : "quadratic" or "linear"
        Partial agreement of categories i and j: 1 − ((i − j) / (K − 1))², or 1 − |i − j| / (K − 1).
    """
    table = _checked_table(table)
    if weights not in ("quadratic", "linear"):
        raise DecisionError(f"weights of kappa must be quadratic or linear, got {weights!r}")
    place = np.arange(len(table))
    distance = np.abs(place[:, None] - place[None, :]) / max(1, len(table) - 1)
    return _kappa(table, 1 - distance ** (2 if weights == "quadratic" else 1), level)


def fleiss_kappa(
    counts: NDArray[Any] | Sequence[Sequence[int]], *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> Kappa:
    """Kappa of many readers on nominal categories (Fleiss, Psychol. Bull. 76:378, 1971).

    Parameters
    ----------
    counts : (n_items, K) array of counts
        How many readers chose each category; items with fewer than two readers are left out. Where items have different
        numbers of readers, the agreement of an item is that of its own pairs, and all items count alike.
    level, n_resamples, seed
        Of the percentile bootstrap over items; NaN limits below two items.
    """
    counts = np.atleast_2d(np.asarray(counts, float))
    if counts.ndim != 2 or counts.size == 0 or (counts < 0).any() or not np.isfinite(counts).all():
        raise DecisionError(f"Fleiss' kappa needs counts of items by categories, got an array of {counts.shape}")
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        return Kappa(value=math.nan, low=math.nan, high=math.nan, agreement=math.nan, n_items=0)
    value, agreement = _fleiss(counts[None])
    low = high = math.nan
    if len(counts) >= 2 and not math.isnan(value[0]):
        picks = np.random.default_rng(seed).integers(0, len(counts), (n_resamples, len(counts)))
        resampled = _fleiss(counts[picks])[0]
        low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Kappa(
        value=float(value[0]), low=float(low), high=float(high), agreement=float(agreement[0]), n_items=len(counts)
    )


def rating_agreement(ratings: Iterable[Rating]) -> dict[str, Any]:
    """Say how well the readers of a study agree; plain JSON types, None for what cannot be said.

    Only ratings that stand count, adjudications do not. Images that a reader could not read are compared as such under
    ``readable_agreement`` (share of pairs of readers who agree on it) and left out elsewhere.

    Returns
    -------
    dict
        ``readers`` (ratings by reader), ``n_versions``, ``n_shared`` (rated by two or more), ``pairs`` (per pair of
        readers ``good`` = Cohen's kappa on good or erroneous and ``scale`` = quadratically weighted kappa on the four
        points), ``good`` and ``scale`` = Fleiss' kappa of all, ``readable_agreement``, ``to_settle``.
    """
    ratings = list(ratings)
    by_version: dict[int, dict[str, Rating]] = defaultdict(dict)
    for rating in standing_ratings(ratings):
        if not rating.is_adjudication:
            by_version[rating.segmentation_id][rating.reader] = rating
    readers = sorted({r.reader for given in by_version.values() for r in given.values()})
    readable = [pair for given in by_version.values() for pair in combinations(_is_readable(given), 2)]
    return {
        "readers": {name: sum(name in given for given in by_version.values()) for name in readers},
        "n_versions": len(by_version),
        "n_shared": sum(len(given) >= 2 for given in by_version.values()),
        "pairs": [_pair(by_version, a, b) for a, b in combinations(readers, 2)],
        "good": plain_kappa(fleiss_kappa(_counts(by_version, lambda r: int(bool(r.is_good)), 2))),
        "scale": plain_kappa(fleiss_kappa(_counts(by_version, lambda r: r.score - 1, len(FOUR_POINT_SCALE)))),
        "readable_agreement": sum(a == b for a, b in readable) / len(readable) if readable else None,
        "to_settle": needs_adjudication(ratings),
    }


def _is_readable(given: dict[str, Rating]) -> list[bool]:
    return [rating.score != NOT_READABLE for rating in given.values()]


def _counts(by_version: dict[int, dict[str, Rating]], category: Any, n_categories: int) -> NDArray[np.float64]:
    counts = np.zeros((max(1, len(by_version)), n_categories))
    for row, given in zip(counts, by_version.values(), strict=False):
        for rating in given.values():
            if rating.score != NOT_READABLE:
                row[category(rating)] += 1
    return counts


def _pair(by_version: dict[int, dict[str, Rating]], first: str, second: str) -> dict[str, Any]:
    good, scale = np.zeros((2, 2)), np.zeros((len(FOUR_POINT_SCALE),) * 2)
    for given in by_version.values():
        a, b = given.get(first), given.get(second)
        if a is None or b is None or NOT_READABLE in (a.score, b.score):
            continue
        good[int(bool(a.is_good)), int(bool(b.is_good))] += 1
        scale[a.score - 1, b.score - 1] += 1
    return {
        "readers": [first, second],
        "n_shared": int(good.sum()),
        "good": plain_kappa(cohen_kappa(good)) if good.sum() else None,
        "scale": plain_kappa(weighted_kappa(scale)) if scale.sum() else None,
    }


def plain_kappa(kappa: Kappa) -> dict[str, Any]:
    """Return kappa as strict JSON types: None for NaN."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(kappa).items()}


def _checked_table(table: NDArray[Any] | Sequence[Sequence[int]]) -> NDArray[np.float64]:
    table = np.asarray(table, float)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or (table < 0).any() or not table.sum() > 0:
        raise DecisionError(
            f"kappa needs a square table of counts with at least one item, got shape {table.shape}, sum {table.sum():g}"
        )
    return table


def _kappa(table: NDArray[np.float64], weights: NDArray[np.float64], level: float) -> Kappa:
    """Kappa and its variance, Fleiss, Cohen & Everitt 1969, Eq. 8 and 13; `weights` are 1 on the diagonal."""
    n = table.sum()
    share = table / n
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    observed = float((weights * share).sum())
    expected = float((weights * np.outer(rows, columns)).sum())
    if expected >= 1 - 1e-12:
        return Kappa(value=math.nan, low=math.nan, high=math.nan, agreement=observed, n_items=round(n))
    value = (observed - expected) / (1 - expected)
    mean = (weights @ columns)[:, None] + (rows @ weights)[None, :]
    spread = float((share * (weights - mean * (1 - value)) ** 2).sum())
    variance = (spread - (value - expected * (1 - value)) ** 2) / (n * (1 - expected) ** 2)
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(max(0.0, variance))
    return Kappa(
        value=value, low=max(-1.0, value - half), high=min(1.0, value + half), agreement=observed, n_items=round(n)
    )


def _fleiss(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kappa and observed agreement of each set of items (S, n_items, K)."""
    raters = counts.sum(axis=2)
    agreement = (((counts**2).sum(axis=2) - raters) / (raters * (raters - 1))).mean(axis=1)
    shares = counts.sum(axis=1) / raters.sum(axis=1, keepdims=True)
    chance = (shares**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(chance < 1 - 1e-12, (agreement - chance) / (1 - chance), np.nan)
    return value, agreement
