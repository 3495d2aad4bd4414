"""How many ratings are enough: the same test subjects, fewer and fewer to learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_ssl.core.job import ShouldStop
from napari_ssl.core.quality import QcParameters
from napari_ssl.qc.data import Examples, folds_by_subject
from napari_ssl.qc.evaluate import area_under_curve
from napari_ssl.qc.fitting import fit, logits_of

__all__ = ["learning_curve"]

_FOLDS = 2
_SIZES = (50, 100, 200, 400, 800, 1600)


def learning_curve(
    examples: Examples,
    parameters: QcParameters,
    seed: int,
    *,
    epochs: int,
    sizes: Sequence[int] = _SIZES,
    device: torch.device | str = "cpu",
    should_stop: ShouldStop | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """How good a classifier is that learns from fewer curve sets: ``n``, ``auc``, ``sensitivity_at_80`` (specificity).

    Whole subjects are taken until there are n curve sets; tested on the subjects of the first two folds, pooled. The
    number of optimiser steps is that of `epochs` over all examples. `progress` is told the points done, of how many.
    """
    folds = folds_by_subject(examples, parameters.folds, seed)[:_FOLDS]
    most = min(len(examples) - len(fold) for fold in folds)
    points = []
    wanted = [*(s for s in sizes if s < most), most]
    for number, size in enumerate(wanted):
        if progress is not None:
            progress(number, len(wanted))
        logit, good = [], []
        for k, held_out in enumerate(folds):
            rest = np.setdiff1d(np.arange(len(examples)), held_out)
            rows = _first_subjects(examples, rest, size, seed + k)
            if len(set(examples.good[rows].tolist())) < 2:
                break
            longer = min(20 * epochs, round(epochs * len(rest) / len(rows)))
            network, _, _ = fit(
                examples, rows, None, parameters, seed=seed, epochs=longer, device=device, should_stop=should_stop
            )
            logit.append(logits_of(network, examples.inputs[held_out], examples.lengths[held_out]))
            good.append(examples.good[held_out])
        if len(logit) == len(folds):
            points.append({"n": int(size), **_two_figures(np.concatenate(logit), np.concatenate(good))})
    return points


def _first_subjects(examples: Examples, rows: NDArray[np.intp], size: int, seed: int) -> NDArray[np.intp]:
    subjects = np.random.default_rng(seed).permutation(np.unique(examples.subjects[rows]))
    rank = {name: n for n, name in enumerate(subjects)}
    order = rows[np.argsort([rank[s] for s in examples.subjects[rows]], kind="stable")]
    return np.sort(order[:size])


def _two_figures(logit: NDArray[np.float64], good: NDArray[np.bool_]) -> dict[str, float]:
    limit = np.quantile(logit[good], 0.2)
    return {"auc": area_under_curve(logit, good), "sensitivity_at_80": float((logit[~good] < limit).mean())}
