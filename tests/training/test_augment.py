from __future__ import annotations

import pytest
import torch

from napari_ssl.errors import CatalogueError
from napari_ssl.training.augment import RECIPES, augment

NAMES = [n for n, recipe in RECIPES.items() if recipe is not None]


def _batch(n=6, size=(48, 64)):
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    classes = (((y - size[0] / 2) / 14) ** 2 + ((x - size[1] / 2 - 3) / 9) ** 2 < 1).to(torch.uint8)
    return classes.float().expand(n, 1, *size).clone(), classes.expand(n, *size).clone()


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_none_changes_nothing():
    images, classes = _batch()
    moved, labels = augment(images, classes, name="none", generator=_generator())
    assert torch.equal(moved, images) and torch.equal(labels, classes)


@pytest.mark.parametrize("name", NAMES)
def test_image_and_labels_move_together(name):
    images, classes = _batch()
    # Small structures blur away at low resolution; alignment is what is tested.
    moved, labels = augment(images, classes, name=name, generator=_generator())
    for image, label in zip(moved[:, 0], labels, strict=True):
        bright = image > (image.max() + image.min()) / 2
        overlap = 2 * (bright & (label == 1)).sum() / (bright.sum() + label.sum())
        assert overlap > 0.93
    assert not torch.equal(labels, classes)


@pytest.mark.parametrize("name", NAMES)
def test_same_generator_state_same_batch(name):
    images, classes = _batch()
    before = images.clone()
    first = augment(images, classes, name=name, generator=_generator(3))
    second = augment(images, classes, name=name, generator=_generator(3))
    other = augment(images, classes, name=name, generator=_generator(4))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_types_shapes_and_values_hold(name):
    images, classes = _batch()
    classes *= 3
    for seed in range(5):
        moved, labels = augment(images, classes, name=name, generator=_generator(seed))
        assert moved.shape == images.shape and moved.dtype == images.dtype
        assert labels.shape == classes.shape and labels.dtype == torch.uint8
        assert set(labels.unique().tolist()) <= {0, 3}
        assert torch.isfinite(moved).all()


def test_rotation_keeps_the_shape_of_structures_in_oblong_slices():
    images, classes = _batch(n=64)
    _, labels = augment(images, classes, name="paper", generator=_generator())
    # The disc's area changes by the square of the zoom alone (standard deviation 0.1 of its logarithm).
    ratio = labels.sum(dim=(1, 2)).float() / classes[0].sum()
    assert 0.9 < ratio.median() < 1.1
    assert 0.1 < ratio.log().std() < 0.32


def test_hearts_are_not_mirrored():
    classes = torch.zeros(64, 64, 64, dtype=torch.uint8)
    classes[:, 28:36, 20:32] = 1
    classes[:, 28:36, 32:44] = 2
    _, labels = augment(classes[:, None].float(), classes, name="strong", generator=_generator())
    x = torch.arange(64.0)
    for label in labels:
        left, right = ((label == v).float() for v in (1, 2))
        if left.sum() > 10 and right.sum() > 10:
            assert (left.sum(0) * x).sum() / left.sum() < (right.sum(0) * x).sum() / right.sum()


def test_an_unknown_recipe_is_named():
    with pytest.raises(CatalogueError, match=r"'wild'; there are: none, paper, strong, rotation-flips, albumentations"):
        augment(*_batch(), name="wild", generator=_generator())
