"""How sure a network, or several, are, per pixel. Axis 1 of every softmax holds the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MemberVotes", "max_probability", "normalised_entropy", "to_uint8"]


def max_probability(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probability of the chosen class: ``(Z, K, Y, X)`` → ``(Z, Y, X)`` in [1/K, 1]."""
    return probabilities.max(axis=1).astype(np.float32, copy=False)


def normalised_entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Entropy over log K: ``(Z, K, Y, X)`` → ``(Z, Y, X)``; 0 is certain, 1 is undecided between all classes."""
    n_classes = probabilities.shape[1]
    if n_classes < 2:
        return np.zeros((probabilities.shape[0], *probabilities.shape[2:]), np.float32)
    entropy = np.empty((probabilities.shape[0], *probabilities.shape[2:]), np.float32)
    for z, p in enumerate(probabilities):  # slice by slice: of a CT the logarithms alone would take gigabytes
        p = p.astype(np.float32, copy=False)
        entropy[z] = -(p * np.log(np.maximum(p, np.finfo(np.float32).tiny))).sum(axis=0)
    return np.clip(entropy / np.float32(np.log(n_classes)), 0, 1)


class MemberVotes:
    """Collects the softmax of the members of an ensemble, one after another, for the variance between them.

    Deep ensembles: Lakshminarayanan, Pritzel & Blundell, NeurIPS 2017.
    """

    def __init__(self) -> None:
        self._n = 0
        self._sum: NDArray[np.float32] | None = None
        self._squares: NDArray[np.float32] | None = None

    def add(self, probabilities: NDArray[np.float32]) -> None:
        """Take the softmax ``(Z, K, Y, X)`` of one member."""
        if self._sum is None or self._squares is None:
            self._sum = np.zeros(probabilities.shape, np.float32)
            self._squares = np.zeros(probabilities.shape, np.float32)
        self._sum += probabilities
        self._squares += probabilities * probabilities
        self._n += 1

    def variance(self) -> NDArray[np.float32]:
        """Variance over the members, summed over the classes, ``(Z, Y, X)`` in [0, 1].

        It is divided by its largest value, 1 − 1/min(members, classes), which members reach that are certain of as
        different classes as there can be. ValueError for fewer than two members.
        """
        if self._n < 2 or self._sum is None or self._squares is None:
            raise ValueError(f"the variance of an ensemble needs two members or more, got {self._n}")
        most = 1.0 - 1.0 / min(self._n, self._sum.shape[1])
        spread = (self._squares / self._n - (self._sum / self._n) ** 2).sum(axis=1)
        return np.clip(spread / np.float32(most), 0, 1)


def to_uint8(confidence: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Store [0, 1] in 8 bits, rounded to the nearest of 256 steps."""
    return np.rint(np.clip(confidence, 0, 1) * np.float32(255)).astype(np.uint8)
