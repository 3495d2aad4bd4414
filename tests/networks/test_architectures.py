"""What is particular to one architecture."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from napari_ssl.networks import build_network
from napari_ssl.networks.padding import run_padded
from napari_ssl.networks.swin_attention import WindowAttention


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


@pytest.mark.parametrize("dimensions", [2, 3])
def test_residual_unet_taken_apart_computes_what_monais_does(dimensions):
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    network = build_network(
        "res-unet", n_classes=3, parameters={"base_channels": 4, "levels": 4}, dimensions=dimensions
    )
    theirs = UNet(dimensions, 1, 3, [4, 8, 16, 32], [2, 2, 2], num_res_units=2, norm="batch")
    theirs.load_state_dict(network.state_dict())
    x = torch.rand(2, 1, *[16] * dimensions)
    assert torch.equal(network(x), theirs(x))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_dyn_unet_taken_apart_computes_what_monais_does(dimensions):
    from monai.networks.nets import DynUNet

    torch.manual_seed(0)
    parameters = {"base_channels": 4, "levels": 4, "depth_halvings": 3}
    network = build_network("dyn-unet", n_classes=3, parameters=parameters, dimensions=dimensions)
    kernels = [(3,) * dimensions] * 4 if dimensions == 2 else [(1, 3, 3), *[(3, 3, 3)] * 3]
    strides = [(1,) * dimensions, *[(2,) * dimensions] * 3]
    theirs = DynUNet(*(dimensions, 1, 3, kernels, strides, strides[1:]), filters=[4, 8, 16, 32], deep_supervision=True)
    theirs.load_state_dict(network.state_dict(), strict=False)
    x = torch.rand(2, 1, *[16] * dimensions)
    assert torch.equal(network.eval()(x), theirs.eval()(x))
    main, auxiliary = network.train()(x)
    stacked = theirs.train()(x)
    assert torch.equal(main, stacked[:, 0])
    assert torch.equal(nn.functional.interpolate(auxiliary, x.shape[2:]), stacked[:, 1])


@pytest.mark.parametrize("name", ["res-unet", "dyn-unet"])
def test_instance_normalisation_needs_no_batch_statistics_and_takes_the_smallest_image(name):
    parameters = {"base_channels": 4, "levels": 4}
    parameters |= {"normalisation": "instance"} if name == "res-unet" else {}
    network = build_network(name, n_classes=2, parameters=parameters).eval()
    assert not any("running" in key for key in network.state_dict())
    assert network(torch.rand(1, 1, 5, 7)).shape == (1, 2, 5, 7)


def test_unet_is_initialised_kaiming_uniformly():
    torch.manual_seed(0)
    network = build_network("unet", n_classes=2, parameters={"channels": "8,16,32"})
    weight = network.down[2][1][0].weight
    bound = math.sqrt(6 / (32 * 9))
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert not network.head.bias.any()


def test_unet_can_concatenate_as_ronneberger():
    network = build_network("unet", n_classes=2, parameters={"channels": "4,6,8", "long_connections": "concatenate"})
    assert [u.units[0][0].in_channels for u in network.up] == [12, 8]
    assert network(torch.rand(2, 1, 16, 16))[0].shape == (2, 2, 16, 16)


def test_svnet_is_initialised_after_xavier():
    torch.manual_seed(0)
    network = build_network("svnet", n_classes=2, parameters={"base_channels": 8}, dimensions=3)
    weight = network.down[2].down_conv.weight
    fan_in, fan_out = 32 * 8, 64 * 8
    assert weight.abs().max() <= math.sqrt(6 / (fan_in + fan_out))
    assert all(not m.bias.any() for m in network.modules() if isinstance(m, nn.Conv3d) and m.bias is not None)


def test_swin_unet_is_initialised_with_truncated_normals():
    torch.manual_seed(0)
    network = build_network("swin-unet", n_classes=2, parameters={"embedding": 24})
    weights = [m.weight for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    assert all(w.std().item() == pytest.approx(0.02, rel=0.2) for w in weights if w.numel() > 500)
    assert all(not m.bias.any() for m in network.modules() if isinstance(m, nn.Linear) and m.bias is not None)


def test_swin_unet_drops_paths_in_training_alone():
    torch.manual_seed(0)
    network, x = build_network("swin-unet", n_classes=2, parameters={"embedding": 12}), torch.rand(2, 1, 32, 32)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))
    rates = [b.drop_path.drop_prob for b in network.down[-1]]
    assert rates[-1] == pytest.approx(0.2)


@pytest.mark.parametrize(("size", "is_shifted"), [((7, 7), False), ((7, 7), True), ((10, 17), False), ((9, 21), True)])
def test_a_token_attends_to_its_window_alone(size, is_shifted):
    """By the gradient: tokens that move one output are those of the same window of the same image."""
    torch.manual_seed(0)
    attention = WindowAttention(6, 3, is_shifted=is_shifted)
    x = torch.randn(1, *size, 6, requires_grad=True)
    y0, x0 = size[0] - 1, size[1] // 2
    attention(x)[0, y0, x0].sum().backward()
    reached = x.grad[0].abs().sum(-1) > 1e-12

    def window(n, position):
        shift = 3 if is_shifted and n > 7 else 0
        full = -(-n // 7) * 7
        place = (position - shift) % full
        members = [(p + shift) % full for p in range(place // 7 * 7, place // 7 * 7 + 7)]
        return [m for m in members if m < n and (m < shift) == (position < shift)]

    expected = torch.zeros(size, dtype=torch.bool)
    expected[torch.tensor(window(size[0], y0))[:, None], torch.tensor(window(size[1], x0))] = True
    assert torch.equal(reached, expected)


def test_attention_of_whole_windows_is_that_of_torch():
    torch.manual_seed(0)
    attention = WindowAttention(8, 2, is_shifted=False)
    x = torch.randn(2, 7, 7, 8)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(attention.query_key_value.weight)
        theirs.in_proj_bias.copy_(attention.query_key_value.bias)
        theirs.out_proj.load_state_dict(attention.project.state_dict())
        bias = attention.bias_by_position[attention.position].permute(2, 0, 1).repeat(2, 1, 1)
        flat = x.view(2, 49, 8)
        expected, _ = theirs(flat, flat, flat, attn_mask=bias)
    assert torch.allclose(attention(x).view(2, 49, 8), expected, atol=1e-6)


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


def test_padding_of_volumes_is_by_axis_and_outputs_of_lower_resolution_stay_in_place():
    volume = torch.zeros(1, 1, 3, 10, 16)
    volume[..., 4:6, :] = 1

    def halved(x):
        return x, nn.functional.avg_pool3d(x, (1, 2, 2))

    main, low = run_padded(halved, volume, (2, 8, 8))
    assert torch.equal(main, volume)
    assert low.shape == volume.shape
    assert low[0, 0, 1, :, 8].argmax() in (4, 5)
    assert low[0, 0, 1, :, 8].sum() == pytest.approx(2, abs=0.1)
