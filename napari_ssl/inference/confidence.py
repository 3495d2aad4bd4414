"""How sure the network is, per pixel. Axis 1 of every array holds the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["max_probability", "normalised_entropy", "to_uint8"]


def max_probability(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probability of the chosen class: ``(Z, K, Y, X)`` → ``(Z, Y, X)`` in [1/K, 1]."""
    return probabilities.max(axis=1).astype(np.float32, copy=False)


def normalised_entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Entropy over log K: ``(Z, K, Y, X)`` → ``(Z, Y, X)``; 0 is certain, 1 is undecided between all classes."""
    n_classes = probabilities.shape[1]
    if n_classes < 2:
        return np.zeros((probabilities.shape[0], *probabilities.shape[2:]), np.float32)
    p = probabilities.astype(np.float32, copy=False)
    entropy = -(p * np.log(np.maximum(p, np.finfo(np.float32).tiny))).sum(axis=1)
    return np.clip(entropy / np.float32(np.log(n_classes)), 0, 1)


def to_uint8(confidence: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Store [0, 1] in 8 bits, rounded to the nearest of 256 steps."""
    return np.rint(np.clip(confidence, 0, 1) * np.float32(255)).astype(np.uint8)
