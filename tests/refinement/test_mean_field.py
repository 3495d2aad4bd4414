from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.refinement.kernels import KERNEL_FLOOR, PixelSet

pytest.importorskip("torch", reason="torch is not installed")

from napari_ssl.refinement import mean_field

WIDE = {"sigma_alpha": 6.0, "sigma_beta": 20.0, "sigma_gamma": 3.0, "w1": 0.05, "w2": 0.1}


def brute_force(probabilities, image, parameters, floor=0.0):
    """Mean field with sums over all pairs of pixels in double precision, written down from Eqs. 3 and 4."""
    n_classes, height, width = probabilities.shape
    y, x = (grid.ravel() for grid in np.mgrid[:height, :width])
    grey = image.ravel().astype(float) * parameters.intensity_range
    squared = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2

    def kernel(sigma, exponent):
        position = np.exp(-squared / (2 * sigma**2))
        return np.where(position < floor, 0, position) * np.exp(-exponent)

    bilateral = kernel(parameters.sigma_alpha, (grey[:, None] - grey) ** 2 / (2 * parameters.sigma_beta**2))
    smoothness = kernel(parameters.sigma_gamma, 0.0)
    if parameters.normalisation == "symmetric":
        bilateral, smoothness = (k / np.sqrt(np.outer(k.sum(1), k.sum(1))) for k in (bilateral, smoothness))
    weights = parameters.w1 * bilateral + parameters.w2 * smoothness
    theta = -np.log(np.maximum(probabilities.reshape(n_classes, -1).astype(float), 1e-5))
    q = softmax(-theta)
    for _ in range(parameters.iterations):
        cost = weights.sum(axis=1) - q @ weights.T  # of label l: the pairs whose other pixel has another label
        q = softmax(-theta - cost)
    return q


def softmax(score):
    exponentials = np.exp(score - score.max(axis=0))
    return exponentials / exponentials.sum(axis=0)


def solve(probabilities, image, parameters):
    pixels = PixelSet.of(np.ones(image.shape, bool), image)
    unary = -np.log(np.maximum(probabilities.reshape(len(probabilities), -1), 1e-5))
    return mean_field.solve(unary, pixels, parameters)


@pytest.mark.parametrize("normalisation", ["none", "symmetric"])
def test_narrow_kernels_equal_the_sum_over_all_pairs_within_the_window(small_heart, normalisation):
    parameters = CRFParameters(normalisation=normalisation, sigma_beta=20.0)
    expected = brute_force(*small_heart, parameters, floor=KERNEL_FLOOR)
    np.testing.assert_allclose(solve(*small_heart, parameters), expected, atol=2e-5)


@pytest.mark.parametrize("normalisation", ["none", "symmetric"])
def test_cutting_the_narrow_kernels_off_moves_no_marginal_by_more_than_a_thousandth(small_heart, normalisation):
    parameters = CRFParameters(normalisation=normalisation)
    np.testing.assert_allclose(solve(*small_heart, parameters), brute_force(*small_heart, parameters), atol=1e-3)


@pytest.mark.parametrize("normalisation", ["none", "symmetric"])
def test_wide_kernels_equal_the_sum_over_all_pairs(small_heart, normalisation):
    parameters = CRFParameters(normalisation=normalisation, **WIDE)
    np.testing.assert_allclose(solve(*small_heart, parameters), brute_force(*small_heart, parameters), atol=2e-5)


def test_wide_bilateral_kernel_is_the_same_in_small_blocks(small_heart, monkeypatch):
    parameters = CRFParameters(**WIDE)
    at_once = solve(*small_heart, parameters)
    monkeypatch.setattr(mean_field, "_BLOCK_VALUES", 5000)
    np.testing.assert_allclose(solve(*small_heart, parameters), at_once, atol=1e-6)


@pytest.mark.parametrize(("log_odds", "label"), [(8.0, 0), (9.0, 1)])
def test_single_pixel_yields_where_the_closed_form_says(log_odds, label):
    """A sure pixel amid the other class: own support w₂ (2q - 1) against w₂ (2 pi sigma² - 1), sigma = 1."""
    parameters = CRFParameters(w1=0, w2=2, sigma_gamma=1, iterations=1, normalisation="none")
    probabilities = np.full((2, 21, 21), 1e-5, np.float32)
    probabilities[0] = 1 - 1e-5
    q = 1 / (1 + np.exp(-log_odds))
    probabilities[:, 10, 10] = 1 - q, q
    assert (log_odds + 2 * (2 * q - 1) > 2 * (2 * np.pi - 1)) == bool(label)
    marginals = solve(probabilities, np.zeros((21, 21), np.float32), parameters)
    assert marginals.argmax(axis=0).reshape(21, 21)[10, 10] == label
