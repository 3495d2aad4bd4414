"""Generalised Dice against numpy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ssl.training.generalised_dice import (
    class_weights,
    generalised_dice_loss_per_sample,
    hard_dice_per_sample,
)
from napari_ssl.training.losses import choose_loss, one_hot_of


def draw(shape=(3, 12, 10), n_classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(n_classes, shape, generator=generator, dtype=torch.uint8)
    p = torch.randn(shape[0], n_classes, *shape[1:], generator=generator).softmax(dim=1)
    return p, classes


def in_numpy(p: np.ndarray, r: np.ndarray) -> float:
    """Sudre 2017, Sec. 2: one sample ``(K, N)``, all classes present."""
    w = 1 / r.sum(axis=1) ** 2
    return 1 - 2 * (w * (p * r).sum(axis=1)).sum() / (w * (p + r).sum(axis=1)).sum()


@pytest.mark.parametrize("shape", [(3, 12, 10), (2, 4, 6, 5)])
def test_loss_is_the_formula_sample_by_sample(shape):
    p, classes = draw(shape)
    one_hot = one_hot_of(classes, 4)
    pairs = zip(p, one_hot, strict=True)
    expected = [in_numpy(a.flatten(1).double().numpy(), b.flatten(1).double().numpy()) for a, b in pairs]
    assert generalised_dice_loss_per_sample(p, one_hot).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_perfect_map_costs_0_and_a_disjoint_one_1():
    _, classes = draw()
    one_hot = one_hot_of(classes, 4)
    assert generalised_dice_loss_per_sample(one_hot, one_hot).abs().max() < 1e-6
    assert torch.allclose(generalised_dice_loss_per_sample(one_hot.roll(1, dims=1), one_hot), torch.ones(3))


def test_every_class_costs_the_same_whatever_its_size():
    """Half of a structure of 4 pixels missed costs what half of one of 100 does: that is what π is for."""
    classes = torch.zeros(1, 40, 40, dtype=torch.uint8)
    classes[0, :2, :2], classes[0, 20:30, 20:30] = 1, 2
    target = one_hot_of(classes, 3)
    small, large = target.clone(), target.clone()
    small[0, 1, 1, :2] = 0
    large[0, 2, 20:25, 20:30] = 0
    sizes = np.array([1496.0, 4.0, 100.0])
    w = 1 / sizes**2
    for missed, c, n in ((small, 1, 2), (large, 2, 50)):
        both = sizes.copy()
        both[c] -= n
        expected = 1 - 2 * (w * both).sum() / (w * (both + sizes)).sum()
        assert float(generalised_dice_loss_per_sample(missed, target)) == pytest.approx(expected, abs=1e-6)


def test_weights_are_relative_to_the_smallest_class_that_is_there():
    sizes = torch.tensor([[100.0, 10.0, 0.0], [50.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(class_weights(sizes), torch.tensor([[0.01, 1, 1], [1, 1, 1], [0, 0, 0]]))


def test_false_positives_of_an_absent_class_cost_something():
    classes = torch.zeros(1, 8, 8, dtype=torch.uint8)
    target = one_hot_of(classes, 2)
    p = target.clone()
    p[:, 0, :4], p[:, 1, :4] = 0, 1
    assert float(generalised_dice_loss_per_sample(p, target)) == pytest.approx(0.5)  # 1 − 2·32 / (64 + 64)


def test_a_mask_leaves_voxels_out():
    p, classes = draw((2, 8, 8))
    one_hot = one_hot_of(classes, 4)
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, :, :5] = 1
    cut = generalised_dice_loss_per_sample(p[..., :5], one_hot[..., :5])
    assert torch.allclose(generalised_dice_loss_per_sample(p, one_hot, mask), cut, atol=1e-6)


def test_an_empty_mask_gives_a_finite_0_with_a_gradient_of_0():
    logits = torch.randn(2, 3, 6, 6, requires_grad=True)
    p = logits.softmax(dim=1)
    mask = torch.zeros(2, 1, 6, 6)
    mask[1] = 1
    loss = generalised_dice_loss_per_sample(p, one_hot_of(p.argmax(dim=1), 3), mask)
    loss.sum().backward()
    assert loss[0] == 0
    assert loss[1] > 0
    assert not logits.grad[0].any()
    assert logits.grad[1].abs().sum() > 0
    assert torch.isfinite(logits.grad).all()


def test_hard_dice_counts_absence_as_1_and_false_alarms_as_0():
    target = torch.zeros(3, 4, 4, dtype=torch.uint8)
    target[0, :2] = 1
    p = one_hot_of(target, 3).clone()
    p[0, :, 0], p[0, 0, 0] = 0, 1  # half of structure 1 missed: 2·4 / (4 + 8)
    p[2, 0, 0, 0], p[2, 2, 0, 0] = 0, 1  # structure 2 where there is none
    found = hard_dice_per_sample(p, one_hot_of(target, 3))
    assert found.tolist() == pytest.approx([(2 / 3 + 1) / 2, 1.0, 0.5])


def test_it_is_a_loss_of_the_loop_with_weights_per_slice():
    p, classes = draw()
    loss = choose_loss("generalised-dice")
    weights = torch.tensor([1.0, 0.0, 2.0])
    each = generalised_dice_loss_per_sample(p, one_hot_of(classes, 4))
    assert float(loss(p.log(), classes, weights)) == pytest.approx(float((each * weights).mean()), abs=1e-6)
