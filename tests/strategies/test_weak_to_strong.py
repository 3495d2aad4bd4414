"""Weak-to-strong consistency: views, masks and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from napari_ssl.core.catalogue.weak_to_strong import WeakToStrongParameters
from napari_ssl.errors import SpecError
from napari_ssl.networks import build_network
from napari_ssl.strategies.weak_to_strong import (
    WeakToStrongMethod,
    colour_jitter,
    consistency,
    cutmix_boxes,
    strong_view,
)
from napari_ssl.training.dataset import Batch
from napari_ssl.training.method import StepInfo


def step(seed: int = 0) -> StepInfo:
    return StepInfo(
        iteration=0, iterations=10, generator=torch.Generator().manual_seed(seed), forward=lambda module, x: module(x)
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network("res-unet", n_classes=3, parameters={"base_channels": 4, "levels": 3}).train()


def test_consistency_is_the_dice_loss_over_confident_pixels_alone():
    torch.manual_seed(2)
    logits = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    classes = torch.randint(0, 3, (2, 8, 8)).to(torch.uint8)
    confidence = torch.rand(2, 8, 8)
    sure = (confidence >= 0.6).numpy()
    p = logits.softmax(dim=1).numpy()
    expected = []
    for k in range(3):
        a, b = p[:, k][sure], (classes.numpy() == k)[sure]
        expected.append(1 - 2 * (a * b).sum() / ((a**2).sum() + b.sum()))
    assert float(consistency(logits, classes, confidence, 0.6)) == pytest.approx(np.mean(expected), rel=1e-6)


def test_without_a_confident_pixel_the_loss_is_a_finite_zero_with_a_gradient_of_zero():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = consistency(logits, torch.zeros(1, 4, 4, dtype=torch.uint8), torch.zeros(1, 4, 4), 0.95)
    loss.backward()
    assert float(loss) == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_boxes_have_the_stated_area_and_ratio_and_probability():
    boxes = cutmix_boxes(400, (64, 64), 0.5, torch.Generator().manual_seed(1))
    used = [b.numpy() for b in boxes if b.any()]
    assert 160 < len(used) < 240  # binomial, n = 400, p = 1/2: five SDs
    for box in used:
        rows, columns = np.where(box)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert box.sum() == height * width
        assert box.sum() <= 0.4 * 64 * 64
        assert height <= (width + 1) * 3.34 and width <= (height + 1) * 3.34
    assert not cutmix_boxes(20, (64, 64), 0.0, torch.Generator()).any()


@pytest.mark.parametrize(("brightness", "contrast"), [(0.5, 1.0), (1.5, 1.0), (1.0, 0.5), (1.0, 1.5), (0.6, 1.4)])
def test_brightness_and_contrast_are_those_of_pillow_whatever_the_normalisation(brightness, contrast):
    grey = np.random.default_rng(5).integers(0, 256, (24, 24)).astype(np.uint8)
    grey[0, :2] = 0, 255
    theirs = Image.fromarray(grey)
    theirs = ImageEnhance.Contrast(ImageEnhance.Brightness(theirs).enhance(brightness)).enhance(contrast)
    normalised = torch.from_numpy((grey - 127.0) / 64)[None, None].float()
    ours = colour_jitter(normalised, torch.tensor([brightness]), torch.tensor([contrast]))[0, 0] * 64 + 127.0
    assert np.abs(ours.numpy() - np.asarray(theirs, float)).max() < 2.0


def test_a_slice_of_one_grey_survives_the_strong_view():
    flat = torch.full((1, 1, 8, 8), 0.3)
    assert torch.allclose(strong_view(flat, torch.Generator().manual_seed(0)), flat)


def test_the_strong_view_changes_intensities_and_moves_nothing():
    image = torch.zeros(6, 1, 32, 32)
    image[:, :, 10:20, 12:22] = 1.0
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    strong = strong_view(image, torch.Generator().manual_seed(4))
    assert not torch.equal(strong, image)
    for before, after in zip(image[:, 0], strong[:, 0], strict=True):
        weight = after - after.min()
        for axis in (y, x):
            centre = (axis * before).sum() / before.sum()
            assert float((axis * weight).sum() / weight.sum()) == pytest.approx(float(centre), abs=0.05)


def test_the_gradient_of_the_unsupervised_loss_reaches_the_network(network):
    method = WeakToStrongMethod(WeakToStrongParameters(threshold=0.0))
    images = torch.rand(4, 1, 32, 32)
    method.unlabelled_loss(network, images, step()).backward()
    assert network.training
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients and any(float(g.abs().sum()) > 0 for g in gradients)


def test_the_unlabelled_weight_rises_over_the_warm_up(network):
    labelled = Batch(
        images=torch.rand(2, 1, 32, 32), classes=torch.zeros(2, 32, 32, dtype=torch.uint8), weights=torch.ones(2)
    )
    losses = {}
    for warm_up in (0, 1000):
        torch.manual_seed(0)
        method = WeakToStrongMethod(WeakToStrongParameters(threshold=0.0, warm_up=warm_up))
        method.loss(network, labelled, labelled, step())
        losses[warm_up] = method.log()
        total = method.loss(network, labelled, None, step())
        assert float(total) == pytest.approx(
            0.25 * float(method.supervised(network(labelled.images), labelled)), rel=0.2
        )
    assert losses[0].keys() == {"labelled", "unlabelled", "confident share"}
    full = WeakToStrongMethod(WeakToStrongParameters(threshold=0.0))
    slow = WeakToStrongMethod(WeakToStrongParameters(threshold=0.0, warm_up=1000))
    values = []
    for method in (full, slow):
        method.unlabelled_loss = lambda *args: torch.tensor(2.0)
        method.supervised = lambda *args: torch.tensor(1.0)
        values.append(float(method.loss(network, labelled, labelled, step())))
    assert values == pytest.approx([0.5 * (0.5 + 2), 0.5 * (0.5 + 0.001 * 2)])


def test_labelled_and_unlabelled_loss_have_the_proportions_of_the_authors_program(network):
    """Its L_x is (cross-entropy + Dice) / 2, its loss (L_x + ¼ L_s1 + ¼ L_s2 + ½ L_fp) / 2."""
    images, classes = torch.rand(2, 1, 32, 32), torch.randint(0, 3, (2, 32, 32)).to(torch.uint8)
    labelled = Batch(images=images, classes=classes, weights=torch.ones(2))
    logits = network.eval()(images)
    for loss, parts in (("dice-cross-entropy", 2), ("cross-entropy", 1)):
        method = WeakToStrongMethod(WeakToStrongParameters(loss=loss))
        method.unlabelled_loss = lambda *args: torch.tensor(0.7)
        expected = (float(method.supervised(logits, labelled)) / parts + 0.7) / 2
        assert float(method.loss(network, labelled, labelled, step())) == pytest.approx(expected, rel=1e-5)


def test_networks_without_features_are_refused():
    method = WeakToStrongMethod(WeakToStrongParameters())
    with pytest.raises(SpecError, match="choose another network"):
        method.attach(torch.nn.Conv2d(1, 3, 1))
