"""Which pixels a narrow CRF can change: the undecided neighbourhood.

What is proven: where a pixel and its whole reach have the same arg-max, every message supports that label, so the
pixel keeps it in the next iteration. Changes therefore start within one reach of a border between labels and travel at
most one reach per iteration. Refining that whole belt (reach times iterations on both sides) would be safe and would
cover most of a heart.

What is used: pixels within `START_BELT` of a border, and pixels below `CERTAIN` that touch those through other such
pixels, may change (within the proven belt); around them `CONTEXT` pixels are computed too, but keep their arg-max.
A bound from the weights does not help: with w₂ = 2 and σγ = 1 the messages of Eq. 4 sum to 12.6 nats, more than the
unary margin of a certain pixel. That the smaller region gives the label map of the whole slice is an observation,
measured by ``benchmarks/crf.py`` and held to at least 99.99 % of pixels by the tests; an undecided softmax makes the
region grow, up to the whole slice.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

__all__ = ["CERTAIN", "CONTEXT", "START_BELT", "undecided"]

CERTAIN = 0.99
"""Largest softmax probability above which a pixel beyond the belt keeps its label."""

START_BELT = 2
"""Pixels from a border between labels that may always change."""

CONTEXT = 3
"""Pixels around the changeable ones that take part in the sums; k = exp(-4.5) = 0.011 there for σγ = 1."""


def undecided(probabilities: np.ndarray, labels: np.ndarray, reach: int, iterations: int):
    """Return the pixels that may change and the pixels to compute.

    Parameters
    ----------
    probabilities : (K, Y, X) float32
    labels : (Y, X) arg-max of `probabilities`
    reach : int
        Distance in pixels at which the kernels vanish.
    iterations : int
        Mean-field iterations.

    Returns
    -------
    may_change, computed : (Y, X) bool
        Both empty where all pixels have one label.
    """
    border = _borders(labels)
    may_change = np.zeros(labels.shape, bool)
    computed = np.zeros(labels.shape, bool)
    if not border.any():
        return may_change, computed
    belt = _dilate(border, min(START_BELT, reach))
    unsure = probabilities.max(axis=0) < CERTAIN
    if (unsure & ~belt).any():
        components, n_components = ndimage.label(unsure | belt)
        touching = np.zeros(n_components + 1, bool)
        touching[components[belt]] = True
        touching[0] = False
        belt = touching[components] & _dilate(border, reach * iterations)
    return belt, _dilate(belt, min(CONTEXT, reach))


def _borders(labels: np.ndarray) -> np.ndarray:
    border = np.zeros(labels.shape, bool)
    down = labels[1:] != labels[:-1]
    across = labels[:, 1:] != labels[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= across
    border[:, :-1] |= across
    return border


def _dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    if radius < 1:
        return mask
    return ndimage.maximum_filter(mask.view(np.uint8), size=2 * radius + 1, mode="constant").view(bool)
