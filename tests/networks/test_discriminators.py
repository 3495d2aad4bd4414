"""The networks that tell label maps from predictions."""

from __future__ import annotations

import pytest
import torch

from napari_ssl.errors import CheckpointError
from napari_ssl.networks.discriminators import (
    ConfidenceNetwork,
    SampleDiscriminator,
    confidence_network_of,
    initialise_xavier,
)

SIZES = [(2, (32, 32)), (2, (37, 45)), (2, (16, 9)), (3, (16, 32, 32)), (3, (5, 20, 33))]


def maps(n_classes: int, size: tuple[int, ...], n: int = 2) -> torch.Tensor:
    return torch.randn(n, n_classes, *size).softmax(dim=1)


@pytest.mark.parametrize(("dimensions", "size"), SIZES)
def test_a_confidence_map_has_the_size_of_its_input(dimensions, size):
    network = ConfidenceNetwork(n_classes=3, dimensions=dimensions, base_channels=2)
    assert network(maps(3, size)).shape == (2, 1, *size)


@pytest.mark.parametrize(("dimensions", "size"), SIZES)
def test_a_sample_discriminator_gives_one_value_a_sample(dimensions, size):
    network = SampleDiscriminator(n_classes=3, dimensions=dimensions, base_channels=2)
    assert network(maps(3, size)).shape == (2, 1)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_layers_are_those_of_the_public_reference(dimensions):
    """4^d weights for each pair of channels K → 64 → 128 → 256 → 512, biases, and the classifier's 3^d · 512 + 1."""
    network = ConfidenceNetwork(n_classes=4, dimensions=dimensions)
    pairs = 4 * 64 + 64 * 128 + 128 * 256 + 256 * 512
    expected = 4**dimensions * pairs + (64 + 128 + 256 + 512) + 3**dimensions * 512 + 1
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("kind", [ConfidenceNetwork, SampleDiscriminator])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_parameter_and_the_input_get_a_gradient(kind, dimensions):
    torch.manual_seed(0)
    network = kind(n_classes=3, dimensions=dimensions, base_channels=2)
    p = maps(3, (16,) * dimensions).requires_grad_()
    network(p).square().sum().backward()
    assert all(w.grad is not None and w.grad.abs().sum() > 0 for w in network.parameters())
    assert p.grad.abs().sum() > 0


def test_a_map_without_change_along_an_axis_is_enlarged_without_change():
    """The coarse values are interpolated edge to edge: a constant stays a constant in the interior."""
    network = ConfidenceNetwork(n_classes=2, base_channels=2)
    torch.nn.init.zeros_(network.classify.weight)
    torch.nn.init.constant_(network.classify.bias, 0.7)
    assert torch.allclose(network(maps(2, (35, 50))), torch.tensor(0.7))


def test_enlarging_is_that_of_torch():
    network = ConfidenceNetwork(n_classes=2, base_channels=2)
    p = maps(2, (48, 64))
    coarse = network.classify(network.trunk(p))
    expected = torch.nn.functional.interpolate(coarse, size=(48, 64), mode="bilinear", align_corners=False)
    assert torch.allclose(network(p), expected, atol=1e-6)


def test_weights_are_after_xavier_and_biases_0():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(30, 60, 3), torch.nn.BatchNorm2d(60), torch.nn.ConvTranspose3d(8, 8, 3)
    )
    initialise_xavier(network)
    bound = (6 / ((30 + 60) * 9)) ** 0.5
    weights = network[0].weight
    assert weights.abs().max() <= bound
    assert float(weights.std()) == pytest.approx(bound / 3**0.5, rel=0.05)
    assert not network[0].bias.any()
    assert torch.equal(network[1].weight, torch.ones(60))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_confidence_network_is_found_again_from_its_weights(dimensions):
    network = ConfidenceNetwork(n_classes=5, dimensions=dimensions, base_channels=3)
    again = confidence_network_of(network.state_dict())
    p = maps(5, (16,) * dimensions)
    assert torch.equal(again(p), network(p))


def test_weights_of_another_network_are_refused():
    with pytest.raises(CheckpointError, match="not the weights of a confidence network"):
        confidence_network_of(torch.nn.Conv2d(2, 3, 1).state_dict())
    with pytest.raises(CheckpointError, match="not the weights of a confidence network"):
        confidence_network_of(SampleDiscriminator(n_classes=2, base_channels=2).state_dict())
