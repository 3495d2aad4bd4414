from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.atlas.fusion import correlation_fusion, majority_vote
from napari_ssl.errors import JobError


def _closed_form(target, pairs, n_classes, r_patch, r_search, gamma):
    """Equation (F), voxel by voxel."""
    n_z, n_y, n_x = target.shape
    result = np.zeros((n_classes, *target.shape))
    sigma = (r_search + 1) / 2
    for z, y, x in np.ndindex(n_z, n_y, n_x):
        for image, labels in pairs:
            for dy in range(-r_search, r_search + 1):
                for dx in range(-r_search, r_search + 1):
                    patch = [
                        (target[z, j, i], image[z, j + dy, i + dx] if 0 <= j + dy < n_y and 0 <= i + dx < n_x else 0.0)
                        for j in range(max(0, y - r_patch), min(n_y, y + r_patch + 1))
                        for i in range(max(0, x - r_patch), min(n_x, x + r_patch + 1))
                    ]
                    a, b = np.array(patch, np.float64).T
                    a, b = a - a.mean(), b - b.mean()
                    norm = np.sqrt((a * a).sum() * (b * b).sum())
                    rho = (a * b).sum() / norm if norm > 1e-5 else 0.0
                    if rho > 0:
                        inside = 0 <= y + dy < n_y and 0 <= x + dx < n_x
                        k = labels[z, y + dy, x + dx] if inside else 0
                        result[k, z, y, x] += rho**gamma * np.exp(-(dy**2 + dx**2) / (2 * sigma**2))
    total = result.sum(axis=0)
    votes = majority_vote([labels for _, labels in pairs], n_classes)
    return np.where(total > 0, result / np.where(total > 0, total, 1), votes)


@pytest.mark.parametrize(("r_search", "gamma"), [(0, 1.0), (1, 4.0), (1, 0.0)])
def test_fusion_equals_its_equation(r_search, gamma):
    rng = np.random.default_rng(0)
    target = rng.random((2, 6, 7)).astype(np.float32)
    pairs = [
        (rng.random(target.shape).astype(np.float32), rng.integers(0, 3, target.shape).astype(np.uint8))
        for _ in range(3)
    ]
    fused = correlation_fusion(target, pairs, 3, patch_radius=2, search_radius=r_search, gamma=gamma)
    np.testing.assert_allclose(fused, _closed_form(target, pairs, 3, 2, r_search, gamma), atol=1e-5)


def test_the_atlas_that_looks_like_the_target_outvotes_those_that_do_not():
    rng = np.random.default_rng(1)
    target = rng.random((1, 9, 9)).astype(np.float32)
    right, wrong = np.ones(target.shape, np.uint8), np.full(target.shape, 2, np.uint8)
    pairs = [(target, right), (1 - target, wrong), (1 - target, wrong)]
    assert (correlation_fusion(target, pairs, 3, search_radius=0).argmax(axis=0) == 1).all()
    assert (majority_vote([labels for _, labels in pairs], 3).argmax(axis=0) == 2).all()


def test_where_nothing_correlates_the_majority_decides():
    flat = np.zeros((1, 5, 5), np.float32)
    labels = [np.full(flat.shape, k, np.uint8) for k in (1, 1, 2)]
    fused = correlation_fusion(flat, [(flat, one) for one in labels], 3)
    np.testing.assert_allclose(fused, majority_vote(labels, 3))
    np.testing.assert_allclose(fused[:, 0, 0, 0], (0, 2 / 3, 1 / 3), atol=1e-6)


def test_probabilities_sum_to_one_and_are_finite():
    rng = np.random.default_rng(3)
    target = rng.random((2, 12, 11)).astype(np.float32)
    pairs = [(rng.random(target.shape).astype(np.float32), rng.integers(0, 4, target.shape).astype(np.uint8))]
    fused = correlation_fusion(target, pairs, 4)
    assert np.isfinite(fused).all()
    np.testing.assert_allclose(fused.sum(axis=0), 1, atol=1e-5)


def test_a_vote_needs_voters():
    with pytest.raises(JobError, match="no atlas"):
        majority_vote([], 3)
