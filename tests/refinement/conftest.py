"""Softmax maps as a network would give them, made from label maps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage


def softmax_of(
    labels: np.ndarray, n_classes: int, *, seed: int = 0, noise: float = 1.0, scale: float = 10.0
) -> np.ndarray:
    """Blurred one-hot maps times `scale` as logits, plus spatially correlated noise; (K, Y, X) float32."""
    rng = np.random.default_rng(seed)
    one_hot = np.stack([ndimage.gaussian_filter((labels == k).astype(float), 1.2) for k in range(n_classes)])
    speckle = np.stack([ndimage.gaussian_filter(rng.normal(size=labels.shape), 1.5) * 5 for _ in range(n_classes)])
    logits = scale * one_hot + noise * speckle
    exponentials = np.exp(logits - logits.max(axis=0))
    return (exponentials / exponentials.sum(axis=0)).astype(np.float32)


def heart_slice(matrix: int = 224, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A ring (2) round a pool (3) with a crescent (1) beside it; labels (Y, X) uint8 and image in [0, 1] float32."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:matrix, :matrix] - matrix / 2 + rng.uniform(-6, 6, size=(2, 1, 1))
    unit = matrix / 224
    radius = np.hypot(y, x * rng.uniform(0.9, 1.1))
    labels = np.zeros((matrix, matrix), np.uint8)
    labels[(np.hypot(y, x + 24 * unit) < 27 * unit) & (radius >= 21 * unit)] = 1
    labels[radius < 22 * unit] = 2
    labels[radius < 14 * unit] = 3
    image = np.array([0.25, 0.75, 0.2, 0.8])[labels] + rng.normal(0, 0.04, labels.shape)
    return labels, np.clip(ndimage.gaussian_filter(image, 0.7), 0, 1).astype(np.float32)


@pytest.fixture(scope="session")
def hearts():
    """Three (probabilities (4, 224, 224), image, labels) of growing difficulty."""
    made = []
    for seed, (noise, scale) in enumerate(((0.3, 12), (1.0, 12), (1.5, 8))):
        labels, image = heart_slice(seed=seed)
        made.append((softmax_of(labels, 4, seed=seed, noise=noise, scale=scale), image, labels))
    return made


@pytest.fixture(scope="session")
def small_heart():
    """One 28 x 24 slice of 4 classes that a brute-force sum over all pairs can afford."""
    labels, image = heart_slice(56)
    labels, image = labels[14:42, 14:38], image[14:42, 14:38]
    return softmax_of(labels, 4, noise=1.5, scale=5), image


@pytest.fixture(scope="session")
def make_softmax():
    return softmax_of
