from __future__ import annotations

import pytest
import torch

from napari_ssl.core.catalogue import NETWORKS
from napari_ssl.errors import CatalogueError
from napari_ssl.networks import build_network
from napari_ssl.networks.padding import run_padded

SMALL = {"res-unet": {"base_channels": 4, "levels": 4}, "fcn17": {"base_channels": 4}}
NAMES = list(NETWORKS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "size"), [(1, (32, 32)), (3, (48, 32)), (1, (37, 45)), (1, (33, 16))])
def test_logits_have_one_channel_a_class_and_the_size_of_the_slice(name, channels, size):
    network = build_network(name, in_channels=channels, n_classes=4, parameters=SMALL[name]).eval()
    with torch.no_grad():
        logits = network(torch.rand(2, channels, *size))
    assert logits.shape == (2, 4, *size)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    network = build_network(name, n_classes=3, parameters=SMALL[name])
    # Random weights per pixel: a plain sum after batch normalisation has no gradient.
    logits = network(torch.rand(3, 1, 32, 32))
    (logits * torch.randn_like(logits)).sum().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias in front of a batch normalisation has a gradient of zero by construction, but it has one.
    assert all(n.endswith("bias") and dict(network.named_parameters())[n].grad is not None for n in without)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_does_not_depend_on_the_rest_of_the_batch(name):
    torch.manual_seed(0)
    network = build_network(name, n_classes=3, parameters=SMALL[name]).eval()
    images = torch.rand(3, 1, 32, 32)
    with torch.no_grad():
        together, alone = network(images), network(images[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_gives_the_same_weights(name):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_network(name, n_classes=2, parameters=SMALL[name]).state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


@pytest.mark.parametrize("base", [4, 16])
@pytest.mark.parametrize(("channels", "n_classes"), [(1, 4), (3, 2)])
def test_fcn17_has_the_parameters_that_its_description_gives(base, channels, n_classes):
    network = build_network("fcn17", in_channels=channels, n_classes=n_classes, parameters={"base_channels": base})
    expected, n_in = 0, channels
    for level, n_convolutions in enumerate((2, 2, 3, 3, 3)):
        n = base * 2**level
        expected += 9 * n_in * n + 9 * n * n * (n_convolutions - 1) + 2 * n * n_convolutions  # and batch norm
        expected += n * 2 * base + 2 * (2 * base)
        n_in = n
    expected += (10 * base) * (4 * base) + (4 * base) ** 2 + 2 * 2 * (4 * base) + 4 * base * n_classes
    assert sum(p.numel() for p in network.parameters()) == expected


def test_fcn17_halves_between_blocks_only():
    network = build_network("fcn17", n_classes=2, parameters={"base_channels": 2}).eval()
    x, sizes = torch.rand(1, 1, 64, 64), []
    for block in network.blocks:
        x = block(x)
        sizes.append(x.shape[-1])
    assert sizes == [64, 32, 16, 8, 4]
    assert [x.shape[1] for x in (m[0].weight for m in network.blocks[4])] == [16, 32, 32]


def test_default_residual_unet_has_the_published_channels():
    network = build_network("res-unet", n_classes=4)
    kernels = [p for n, p in network.named_parameters() if p.ndim == 4]
    assert {16, 32, 64, 128, 256} <= {k.shape[0] for k in kernels}
    assert network.multiple == 16


def test_instance_normalisation_needs_no_batch_statistics():
    network = build_network("res-unet", n_classes=2, parameters={**SMALL["res-unet"], "normalisation": "instance"})
    assert not any("running" in name for name in network.state_dict())


def test_padding_surrounds_evenly_and_is_cut_off_again():
    seen = []

    def identity(x):
        seen.append(x)
        return x

    image = torch.ones(1, 1, 13, 16)
    result = run_padded(identity, image, 16)
    assert torch.equal(result, image)
    assert seen[0].shape[-2:] == (16, 16)
    assert seen[0][0, 0, 0].sum() == 0 and seen[0][0, 0, -2:].sum() == 0


def test_an_unknown_network_or_parameter_is_named():
    with pytest.raises(CatalogueError, match=r"no network 'unet2'.*res-unet"):
        build_network("unet2", n_classes=2)
    with pytest.raises(CatalogueError, match="no parameter 'depth'"):
        build_network("res-unet", n_classes=2, parameters={"depth": 3})
