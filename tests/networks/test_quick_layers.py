"""Layers that are quicker on a CPU, beside torch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from napari_ssl.networks import build_network
from napari_ssl.networks.quick_layers import OneSlopePReLU, PlanarBatchNorm2d, quicken

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def gradients(layer: nn.Module, x: torch.Tensor, weights: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    result = layer(x)
    (result * weights).sum().backward()
    return [result.detach(), x.grad, *(p.grad for p in layer.parameters())]


def assert_alike(ours: nn.Module, theirs: nn.Module, x: torch.Tensor) -> None:
    weights = torch.randn_like(x)
    for a, b in zip(gradients(ours, x, weights), gradients(theirs, x, weights), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


def converted(layer: nn.Module) -> nn.Module:
    holder = nn.Sequential(copy.deepcopy(layer))
    quicken(holder)
    return holder[0]


@pytest.mark.parametrize("slope", [0.25, 0.0, -0.3, 1.0])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_prelu_of_one_slope_has_torchs_values_and_gradients(slope, layout):
    torch.manual_seed(0)
    theirs = nn.PReLU(init=slope)
    ours = converted(theirs)
    assert type(ours) is OneSlopePReLU
    x = torch.randn(3, 4, 10, 12).contiguous(memory_format=layout)
    assert_alike(ours, theirs, x)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))
    assert_alike(ours, theirs, torch.randn(2, 3, 4, 6, 8))
    assert_alike(ours.double(), theirs.double(), x.double())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_normalisation_of_few_channels_has_torchs_values_gradients_and_statistics(layout):
    torch.manual_seed(0)
    theirs = nn.BatchNorm2d(4)
    nn.init.normal_(theirs.weight)
    ours = converted(theirs)
    assert type(ours) is PlanarBatchNorm2d
    x = (torch.randn(3, 4, 10, 12) * 2 + 5).contiguous(memory_format=layout)
    assert_alike(ours, theirs, x)
    assert ours(x).is_contiguous(memory_format=layout)
    theirs(x)
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, rtol=1e-5), name
    assert torch.equal(ours.eval()(x), theirs.eval()(x)) or torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_what_gains_nothing_is_left_alone():
    network = nn.Sequential(nn.PReLU(3), nn.BatchNorm2d(16), nn.BatchNorm3d(4), nn.ReLU())
    quicken(network)
    assert [type(m) for m in network] == [nn.PReLU, nn.BatchNorm2d, nn.BatchNorm3d, nn.ReLU]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_residual_unet_has_them_and_trains_as_without(dimensions):
    torch.manual_seed(0)
    small = {"base_channels": 4, "levels": 3}
    network = build_network("res-unet", n_classes=4, parameters=small, dimensions=dimensions)
    kinds = {type(m) for m in network.modules()}
    assert OneSlopePReLU in kinds and nn.PReLU not in kinds
    assert (PlanarBatchNorm2d in kinds) == (dimensions == 2)
    plain = copy.deepcopy(network)
    for module in plain.modules():
        for quick in (OneSlopePReLU, PlanarBatchNorm2d):
            if type(module) is quick:
                module.__class__ = quick.__base__
    x = torch.rand(2, 1, *(8, 16, 16)[-dimensions:])
    if dimensions == 2:
        x = x.contiguous(memory_format=torch.channels_last)
        network, plain = (n.to(memory_format=torch.channels_last) for n in (network, plain))
    weights = torch.randn_like(plain(x))
    for n in (network, plain):
        (n(x) * weights).sum().backward()
    largest = max(float(p.grad.abs().max()) for p in plain.parameters())  # biases before a normalisation have ~0
    for (name, a), b in zip(network.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-4 * largest), name
