from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import ImageError, JobError
from napari_ssl.inference.predict import iter_frames
from napari_ssl.inference.preprocess import normalise
from napari_ssl.networks import build_network

SPACING = (10.0, 1.5, 1.5)


class Threshold(nn.Module):
    """Logits that say where the image is bright; refuses more than `limit` slices at once."""

    def __init__(self, limit: int = 1000) -> None:
        super().__init__()
        self.limit, self.calls = limit, []

    def forward(self, x):
        self.calls.append(len(x))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return torch.cat([0.5 - x, x - 0.5], dim=1) * 50


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 1000, (4, 3, 21, 26)).astype(np.uint16)


def test_frames_come_in_order_on_the_images_own_grid(image):
    expected = normalise(image, Preprocessing()) > 0.5
    seen = []
    for frame, probabilities in iter_frames(Threshold(), image, Preprocessing(), SPACING, batch_size=5):
        assert probabilities.shape == (3, 2, 21, 26) and probabilities.dtype == np.float32
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert (probabilities.argmax(axis=1) == expected[frame]).mean() > 0.999
        seen.append(frame)
    assert seen == [0, 1, 2, 3]


def test_batches_are_filled_over_frames(image):
    network = Threshold()
    list(iter_frames(network, image, Preprocessing(), SPACING, batch_size=5))
    assert network.calls == [5, 5, 2]


@pytest.mark.parametrize("frames", [[2], [3, 0], []])
def test_only_the_frames_asked_for_but_the_window_of_all(image, frames):
    whole = dict(iter_frames(Threshold(), image, Preprocessing(), SPACING))
    some = dict(iter_frames(Threshold(), image, Preprocessing(), SPACING, frames=frames, batch_size=2))
    assert list(some) == frames
    assert all(np.array_equal(some[f], whole[f]) for f in frames)


def test_result_does_not_depend_on_the_batch_size(image):
    torch.manual_seed(0)
    network = build_network("res-unet", n_classes=3, parameters={"base_channels": 4, "levels": 3})
    first = dict(iter_frames(network, image, Preprocessing(), SPACING, batch_size=1))
    second = dict(iter_frames(network, image, Preprocessing(), SPACING, batch_size=7))
    assert all(np.allclose(first[f], second[f], atol=1e-5) for f in first)


def test_resampled_prediction_returns_to_the_images_grid():
    y, x = np.mgrid[:48, :40]
    disc = (np.hypot(y - 20, x - 22) < 9)[None, None]
    image = (disc * 1000).astype(np.int16)
    network = Threshold()
    preprocessing = Preprocessing(pixel_spacing_mm=1.0)
    _, probabilities = next(iter_frames(network, image, preprocessing, SPACING))
    assert (probabilities.argmax(axis=1)[0] == disc[0, 0]).mean() > 0.99


def test_out_of_memory_halves_the_batch_and_gives_the_same(image):
    network = Threshold(limit=2)
    limited = dict(iter_frames(network, image, Preprocessing(), SPACING, batch_size=8))
    free = dict(iter_frames(Threshold(), image, Preprocessing(), SPACING, batch_size=8))
    assert all(np.array_equal(limited[f], free[f]) for f in free)
    assert max(network.calls[3:]) <= 2


def test_no_memory_for_one_slice_is_said(image):
    with pytest.raises(JobError, match=r"one slice of \(21, 26\)"):
        list(iter_frames(Threshold(limit=0), image, Preprocessing(), SPACING))


def test_stops_between_batches(image):
    answers = iter([False, True])
    frames = list(
        iter_frames(Threshold(), image, Preprocessing(), SPACING, batch_size=3, should_stop=lambda: next(answers))
    )
    assert [f for f, _ in frames] == [0]


def test_bad_requests_are_refused(image):
    with pytest.raises(ImageError, match="frame 9"):
        list(iter_frames(Threshold(), image, Preprocessing(), SPACING, frames=[9]))
    with pytest.raises(ImageError, match=r"\(T, Z, Y, X\)"):
        list(iter_frames(Threshold(), image[0], Preprocessing(), SPACING))


def test_a_network_that_gives_no_numbers_is_refused():
    """Its arg-max would be background everywhere."""
    network = nn.Conv2d(1, 3, 1)
    nn.init.constant_(network.weight, float("nan"))
    with pytest.raises(JobError, match=r"not finite.*train it again"):
        list(iter_frames(network, np.ones((1, 1, 8, 8), np.uint8), Preprocessing(), (1.0, 1.0, 1.0)))
