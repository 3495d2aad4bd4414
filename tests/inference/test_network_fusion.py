from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from napari_ssl.core.catalogue import NETWORKS
from napari_ssl.inference.fusion import folded
from napari_ssl.networks import build_network


def _with_statistics(network: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network.eval()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_folded_network_gives_the_same_with_fewer_passes(dimensions):
    torch.manual_seed(0)
    tiny = {"base_channels": 4, "levels": 3}
    network = _with_statistics(build_network("res-unet", n_classes=3, parameters=tiny, dimensions=dimensions))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fast = folded(network, dimensions)
    assert fast is not network
    n_folded = sum("forward" in vars(m) for m in fast.modules() if isinstance(m, _BatchNorm))
    assert n_folded == sum(isinstance(m, _BatchNorm) for m in network.modules()) > 5
    image = torch.rand(2, 1, *(24, 40, 32)[-dimensions:])
    with torch.inference_mode():
        expected = network(image)
        assert torch.allclose(fast(image), expected, atol=1e-4 * float(expected.abs().max()))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["fcn17"] if "fcn17" in NETWORKS else [])
def test_other_networks_fold_too(name):
    network = _with_statistics(build_network(name, n_classes=4, parameters={"base_channels": 2}))
    assert folded(network, 2) is not network


class Shared(nn.Module):
    """The convolution's values are used beside the normalisation: folding would change them."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.normalisation = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2)

    def forward(self, x):
        y = self.convolution(x)
        return self.normalisation(y) + y


def test_what_would_change_the_result_is_left_alone():
    network = _with_statistics(Shared())
    assert folded(network, 2) is network
    assert "forward" not in vars(network.normalisation)


def test_networks_without_batch_normalisation_or_with_demands_pass_as_they_are():
    plain = nn.Conv2d(1, 2, 1).eval()
    assert folded(plain, 2) is plain
    demanding = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).eval()
    assert folded(demanding, 2) is demanding


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(5, 8), (1, 1), (7, 4)])
def test_doubling_by_a_convolution_at_the_old_size_is_exact(bias, size):
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, bias=bias)
    network = nn.Sequential(nn.Conv2d(1, 6, 1), layer).eval()
    fast = folded(network, 2)
    assert fast is not network and "forward" in vars(fast[1])
    image = torch.rand(2, 1, *size).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.allclose(fast(image), network(image), atol=1e-5)
        assert fast(image).shape[-2:] == (2 * size[0], 2 * size[1])


@pytest.mark.parametrize(
    "options",
    [{"output_padding": 0}, {"groups": 2}, {"kernel_size": 2, "padding": 0, "output_padding": 0}, {"out_channels": 16}],
)
def test_other_transposed_convolutions_stay(options):
    settings = {"out_channels": 4, "kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, **options}
    network = nn.Sequential(nn.Conv2d(1, 6, 1), nn.ConvTranspose2d(6, **settings)).eval()
    assert folded(network, 2) is network
