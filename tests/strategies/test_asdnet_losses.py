"""Nie 2018, equation by equation, against numpy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_ssl.strategies.asdnet_embedding import angular_distance, embedding_loss, sample_features
from napari_ssl.strategies.asdnet_losses import (
    confidence_mask,
    discriminator_loss,
    fooling_loss,
    pseudo_label,
    region_attention_loss,
    sample_attention,
)
from napari_ssl.training.losses import one_hot_of


def draw(n=3, n_classes=3, size=(8, 8), seed=0):
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(n_classes, (n, *size), generator=generator, dtype=torch.uint8)
    logits = torch.randn(n, n_classes, *size, generator=generator)
    return logits, one_hot_of(classes, n_classes)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0, 5.0])
def test_eq_2_attention_is_one_minus_dice_to_the_power_of_beta(beta):
    logits, target = draw()
    chosen = logits.argmax(dim=1).numpy()
    truth = target.argmax(dim=1).numpy()
    expected = []
    for found, true in zip(chosen, truth, strict=True):
        dice = [2 * ((found == c) & (true == c)).sum() / ((found == c).sum() + (true == c).sum()) for c in (1, 2)]
        expected.append((1 - np.mean(dice)) ** beta)
    assert sample_attention(logits.softmax(dim=1), target, beta).tolist() == pytest.approx(expected, abs=1e-6)


def test_eq_2_attention_has_no_gradient():
    logits, target = draw()
    assert not sample_attention(logits.requires_grad_().softmax(dim=1), target, 2.0).requires_grad


def test_eq_2_a_sample_that_is_solved_weighs_nothing_and_a_missed_one_1():
    _, target = draw(2)
    wrong = target.roll(1, dims=1)
    p = torch.stack([target[0], wrong[1]])
    assert sample_attention(p, target, 2.0).tolist() == pytest.approx([0.0, 1.0])


def test_eqs_3_and_4_are_the_cross_entropy_against_1_for_labels_and_0_for_predictions():
    real, fake = torch.randn(2, 1, 5, 4), torch.randn(2, 1, 5, 4)
    d_real, d_fake = 1 / (1 + np.exp(-real.double().numpy())), 1 / (1 + np.exp(-fake.double().numpy()))
    expected = -np.log(d_real).mean() - np.log(1 - d_fake).mean()
    assert float(discriminator_loss(real, fake)) == pytest.approx(expected, rel=1e-5)
    undecided = torch.zeros(2, 1)
    assert float(discriminator_loss(undecided, undecided)) == pytest.approx(2 * math.log(2))


def test_eq_5_is_the_cross_entropy_against_1():
    fake = torch.randn(2, 1, 5, 4)
    expected = -np.log(1 / (1 + np.exp(-fake.double().numpy()))).mean()
    assert float(fooling_loss(fake)) == pytest.approx(expected, rel=1e-5)


def test_eq_6_is_generalised_dice_inside_the_confident_region():
    logits, _ = draw(seed=2)
    p, d = logits.softmax(dim=1), torch.randn(3, 1, 8, 8)
    m = 1 / (1 + np.exp(-d[:, 0].double().numpy()))
    expected = []
    for probability, confidence in zip(p.double().numpy(), m, strict=True):
        inside = confidence > 0.4
        own = np.eye(3)[probability.argmax(axis=0)].transpose(2, 0, 1)[:, inside]
        q = probability[:, inside]
        w = 1 / own.sum(axis=1) ** 2
        expected.append(1 - 2 * (w * (q * own).sum(axis=1)).sum() / (w * (q + own).sum(axis=1)).sum())
    weights = torch.tensor([1.0, 0.5, 2.0])
    found = float(region_attention_loss(p, d, weights, 0.4))
    assert found == pytest.approx(float((np.array(expected) * weights.numpy()).mean()), abs=1e-6)


def test_eq_6_gradient_reaches_the_probabilities_and_neither_mask_nor_pseudo_label():
    logits, _ = draw()
    logits.requires_grad_()
    p, d = logits.softmax(dim=1), torch.randn(3, 1, 8, 8, requires_grad=True)
    assert not confidence_mask(d, 0.5).requires_grad
    assert not pseudo_label(p).requires_grad
    region_attention_loss(p, d, torch.ones(3), 0.5).backward()
    assert d.grad is None
    inside = confidence_mask(d, 0.5).expand_as(logits) > 0
    assert logits.grad[inside].abs().sum() > 0
    assert not logits.grad[~inside].any()


@pytest.mark.parametrize("gamma", [1.0, 0.999999])
def test_eq_6_without_a_confident_voxel_is_a_finite_0(gamma):
    logits, _ = draw()
    logits.requires_grad_()
    loss = region_attention_loss(logits.softmax(dim=1), torch.zeros(3, 1, 8, 8), torch.ones(3), gamma)
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_the_mask_is_above_gamma_and_not_at_it():
    assert confidence_mask(torch.tensor([-1.0, 0.0, 1.0]), 0.5).tolist() == [0, 0, 1]


def test_angular_distance_is_the_angle_over_pi():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 3.0], [-2.0, 0.0], [1.0, 1.0]])
    found = angular_distance(vectors)
    expected = torch.tensor([[0, 0.5, 1, 0.25], [0.5, 0, 0.5, 0.25], [1, 0.5, 0, 0.75], [0.25, 0.25, 0.75, 0]])
    assert torch.allclose(found, expected, atol=0.01)


def test_embedding_loss_pulls_equal_labels_together_and_pushes_others_to_the_margin():
    """Pairs (1, 2) of one class at 1/2, (1, 3) of two classes at 1/4, (2, 3) of two classes at 1/4: margin 1/2."""
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    classes = torch.tensor([1, 1, 0])
    assert float(embedding_loss(vectors, classes, 0.5)) == pytest.approx((0.5 + 0.25 + 0.25) / 3, abs=1e-4)
    assert float(embedding_loss(vectors, classes, 0.25)) == pytest.approx(0.5 / 3, abs=1e-4)
    assert float(embedding_loss(vectors[:1], classes[:1], 0.5)) == 0


def test_embedding_loss_has_a_finite_gradient_for_equal_opposite_and_zero_vectors():
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    embedding_loss(vectors, torch.tensor([0, 0, 0, 1]), 0.5).backward()
    assert torch.isfinite(vectors.grad).all()


@pytest.mark.parametrize("size", [(10, 10), (4, 10, 10)])
def test_features_are_drawn_by_class_from_where_the_labels_are(size):
    classes = torch.zeros(2, *size, dtype=torch.long)
    classes[0, ..., :5, :] = 1
    classes[1, ..., :2] = 2
    embedding = torch.stack([classes.float(), torch.arange(classes.numel()).reshape(classes.shape)], dim=1)
    features, labels = sample_features(embedding, classes, 50, 0.8, torch.Generator().manual_seed(0))
    assert torch.bincount(labels).tolist() == [40, 5, 5]
    assert torch.equal(features[:, 0].long(), labels)
    assert len(features[:, 1].unique()) == 50


def test_a_class_with_few_pixels_gives_all_and_background_alone_gives_everything():
    classes = torch.zeros(1, 6, 6, dtype=torch.long)
    embedding = torch.rand(1, 3, 6, 6)
    generator = torch.Generator().manual_seed(0)
    assert len(sample_features(embedding, classes, 20, 0.8, generator)[1]) == 20
    classes[0, 0, 0] = 1
    _, labels = sample_features(embedding, classes, 20, 0.5, generator)
    assert torch.bincount(labels).tolist() == [10, 1]
