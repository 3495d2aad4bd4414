from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from napari_ssl.errors import CatalogueError
from napari_ssl.training.losses import LOSSES, choose_loss, cross_entropy, dice_cross_entropy


def _batch(n=3, k=4):
    torch.manual_seed(0)
    return torch.randn(n, k, 8, 8, requires_grad=True), torch.randint(0, k, (n, 8, 8), dtype=torch.uint8)


def test_cross_entropy_is_the_mean_over_pixels():
    logits, classes = _batch()
    expected = functional.cross_entropy(logits, classes.long())
    assert cross_entropy(logits, classes, torch.ones(3)).item() == pytest.approx(expected.item(), rel=1e-6)


def test_cross_entropy_weighs_slices_as_in_equation_2():
    logits, classes = _batch()
    per_slice = functional.cross_entropy(logits, classes.long(), reduction="none").mean(dim=(1, 2))
    weights = torch.tensor([1.0, 0.5, 0.25])
    assert cross_entropy(logits, classes, weights).item() == pytest.approx((per_slice * weights).sum().item() / 3)


def test_dice_part_of_a_perfect_and_a_wrong_map():
    classes = torch.zeros(1, 4, 4, dtype=torch.uint8)
    classes[:, :2] = 1
    right = functional.one_hot(classes.long(), 2).permute(0, 3, 1, 2) * 100.0
    weights = torch.ones(1)
    assert dice_cross_entropy(right, classes, weights).item() == pytest.approx(0, abs=1e-4)
    wrong = right.flip(1)
    dice_part = dice_cross_entropy(wrong, classes, weights) - cross_entropy(wrong, classes, weights)
    assert dice_part.item() == pytest.approx(1, abs=1e-4)


def test_soft_dice_of_an_undecided_map_has_its_closed_form():
    classes = torch.zeros(1, 4, 4, dtype=torch.uint8)
    classes[:, :1] = 1
    logits = torch.zeros(1, 2, 4, 4)
    expected = math.log(2) + 1 - 2 * (4 * 0.5) / (16 * 0.5 + 4)
    assert dice_cross_entropy(logits, classes, torch.ones(1)).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_empty_masks_are_finite(name):
    for scale in (0.0, 100.0):
        logits = (torch.tensor([1.0, -1, -1]).reshape(1, 3, 1, 1) * scale).expand(2, 3, 8, 8).clone().requires_grad_()
        loss = LOSSES[name](logits, torch.zeros(2, 8, 8, dtype=torch.uint8), torch.ones(2))
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
    assert loss.item() < 1e-3


@pytest.mark.parametrize("name", LOSSES)
def test_a_slice_of_weight_zero_contributes_nothing(name):
    logits, classes = _batch(n=2)
    weights = torch.tensor([1.0, 0.0])
    loss = LOSSES[name](logits, classes, weights)
    loss.backward()
    assert not logits.grad[1].any() and logits.grad[0].any()
    other = torch.cat([logits[:1], torch.randn(1, 4, 8, 8)]).detach()
    assert LOSSES[name](other, classes, weights).item() == pytest.approx(loss.item(), rel=1e-6)
    alone = LOSSES[name](logits[:1], classes[:1], torch.ones(1))
    assert 2 * loss.item() == pytest.approx(alone.item(), rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_all_weights_zero_is_a_finite_zero(name):
    logits, classes = _batch()
    loss = LOSSES[name](logits, classes, torch.zeros(3))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_common_weight_scales_the_loss(name):
    logits, classes = _batch()
    whole = LOSSES[name](logits, classes, torch.ones(3)).item()
    assert LOSSES[name](logits, classes, torch.full((3,), 0.5)).item() == pytest.approx(whole / 2, rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_logits_are_summed_in_float32(name):
    logits, classes = _batch()
    loss = LOSSES[name]((logits * 10).to(torch.float16), classes, torch.ones(3))
    assert loss.dtype == torch.float32 and torch.isfinite(loss)


def test_an_unknown_loss_is_named():
    with pytest.raises(CatalogueError, match="no loss 'focal'"):
        choose_loss("focal")
