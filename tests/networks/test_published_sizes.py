"""Parameters and multiply-adds of the networks against what their papers say or their description gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ssl.networks import build_network
from napari_ssl.networks.measure import count_flops, count_parameters

FLARE_CLASSES = 14


def test_multiply_adds_of_a_convolution_are_its_products():
    network = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(5, 3, 2, stride=2))
    assert count_flops(network, (1, 2, 8, 6)) == 48 * 2 * 5 * 9 + 48 * 5 * 3 * 4
    assert count_flops(nn.Linear(4, 7), (3, 4)) == 3 * 4 * 7
    assert count_parameters(network) == 2 * 5 * 9 + 5 + 5 * 3 * 4 + 3


def test_counting_leaves_the_network_as_it_was():
    network = build_network("unet", n_classes=2, parameters={"channels": "2,3,4"}).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    count_flops(network, (1, 1, 16, 16))
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_unet_has_the_size_that_baldeon_calisto_gives():
    network = build_network("unet", n_classes=FLARE_CLASSES)
    assert count_parameters(network) == pytest.approx(6.98e6, rel=0.03)
    assert count_flops(network, (1, 1, 256, 256)) == pytest.approx(9.07e9, rel=0.03)
    assert len(network.down) == 5 and len(network.up) == 4


def test_unet_of_32_adding_channels_has_the_published_parameters_to_the_digit():
    """The ground for additive connections; its 3×3 convolutions alone cost 9.08 G, all of it more."""
    network = build_network("unet", n_classes=FLARE_CLASSES, parameters={"channels": "32,64,128,256,512"})
    assert round(count_parameters(network) / 1e6, 2) == 6.98
    at = {f"down.{level}": 256 // 2**level for level in range(5)} | {f"up.{n}": 32 * 2**n for n in range(4)}
    total = 0
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            total += module.weight.numel() * at[".".join(name.split(".")[:2])] ** 2
    assert total == pytest.approx(9.07e9, rel=0.002)
    assert count_flops(network, (1, 1, 256, 256)) > 9.07e9 * 1.05


def test_swin_unet_has_the_size_that_zhu_and_tian_give():
    network = build_network("swin-unet", in_channels=3, n_classes=FLARE_CLASSES)
    assert count_parameters(network) == pytest.approx(27.17e6, rel=0.02)
    assert round(count_parameters(network) / 1e6, 2) == 27.17
    assert count_flops(network, (1, 3, 224, 224)) == pytest.approx(6.19e9, rel=0.02)


def test_vnet_has_the_blocks_of_monais():
    from monai.networks.nets import VNet

    theirs = VNet(spatial_dims=3, in_channels=1, out_channels=2)
    ours = build_network("vnet", n_classes=2, dimensions=3)

    def weights(network, without):
        named = dict(network.named_parameters())
        return sorted(p.shape for n, p in named.items() if p.ndim == 5 and not n.startswith(without))

    assert weights(ours, "head") == weights(theirs, "out_tr")
    assert count_parameters(ours) == pytest.approx(45.6e6, rel=0.001)


def test_svnet_is_vnet_without_its_innermost_stage_and_fits_the_papers_patch():
    vnet, svnet = (build_network(n, n_classes=4, dimensions=3) for n in ("vnet", "svnet"))
    assert (vnet.multiple, svnet.multiple) == (16, 8)
    assert [s.down_conv.out_channels for s in vnet.down] == [32, 64, 128, 256]
    assert [s.down_conv.out_channels for s in svnet.down] == [32, 64, 128]
    assert count_parameters(svnet) == pytest.approx(12.2e6, rel=0.01)
    with torch.no_grad():
        small = build_network("svnet", n_classes=4, dimensions=3, parameters={"base_channels": 2}).eval()
        features = small.encode(torch.rand(1, 1, 16, 64, 64))
    assert features[-1].shape[2:] == (2, 8, 8)


def test_dyn_unet_has_the_channels_of_nnunet_and_keeps_thick_slices_apart():
    flat, deep = (build_network("dyn-unet", n_classes=2, dimensions=d) for d in (2, 3))
    assert list(flat.filters) == [32, 64, 128, 256, 512, 512]
    assert list(deep.filters) == [32, 64, 128, 256, 320, 320]
    assert flat.multiple == (32, 32) and deep.multiple == (4, 32, 32)
    assert deep.input_block.conv1.conv.kernel_size == (1, 3, 3)
    assert deep.bottleneck.conv1.conv.kernel_size == (3, 3, 3)
    assert len(flat.deep_supervision_heads) == 3
    assert not any(name.startswith("skip_layers") for name in flat.state_dict())


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_dsresunet_has_the_parameters_that_its_description_gives(dimensions, channels):
    """Short connections around two convolutions, long ones that add, two auxiliary classifiers."""
    n_classes, widths = 4, [16, 32, 64, 128]

    def residual(n_in, n_out):
        normalisation, short = 2 * 2 * n_out, n_in * n_out * (n_in != n_out)
        return 3**dimensions * n_out * (n_in + n_out) + normalisation + short

    down = sum(residual(a, b) for a, b in zip([channels, *widths], widths, strict=False))
    up = sum(2**dimensions * 2 * w * w + w + residual(w, w) for w in widths[:-1])
    heads = sum(w * n_classes + n_classes for w in widths[:3])
    network = build_network("dsresunet", in_channels=channels, n_classes=n_classes, dimensions=dimensions)
    assert count_parameters(network) == down + up + heads


def test_residual_unet_has_the_size_of_monais():
    from monai.networks.nets import UNet

    theirs = UNet(2, 1, 4, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2, norm="batch")
    ours = build_network("res-unet", n_classes=4)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert count_flops(ours, (1, 1, 96, 64)) == count_flops(theirs, (1, 1, 96, 64)) > 0
