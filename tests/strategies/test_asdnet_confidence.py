"""What a confidence map is worth: Nie 2018, Sec. 3.2, "the confidence maps … would not be meaningful".

Label maps of a disc, and predictions that are wrong in one square and right elsewhere. Predictions that are as sharp
as labels are what a segmentation network comes to that seeks to fool the discriminator (Eq. 5); without that term its
probabilities stay below 1, and the discriminator needs to look no further.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ssl.networks.discriminators import ConfidenceNetwork
from napari_ssl.strategies.asdnet_losses import confidence_mask, discriminator_loss
from napari_ssl.training.losses import one_hot_of

SIZE, SQUARE = 112, 16


def maps(n, generator, sharpness):
    """Labels, predictions ``(n, 2, Y, X)`` and where these are right."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    cy, cx = (torch.rand(2, n, 1, 1, generator=generator) * (SIZE - 48) + 24).unbind()
    classes = ((y - cy) ** 2 + (x - cx) ** 2 < 20**2).to(torch.uint8)
    found = classes.clone()
    for k, (i, j) in enumerate(torch.randint(0, SIZE - SQUARE, (n, 2), generator=generator).tolist()):
        found[k, i : i + SQUARE, j : j + SQUARE] = 1 - found[k, i : i + SQUARE, j : j + SQUARE]
    return one_hot_of(classes, 2), one_hot_of(found, 2) * sharpness + (1 - sharpness) / 2, found == classes


def trained(sharpness, steps):
    """A confidence network after so many steps of Eq. 3."""
    torch.manual_seed(0)
    network = ConfidenceNetwork(n_classes=2, base_channels=6)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        labels, predictions, _ = maps(4, generator, sharpness)
        optimiser.zero_grad()
        discriminator_loss(network(labels), network(predictions)).backward()
        optimiser.step()
    return network


def on_new_maps(network, sharpness):
    """Area under the curve of M for right against wrong pixels, and the share of pixels above γ = 0.2."""
    _, predictions, right = maps(6, torch.Generator().manual_seed(99), sharpness)
    with torch.no_grad():
        logits = network(predictions)
    score, is_right = logits[:, 0].numpy().ravel(), right.numpy().ravel()
    order = np.argsort(score, kind="stable")
    rank = np.empty(len(score))
    rank[order] = np.arange(1, len(score) + 1)
    n, m = is_right.sum(), (~is_right).sum()
    area = (rank[is_right].sum() - n * (n + 1) / 2) / (n * m)
    return area, float(confidence_mask(logits, 0.2).mean())


def test_an_untrained_map_says_nothing_about_what_is_right():
    areas = []
    for seed in range(5):
        torch.manual_seed(seed)
        areas.append(on_new_maps(ConfidenceNetwork(n_classes=2, base_channels=6), 1.0)[0])
    assert np.mean(areas) == pytest.approx(0.5, abs=0.15)


def test_a_trained_map_ranks_right_pixels_above_wrong_ones_where_predictions_are_as_sharp_as_labels():
    area, confident = on_new_maps(trained(1.0, 30), 1.0)
    assert area > 0.85
    assert 0.3 < confident < 1.0


def test_without_the_adversarial_term_sharpness_gives_predictions_away_and_no_region_is_trusted():
    _, confident = on_new_maps(trained(0.8, 30), 0.8)
    assert confident < 0.01
