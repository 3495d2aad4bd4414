from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import GeometryError, ImageError
from napari_ssl.inference.preprocess import (
    centre_crop,
    intensity_window,
    network_size_yx,
    normalise,
    resample,
    resample_labels,
)

NATIVE = Preprocessing()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, bool])
def test_window_is_the_percentiles_over_all_frames(dtype):
    rng = np.random.default_rng(0)
    low = -200 if np.dtype(dtype).kind == "i" else 0
    image = rng.integers(low, 250, (3, 2, 17, 19)).astype(dtype)
    assert intensity_window(image, NATIVE) == pytest.approx(np.percentile(image.astype(float), (0.5, 99.5)), rel=1e-6)


def test_the_whole_range_of_a_signed_type_is_no_trouble():
    image = np.array([-32768, 0, 32767], np.int16).reshape(1, 1, 1, 3)
    assert intensity_window(image, Preprocessing(low_percentile=0, high_percentile=100)) == (-32768, 32767)


def test_normalised_intensities_lie_in_zero_to_one_and_clip_the_tails():
    image = np.arange(4000, dtype=np.int16).reshape(2, 2, 25, 40)
    scaled = normalise(image, Preprocessing(low_percentile=10, high_percentile=90))
    assert scaled.dtype == np.float32
    assert scaled.min() == 0 and scaled.max() == 1
    assert np.mean(scaled == 0) == pytest.approx(0.1, abs=0.01)
    assert scaled.ravel()[2000] == pytest.approx(0.5, abs=1e-3)


def test_an_image_of_one_value_becomes_zero():
    assert not normalise(np.full((1, 1, 4, 4), 7, np.uint16), NATIVE).any()


def test_bad_images_are_refused():
    with pytest.raises(ImageError, match="no voxels"):
        intensity_window(np.zeros((0, 1, 4, 4)), NATIVE)
    with pytest.raises(ImageError, match="not finite"):
        intensity_window(np.full((1, 1, 4, 4), np.nan), NATIVE)


def test_network_size_follows_the_spacing():
    assert network_size_yx((216, 256), (10, 1.5, 1.5), NATIVE) == (216, 256)
    assert network_size_yx((216, 256), (10, 1.5, 1.25), Preprocessing(pixel_spacing_mm=1.25)) == (259, 256)
    with pytest.raises(GeometryError, match="more than 8192"):
        network_size_yx((216, 256), (10, 100, 100), Preprocessing(pixel_spacing_mm=0.1))


@pytest.mark.parametrize("size", [(33, 61), (57, 40), (90, 91)])
def test_resampling_there_and_back_keeps_structures_in_place(size):
    y, x = np.mgrid[:44, :52]
    blob = torch.tensor(np.exp(-((y - 15.0) ** 2 + (x - 31.0) ** 2) / 40), dtype=torch.float32)[None, None]
    back = resample(resample(blob, size), (44, 52))
    assert back.shape == blob.shape

    def centre(image):
        weights = image[0, 0].numpy()
        return (weights * y).sum() / weights.sum(), (weights * x).sum() / weights.sum()

    assert centre(back) == pytest.approx(centre(blob), abs=0.05)
    assert (back - blob).abs().max() < 0.08


def test_labels_and_image_are_resampled_onto_the_same_grid():
    labels = torch.zeros(1, 40, 40, dtype=torch.uint8)
    labels[:, 10:25, 12:30] = 1
    for size in ((80, 80), (61, 59), (23, 31)):
        image = resample(labels[:, None].float(), size)[:, 0]
        agree = (resample_labels(labels, size) == (image > 0.5)).float().mean()
        assert agree > 0.97
    assert torch.equal(resample_labels(resample_labels(labels, (80, 80)), (40, 40)), labels)


@pytest.mark.parametrize("shape", [(40, 30), (17, 16), (9, 50), (16, 32)])
def test_centre_crop_and_its_inverse_share_the_centre(shape):
    original = torch.rand(2, *shape) + 1
    there = centre_crop(original, (16, 32))
    assert there.shape == (2, 16, 32)
    back = centre_crop(there, shape)
    kept = back != 0
    assert torch.equal(back[kept], original[kept])
    assert kept.sum() == 2 * min(shape[0], 16) * min(shape[1], 32)


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64])
def test_intensities_far_from_zero_and_of_any_integer_type_are_normalised(dtype):
    """A histogram from zero would take gigabytes."""
    image = (np.arange(101).reshape(1, 1, 1, 101) + 4_000_000_000).astype(dtype)
    preprocessing = Preprocessing(low_percentile=10, high_percentile=90)
    np.testing.assert_allclose(intensity_window(image, preprocessing), (4_000_000_010, 4_000_000_090), rtol=1e-12)
    np.testing.assert_allclose(normalise(image, preprocessing).ravel()[10:91], np.arange(81) / 80, atol=1e-6)
