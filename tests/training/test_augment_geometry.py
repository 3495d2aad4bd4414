from __future__ import annotations

import math

import pytest
import torch

from napari_ssl.training.augment import augment
from napari_ssl.training.augment_geometry import (
    cell_distortion,
    mirrored,
    nearest_in_plane,
    plane_grid,
    positions,
    radial_factor,
    volume_grid,
)
from napari_ssl.training.recipes import RECIPES, Recipe


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _random(*shape):
    return torch.rand(shape, generator=_generator(7))


@pytest.mark.parametrize(
    ("recipe", "move"),
    [
        (Recipe(mirror_x_p=1), lambda t: t.flip(-1)),
        (Recipe(mirror_y_p=1), lambda t: t.flip(-2)),
        (Recipe(quarter_turn_p=1), lambda t: t.rot90(1, (-2, -1))),
    ],
)
def test_mirror_images_and_quarter_turns_are_exact(recipe, move):
    images, classes = _random(3, 1, 16, 16), (_random(3, 1, 16, 16) * 4).to(torch.uint8)
    moved, labels = mirrored(images, classes, recipe, _generator())
    assert torch.equal(moved, move(images)) and torch.equal(labels, move(classes))


def test_oblong_slices_are_not_turned_by_quarters():
    images = _random(2, 1, 8, 16)
    moved, _ = mirrored(images, images, Recipe(quarter_turn_p=1), _generator())
    assert torch.equal(moved, images)


def test_even_angles_turn_rigidly_and_within_their_limit():
    grid = plane_grid(torch.zeros(50, 1, 12, 12), Recipe(rotation_limit_deg=90, rotation_p=1), _generator())
    axis = positions(12, grid.device, grid.dtype)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    original = torch.stack([x, y], dim=-1).reshape(-1, 2)
    matrices = torch.linalg.lstsq(original.expand(50, -1, 2), grid.reshape(50, -1, 2)).solution
    assert torch.allclose(matrices @ matrices.mT, torch.eye(2).expand(50, 2, 2), atol=1e-5)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(50), atol=1e-5)
    degrees = torch.rad2deg(torch.atan2(matrices[:, 0, 1], matrices[:, 0, 0]))
    assert degrees.abs().max() <= 90 and degrees.max() > 60 and degrees.min() < -60


def test_radial_distortion_follows_its_formula():
    x, y = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.25, 1.0]])
    k = torch.tensor([[0.04]])
    factors = radial_factor(x, y, k, ratio=0.5)
    for n in range(2):
        r2 = (float(x[0, n]) / 2) ** 2 + (float(y[0, n]) / 2 * 0.5) ** 2
        assert math.isclose(float(factors[0, n]), 1 + 0.04 * r2 + 0.04 * r2**2, rel_tol=1e-6)


def test_the_optics_act_in_the_grid_that_is_sampled():
    images = torch.zeros(40, 1, 20, 20)
    grid = plane_grid(images, Recipe(optical_limit=0.05, optical_p=1), _generator())
    corner = grid[:, -1, -1, 0] / positions(20, images.device, images.dtype)[-1]
    r2 = 2 * (float(positions(20, images.device, images.dtype)[-1]) / 2) ** 2
    k = (corner - 1) / (r2 + r2**2)
    assert float(k.abs().max()) <= 0.05 + 1e-5 and float(k.std()) > 0.015
    assert torch.allclose(grid[:, 10, 10], grid[:, 10, 10].mean(), atol=1e-3)  # the middle stays


def test_cells_of_equal_size_change_nothing():
    even = cell_distortion(30, torch.ones(1, 5))
    assert torch.allclose(even[0], positions(30, even.device, even.dtype), atol=1e-6)


def test_cells_stretch_and_shrink_with_linear_positions_inside():
    steps = torch.tensor([[1.0, 3.0]])
    # Two cells: the first half of the axis shows the first quarter of the picture, the second half the rest.
    expected = [-1 + (p + 1) / 2 if p < 0 else -0.5 + 1.5 * p for p in positions(8, steps.device, steps.dtype).tolist()]
    assert torch.allclose(cell_distortion(8, steps)[0], torch.tensor(expected), atol=1e-6)


@pytest.mark.parametrize("name", ["rotation-flips", "albumentations"])
def test_recipes_for_ct_mirror_some_and_leave_some(name):
    classes = torch.zeros(64, 32, 32, dtype=torch.uint8)
    classes[:, 4:10, 14:18] = 1
    _, labels = augment(classes[:, None].float(), classes, name=name, generator=_generator())
    y = torch.arange(32.0)
    means = (labels.float().sum(2) * y).sum(1) / labels.flatten(1).sum(1)
    assert (means < 12).sum() > 8 and (means > 20).sum() > 8


def test_slices_of_a_flat_patch_move_alike():
    images = _random(2, 1, 1, 40, 40).expand(2, 1, 8, 40, 40).clone()
    classes = (images[:, 0] > 0.5).to(torch.uint8)
    moved, labels = augment(images, classes, name="strong", generator=_generator(3))
    assert moved.shape == images.shape and labels.shape == classes.shape
    assert torch.equal(labels[:, 0], labels[:, 5])
    assert not torch.equal(labels, classes)


def test_a_deep_patch_is_turned_about_all_axes_and_stays_rigid():
    recipe = Recipe(rotation_sd_deg=20)
    images = torch.zeros(6, 1, 24, 24, 24)
    grid = volume_grid(images, recipe, _generator())
    points = grid.reshape(6, -1, 3)
    axis = positions(24, images.device, images.dtype)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    original = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    assert torch.allclose(points.norm(dim=2), original.norm(dim=1).expand(6, -1), atol=1e-4)
    assert (points[..., 2] - original[:, 2]).abs().amax(dim=1).min() > 0.02  # tilted out of the plane
    identity = volume_grid(images, Recipe(), _generator()).reshape(6, -1, 3)
    assert torch.allclose(identity, original.expand(6, -1, 3), atol=1e-6)


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r])
@pytest.mark.parametrize("size", [(8, 48, 48), (24, 32, 32)])
def test_labels_follow_volumes(name, size):
    z, y, x = torch.meshgrid(*(torch.arange(float(s)) for s in size), indexing="ij")
    inside = ((z / size[0] - 0.5) / 0.35) ** 2 + ((y / size[1] - 0.5) / 0.3) ** 2 + ((x / size[2] - 0.45) / 0.2) ** 2
    classes = (inside < 1).to(torch.uint8).expand(3, *size).clone()
    images = classes[:, None].float()
    moved, labels = augment(images, classes, name=name, generator=_generator(5))
    bright = moved[:, 0] > 0.5 * moved.amax(dim=(1, 2, 3, 4))[:, None, None, None]
    overlap = 2 * (bright & (labels == 1)).flatten(1).sum(1) / (bright.flatten(1).sum(1) + labels.flatten(1).sum(1))
    assert float(overlap.min()) > 0.88 and labels.dtype == torch.uint8
    again = augment(images, classes, name=name, generator=_generator(5))
    assert torch.equal(moved, again[0]) and torch.equal(labels, again[1])


@pytest.mark.parametrize("size", [(24, 24), (17, 30)])
def test_labels_are_taken_from_where_grid_sample_takes_them(size):
    generator = torch.Generator().manual_seed(3)
    classes = torch.randint(0, 5, (4, 3, *size), generator=generator).to(torch.uint8)
    grid = torch.rand((4, *size, 2), generator=generator) * 2.6 - 1.3
    expected = torch.nn.functional.grid_sample(
        classes.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    taken = nearest_in_plane(classes, grid)
    assert taken.dtype == torch.uint8
    assert torch.equal(taken, expected.to(torch.uint8))
