from __future__ import annotations

import math

import pytest
import torch

from napari_ssl.training.augment import augment
from napari_ssl.training.augment_intensity import _blur, change_intensities, to_unit_range
from napari_ssl.training.recipes import Recipe


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_images_from_zero_up_stay_as_they_are():
    images = torch.rand(2, 1, 4, 4)
    unit, offset, scale = to_unit_range(images)
    assert unit is images and not offset.any() and torch.equal(scale, torch.ones_like(scale))


def test_z_scores_come_to_the_unit_range_and_back():
    images = torch.randn(3, 2, 6, 6, generator=_generator()) * 2
    unit, offset, scale = to_unit_range(images)
    assert torch.allclose(unit.amin(dim=(1, 2, 3)), torch.zeros(3), atol=1e-6)
    assert torch.allclose(unit.amax(dim=(1, 2, 3)), torch.ones(3), atol=1e-6)
    assert torch.allclose(unit * scale + offset, images, atol=1e-5)


def test_augmenting_z_scores_is_augmenting_their_unit_range():
    """A gamma or a brightness that is meant for [0, 1] must not be applied to values from −2 to 3."""
    unit = torch.rand(4, 1, 32, 32, generator=_generator())
    unit[:, 0, 0, 0], unit[:, 0, 0, 1] = 0, 1
    classes = (unit[:, 0] > 0.5).to(torch.uint8)
    z_scores = unit * 5 - 2
    for name in ("paper", "strong"):
        plain, labels = augment(unit, classes, name=name, generator=_generator(2))
        scored, other = augment(z_scores, classes, name=name, generator=_generator(2))
        assert torch.allclose(scored, plain * 5 - 2, atol=1e-4)
        assert torch.equal(labels, other)


def test_what_moves_into_a_z_scored_slice_is_its_lowest_value():
    images = torch.ones(8, 1, 32, 32)
    images[:, 0, 0, 0] = -1.5
    moved, _ = augment(images, torch.zeros(8, 32, 32, dtype=torch.uint8), name="rotation-flips", generator=_generator())
    assert torch.allclose(moved.amin(), torch.tensor(-1.5), atol=1e-5)
    assert ((moved + 1.5).abs() < 1e-4).flatten(1).sum(1).max() > 10


def test_contrast_keeps_the_mean_of_a_volume():
    images = torch.rand(5, 6, 16, 16, generator=_generator())
    changed = change_intensities(images.clone(), Recipe(contrast_p=1), _generator())
    assert torch.allclose(changed.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)), atol=1e-5)
    assert not torch.allclose(changed, images, atol=1e-2)


def test_blur_is_the_gaussians_with_reflected_borders():
    scipy = pytest.importorskip("scipy.ndimage")
    images = torch.rand(2, 3, 20, 26, generator=_generator())
    for sigma in (0.5, 0.9, 1.5):
        radius = max(1, math.ceil(2.5 * sigma))
        expected = scipy.gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode="mirror", radius=radius)
        assert torch.allclose(_blur(images, sigma), torch.from_numpy(expected), atol=1e-5)


def test_gamma_is_a_power_within_the_range_and_keeps_its_ends():
    images = torch.linspace(-0.2, 1.2, 64).reshape(1, 1, 8, 8).repeat(16, 1, 1, 1)
    changed = change_intensities(images.clone(), Recipe(gamma_p=1), _generator())
    middle = (images[0] > 0.05) & (images[0] < 0.95)
    exponents = torch.stack([(c[middle].log() / i[middle].log()) for c, i in zip(changed, images, strict=True)])
    assert torch.allclose(exponents, exponents[:, :1].expand_as(exponents), rtol=1e-4)
    assert 0.7 <= float(exponents.min()) < 0.9 < 1.2 < float(exponents.max()) <= 1.5
    assert not changed[images < 0].any() and (changed[images > 1] == 1).all()
