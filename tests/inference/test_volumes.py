from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import GeometryError, JobError
from napari_ssl.inference.labelling import label_image
from napari_ssl.inference.predict import iter_frames
from napari_ssl.inference.preprocess import network_size_zyx, resample_labels, resample_volume
from napari_ssl.networks import build_network

VOLUMES = Preprocessing(dimensions=3, crop_yx=(16, 32), patch_z=8)


class Threshold(nn.Module):
    """Says where windows are bright; remembers their shapes, refuses more than `limit` at once."""

    def __init__(self, limit: int = 1000) -> None:
        super().__init__()
        self.limit, self.shapes = limit, []

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return torch.cat([0.5 - x, x - 0.5], dim=1) * 50


def _ball(shape=(18, 40, 44), spacing=(1.0, 1.0, 1.0), radius=8.0) -> np.ndarray:
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij")
    middle = [(n - 1) * s / 2 for n, s in zip(shape, spacing, strict=True)]
    return (((z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2) < radius**2).astype(np.int16)[None]


def _dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_windows_cover_a_volume_and_blend_to_one():
    image = np.concatenate([_ball() * 900, _ball() * 800])
    network = Threshold()
    frames = dict(iter_frames(network, image, VOLUMES, (1.0, 1.0, 1.0), batch_size=4))
    assert list(frames) == [0, 1]
    for frame, p in frames.items():
        assert p.shape == (18, 2, 40, 44) and p.dtype == np.float32
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-4)
        assert ((p.argmax(axis=1) == 1) == (image[frame] > 450)).all()
    assert {s[2:] for s in network.shapes} == {(8, 16, 32)} and max(s[0] for s in network.shapes) <= 4


def test_a_volume_smaller_than_a_window_is_padded_and_cut():
    image = _ball((5, 12, 14), radius=4) * 900
    (_, p), *_ = iter_frames(Threshold(), image, VOLUMES, (1.0, 1.0, 1.0))
    assert p.shape == (5, 2, 12, 14)
    assert ((p.argmax(axis=1) == 1) == (image[0] > 450)).all()


def test_resampled_volumes_come_back_to_their_own_grid():
    spacing = (2.0, 0.8, 0.8)
    image = _ball((18, 60, 70), spacing, radius=12) * 900
    preprocessing = Preprocessing(
        dimensions=3, crop_yx=(16, 32), patch_z=8, pixel_spacing_mm=1.2, slice_spacing_mm=1.5, overlap=0.25
    )
    assert network_size_zyx(image.shape[1:], spacing, preprocessing) == (24, 40, 47)
    (_, p), *_ = iter_frames(Threshold(), image, preprocessing, spacing)
    assert p.shape == (18, 2, 60, 70)
    assert _dice(p.argmax(axis=1) == 1, image[0] > 450) > 0.97


def test_slices_on_a_resampled_axis_come_back_too():
    spacing = (5.0, 1.0, 1.0)
    image = _ball((10, 48, 48), spacing, radius=16) * 900
    network = Threshold()
    preprocessing = Preprocessing(slice_spacing_mm=2.5)
    (_, p), *_ = iter_frames(network, image, preprocessing, spacing, batch_size=6)
    assert p.shape == (10, 2, 48, 48)
    assert sum(s[0] for s in network.shapes) == 20  # twice as many slices
    assert _dice(p.argmax(axis=1) == 1, image[0] > 450) > 0.97


def test_the_same_grid_gives_the_same_slices_with_or_without_resampling_along_z():
    torch.manual_seed(0)
    network = build_network("res-unet", n_classes=3, parameters={"base_channels": 4, "levels": 3})
    image = np.random.default_rng(0).integers(0, 500, (1, 6, 32, 32)).astype(np.int16)
    plain = dict(iter_frames(network, image, Preprocessing(), (2.0, 1.0, 1.0)))
    same = dict(iter_frames(network, image, Preprocessing(slice_spacing_mm=2.0), (2.0, 1.0, 1.0)))
    np.testing.assert_allclose(plain[0], same[0], atol=1e-5)


def test_out_of_memory_halves_the_windows_at_once():
    image = _ball() * 900
    network = Threshold(limit=2)
    limited = dict(iter_frames(network, image, VOLUMES, (1.0, 1.0, 1.0), batch_size=8))
    free = dict(iter_frames(Threshold(), image, VOLUMES, (1.0, 1.0, 1.0), batch_size=8))
    np.testing.assert_allclose(limited[0], free[0], atol=1e-5)
    with pytest.raises(JobError, match=r"one window of \(8, 16, 32\)"):
        list(iter_frames(Threshold(limit=0), image, VOLUMES, (1.0, 1.0, 1.0)))


def test_a_stop_inside_a_volume_gives_nothing_of_it():
    answers = iter([False, False, True])
    network = Threshold()
    frames = iter_frames(
        network, _ball() * 900, VOLUMES, (1.0, 1.0, 1.0), batch_size=1, should_stop=lambda: next(answers)
    )
    assert list(frames) == [] and len(network.shapes) == 2


class Atlas(nn.Module):
    """Labels volumes without layers: what is bright is class 3."""

    def label_volume(self, volume_zyx, spacing_zyx_mm):
        assert volume_zyx.dtype == np.float32 and volume_zyx.max() <= 1
        self.seen = spacing_zyx_mm
        bright = volume_zyx > 0.5
        return np.stack([~bright, bright & False, bright & False, bright], axis=1).astype(np.float32)


def test_networks_that_label_volumes_get_them_whole():
    image = np.concatenate([_ball() * 900] * 2)
    network = Atlas()
    labelling = label_image(
        network, image, preprocessing=Preprocessing(pixel_spacing_mm=3.0), spacing_zyx_mm=(8.0, 1.4, 1.4),
        scheme=PRESETS["acdc"], frames=[1], device=torch.device("cpu"),
    )  # fmt: skip
    assert network.seen == (8.0, 1.4, 1.4)
    assert ((labelling.labels[1] == 3) == (image[1] > 450)).all() and not labelling.labels[0].any()


def test_label_volume_of_a_wrong_shape_is_refused():
    class Wrong(nn.Module):
        def label_volume(self, volume_zyx, spacing_zyx_mm):
            return volume_zyx

    with pytest.raises(JobError, match=r"Wrong.label_volume gave shape .* must be \(Z, K, Y, X\)"):
        list(iter_frames(Wrong(), _ball(), Preprocessing(), (1.0, 1.0, 1.0)))


def test_volumes_and_labels_share_a_grid_when_resampled():
    ball = torch.from_numpy(_ball(radius=8))
    size = (27, 30, 66)
    image = resample_volume(ball[:, None].float(), size)[:, 0]
    labels = resample_labels(ball.to(torch.uint8), size)
    assert image.shape == labels.shape == (1, *size)
    assert ((image > 0.5) == (labels == 1)).float().mean() > 0.99


def test_a_linear_ramp_survives_resampling_along_each_axis():
    """Linear interpolation keeps what is linear, away from the edges."""
    for axis, (size, new) in enumerate([(10, 25), (12, 30), (14, 35)]):
        ramp = torch.arange(float(size)).reshape([-1 if a == axis else 1 for a in range(3)]).expand(10, 12, 14)
        target = [10, 12, 14]
        target[axis] = new
        moved = resample_volume(ramp[None, None].clone(), target)[0, 0].movedim(axis, 0)
        expected = (torch.arange(float(new)) + 0.5) * size / new - 0.5
        assert torch.allclose(moved[2:-2, 3, 3], expected[2:-2], atol=1e-4)


def test_absurd_spacings_are_named():
    with pytest.raises(GeometryError, match="slice_spacing_mm"):
        network_size_zyx((100, 4, 4), (50.0, 1.0, 1.0), Preprocessing(slice_spacing_mm=0.05))
