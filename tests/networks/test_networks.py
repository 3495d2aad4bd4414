"""What every network of the catalogue promises."""

from __future__ import annotations

import pytest
import torch

from napari_ssl.core.catalogue import NETWORKS
from napari_ssl.errors import CatalogueError
from napari_ssl.networks import build_network, load_weights, save_weights
from napari_ssl.networks.encoder_decoder import EncoderDecoder
from napari_ssl.networks.measure import count_parameters

SMALL = {
    "res-unet": {"base_channels": 4, "levels": 4},
    "fcn17": {"base_channels": 4},
    "unet": {"channels": "4,6,8,12"},
    "dyn-unet": {"base_channels": 4, "levels": 4},
    "vnet": {"base_channels": 4},
    "svnet": {"base_channels": 4},
    "dsresunet": {"base_channels": 4},
    "swin-unet": {"embedding": 12},
}
"""A network without an entry here fails the contract tests."""

CASES = [(name, dimensions) for name, entry in NETWORKS.items() for dimensions in entry.dimensions]
SIZES = {2: [(32, 32), (48, 32), (37, 45), (33, 16)], 3: [(8, 32, 32), (16, 16, 32), (5, 19, 33), (1, 32, 32)]}
SUPERVISED_AT_SEVERAL = {"unet": 1, "dyn-unet": 1, "dsresunet": 2}
"""Number of auxiliary outputs of the small networks."""


def small(name, dimensions=2, **more):
    torch.manual_seed(0)
    return build_network(name, parameters=SMALL[name], dimensions=dimensions, **{"n_classes": 3, **more})


def images(dimensions, n=2, channels=1):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, channels, *{2: (32, 32), 3: (16, 32, 32)}[dimensions], generator=generator)


def outputs(network, x):
    result = network(x)
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_have_one_channel_a_class_and_the_size_of_the_image(name, dimensions, channels):
    network = small(name, dimensions, in_channels=channels, n_classes=4).eval()
    for size in SIZES[dimensions]:
        with torch.no_grad():
            logits = network(torch.rand(2, channels, *size))
        assert isinstance(logits, torch.Tensor)
        assert logits.shape == (2, 4, *size)
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_every_parameter_gets_a_gradient(name, dimensions):
    network = small(name, dimensions)
    # Random weights per pixel: a plain sum after a normalisation has no gradient.
    loss = sum((o * torch.randn_like(o)).sum() for o in outputs(network, images(dimensions, n=3)))
    loss.backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias in front of a normalisation has a gradient of zero by construction, but it has one.
    assert all(n.endswith("bias") and dict(network.named_parameters())[n].grad is not None for n in without)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_training_gives_auxiliary_outputs_of_falling_resolution_and_evaluation_none(name, dimensions):
    network, x = small(name, dimensions), images(dimensions)
    result = network.train()(x)
    n = SUPERVISED_AT_SEVERAL.get(name, 0)
    assert isinstance(result, tuple) == bool(n)
    shapes = [o.shape for o in (result if n else (result,))]
    assert len(shapes) == 1 + n
    assert all(s[:2] == (2, 3) for s in shapes)
    assert shapes[0][2:] == x.shape[2:]
    assert [s[-1] for s in shapes] == [32 // 2**k for k in range(1 + n)]
    assert isinstance(network.eval()(x), torch.Tensor)


@pytest.mark.parametrize("name", SUPERVISED_AT_SEVERAL)
def test_auxiliary_outputs_of_a_padded_image_lie_where_the_image_does(name):
    """Enlarged and cut: the label map needs no padding of its own."""
    network = small(name).train()
    assert [o.shape[2:] for o in network(torch.rand(2, 1, 35, 41))] == [(35, 41)] * (1 + SUPERVISED_AT_SEVERAL[name])


@pytest.mark.parametrize("name", ["unet", "dyn-unet"])
def test_deep_supervision_can_be_left_out(name):
    parameters = {**SMALL[name], "deep_supervision": False}
    assert isinstance(build_network(name, n_classes=2, parameters=parameters)(images(2)), torch.Tensor)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_evaluation_does_not_depend_on_the_rest_of_the_batch(name, dimensions):
    network, x = small(name, dimensions).eval(), images(dimensions, n=3)
    with torch.no_grad():
        together, alone = network(x), network(x[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-4)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_same_seed_gives_the_same_weights(name, dimensions):
    first, second = small(name, dimensions).state_dict(), small(name, dimensions).state_dict()
    assert all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_weights_come_back_from_disk_and_give_the_same_logits(name, dimensions, tmp_path):
    network, x = small(name, dimensions), images(dimensions)
    network.train()(x)  # statistics of the batch move
    save_weights(network, tmp_path / "w.safetensors", {"network": name})
    torch.manual_seed(9)
    other = build_network(name, n_classes=3, parameters=SMALL[name], dimensions=dimensions)
    state, _ = load_weights(tmp_path / "w.safetensors")
    other.load_state_dict(state)
    assert sum(t.numel() for k, t in state.items() if k in dict(network.named_parameters())) == count_parameters(
        network
    )
    with torch.no_grad():
        assert torch.equal(network.eval()(x), other.eval()(x))


@pytest.mark.parametrize(("name", "dimensions"), [c for c in CASES if c[0] != "fcn17"])
@pytest.mark.parametrize("training", [True, False])
def test_encoder_and_decoder_together_are_the_network(name, dimensions, training):
    network, x = small(name, dimensions).train(training), images(dimensions)
    if name == "swin-unet":
        network.eval()  # stochastic depth draws anew at each call
    assert isinstance(network, EncoderDecoder)
    features = network.encode(x)
    assert features[0].shape[-1] > features[-1].shape[-1]
    apart = network.decode(features)
    for one, other in zip(apart if isinstance(apart, tuple) else (apart,), outputs(network, x), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("name", "dimensions"), [c for c in CASES if c[0] != "fcn17"])
def test_changed_features_change_the_logits(name, dimensions):
    network, x = small(name, dimensions).eval(), images(dimensions)
    with torch.no_grad():
        features = network.encode(x)
        changed = network.decode([*features[:-1], torch.zeros_like(features[-1])])
        assert not torch.allclose(changed, network(x))


@pytest.mark.parametrize(("name", "dimensions"), [c for c in CASES if c[0] != "fcn17"])
@pytest.mark.parametrize("is_odd", [False, True])
def test_features_are_logits_and_an_embedding_of_the_images_size(name, dimensions, is_odd):
    network, x = small(name, dimensions).eval(), images(dimensions)
    x = x[..., :27, :21] if is_odd else x
    with torch.no_grad():
        logits, embedding = network.features(x)
        assert torch.equal(logits, network(x))
    assert embedding.shape[0] == 2 and embedding.shape[1] > 3
    assert embedding.shape[2:] == x.shape[2:]


def test_encode_refuses_a_size_it_cannot_halve():
    from napari_ssl.errors import SpecError

    with pytest.raises(SpecError, match=r"multiples of \(8, 8\), got \(30, 32\)"):
        small("unet").encode(torch.rand(1, 1, 30, 32))


def test_an_unknown_network_or_parameter_is_named():
    with pytest.raises(CatalogueError, match=r"no network 'unet2'.*res-unet"):
        build_network("unet2", n_classes=2)
    with pytest.raises(CatalogueError, match="no parameter 'depth'"):
        build_network("res-unet", n_classes=2, parameters={"depth": 3})


@pytest.mark.parametrize("name", [n for n, e in NETWORKS.items() if 3 not in e.dimensions])
def test_a_network_for_slices_refuses_volumes_and_names_others(name):
    with pytest.raises(CatalogueError, match=f"'{name}' does not take images of 3 dimensions.*vnet"):
        build_network(name, n_classes=2, dimensions=3)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("unet", {"channels": "8,16"}, "3 to 7 whole numbers"),
        ("unet", {"channels": "8,16,x"}, "'8,16,x'"),
        ("dyn-unet", {"levels": 4, "depth_halvings": 4}, "below levels, which is 4"),
        ("swin-unet", {"embedding": 32}, "multiple of 3"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_with_its_limit(name, parameters, message):
    with pytest.raises(CatalogueError, match=message):
        build_network(name, n_classes=2, parameters=parameters)
