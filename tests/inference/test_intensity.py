from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import ImageError
from napari_ssl.inference.intensity import grey_levels, intensity_map, normalise


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(100, 40, (2, 3, 20, 24)).round().astype(np.int16)


def test_z_scores_are_clipped_then_standardised(image):
    """Zhu 2022, Sec. 2.1: the highest 5 % of the histogram cut off, then (x − mean) / SD."""
    preprocessing = Preprocessing(intensity="z-score", low_percentile=0, high_percentile=95)
    clipped = np.clip(image, None, np.percentile(image, 95)).astype(float)
    expected = (clipped - clipped.mean()) / clipped.std()
    result = normalise(image, preprocessing)
    np.testing.assert_allclose(result, expected, atol=1e-4)
    assert abs(result.mean()) < 1e-4 and abs(result.std() - 1) < 1e-4
    assert np.isclose(intensity_map(image, preprocessing).floor, result.min(), atol=1e-5)


def test_three_standard_deviations_span_the_unit_range(image):
    """Baldeon Calisto 2022, Sec. 2.1."""
    image[0, 0, 0, :3] = (2000, -2000, 100)
    mean, sd = image.mean(), image.std()
    result = normalise(image, Preprocessing(intensity="three-sd"))
    expected = np.clip((image - (mean - 3 * sd)) / (6 * sd), 0, 1)
    np.testing.assert_allclose(result, expected, atol=1e-4)
    assert result.max() == 1 and result.min() == 0


def test_a_window_shows_the_same_values_of_every_image(image):
    preprocessing = Preprocessing(intensity="window", window_low=-160, window_high=240)
    np.testing.assert_allclose(normalise(image, preprocessing), np.clip((image + 160.0) / 400, 0, 1), atol=1e-5)
    np.testing.assert_allclose(
        normalise(image[:1], preprocessing), normalise(image, preprocessing)[:1], atol=1e-6
    )  # whatever else is in the series


@pytest.mark.parametrize("intensity", ["z-score", "three-sd", "window", "percentile"])
def test_the_crf_sees_greys_by_percentiles_whatever_the_network_sees(image, intensity):
    grey = grey_levels(image, Preprocessing(intensity=intensity))
    np.testing.assert_array_equal(grey, normalise(image, Preprocessing()))
    assert grey.min() == 0 and grey.max() == 1


def test_the_crf_follows_the_percentiles_that_the_network_sees(image):
    preprocessing = Preprocessing(low_percentile=10, high_percentile=90)
    np.testing.assert_array_equal(grey_levels(image, preprocessing), normalise(image, preprocessing))


@pytest.mark.parametrize("intensity", ["z-score", "three-sd"])
def test_a_uniform_image_gives_zeros(intensity):
    assert not normalise(np.full((1, 1, 4, 4), 7, np.int16), Preprocessing(intensity=intensity)).any()


@pytest.mark.parametrize("intensity", ["z-score", "three-sd", "window"])
def test_what_is_not_finite_or_empty_is_refused(intensity):
    bad = np.ones((1, 1, 4, 4), np.float32)
    bad[0, 0, 1, 1] = np.nan
    with pytest.raises(ImageError, match="not finite"):
        normalise(bad, Preprocessing(intensity=intensity))
    with pytest.raises(ImageError, match="no voxels"):
        normalise(bad[:0], Preprocessing(intensity=intensity))
