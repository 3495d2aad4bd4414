"""Confidence maps of a network that judges predictions: grid, file, and place in the labelling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import CheckpointError
from napari_ssl.inference.confidence_network import load_confidence_network, network_confidence
from napari_ssl.inference.labelling import label_image
from napari_ssl.io.images import hash_file
from napari_ssl.networks import save_weights
from napari_ssl.networks.discriminators import ConfidenceNetwork

SPACING = (8.0, 1.5, 1.5)


def judge(dimensions=2, n_classes=3):
    torch.manual_seed(0)
    return ConfidenceNetwork(n_classes=n_classes, dimensions=dimensions, base_channels=2).eval()


def softmax(shape, n_classes=3):
    z, y, x = shape
    generator = torch.Generator().manual_seed(1)
    return torch.randn(z, n_classes, y, x, generator=generator).mul(3).softmax(dim=1).numpy()


def test_slices_are_judged_on_the_grid_of_training_and_mapped_back():
    network, p = judge(), softmax((5, 40, 30))
    native = network_confidence(network, p, preprocessing=Preprocessing(), spacing_zyx_mm=SPACING, batch_size=2)
    with torch.no_grad():
        expected = network(torch.from_numpy(p))[:, 0].sigmoid().numpy()
    np.testing.assert_allclose(native, expected, atol=1e-6)
    seen = []
    network.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    coarse = Preprocessing(pixel_spacing_mm=3.0)
    assert network_confidence(network, p, preprocessing=coarse, spacing_zyx_mm=SPACING).shape == (5, 40, 30)
    assert seen == [(5, 3, 20, 15)]


def test_volumes_are_judged_whole_at_the_slice_spacing_of_training():
    network, p = judge(3), softmax((4, 24, 20))
    seen = []
    network.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    preprocessing = Preprocessing(dimensions=3, slice_spacing_mm=4.0)
    m = network_confidence(network, p, preprocessing=preprocessing, spacing_zyx_mm=SPACING)
    assert m.shape == (4, 24, 20)
    assert m.dtype == np.float32
    assert 0 < m.min() <= m.max() < 1
    assert seen == [(1, 3, 8, 24, 20)]


def test_a_constant_judge_gives_its_constant_everywhere():
    network = judge()
    torch.nn.init.zeros_(network.classify.weight)
    torch.nn.init.constant_(network.classify.bias, float(np.log(3)))
    m = network_confidence(
        network, softmax((2, 33, 47)), preprocessing=Preprocessing(pixel_spacing_mm=2.0), spacing_zyx_mm=SPACING
    )
    np.testing.assert_allclose(m, 0.75, atol=1e-5)


def test_labelling_stores_the_judgement_of_the_softmax_in_8_bits():
    class Bright(torch.nn.Module):
        def forward(self, x):
            return torch.cat([1 - x, x, -x, -x], dim=1) * 3

    image = np.random.default_rng(0).integers(0, 255, (2, 3, 32, 32), dtype=np.uint8)
    network = judge(n_classes=4)
    common = {
        "preprocessing": Preprocessing(crop_yx=(32, 32)),
        "spacing_zyx_mm": SPACING,
        "scheme": PRESETS["acdc"],
        "frames": (1,),
        "device": torch.device("cpu"),
    }
    judged = label_image(Bright(), image, confidence_from="network", confidence_network=network, **common)
    plain = label_image(Bright(), image, keep_probabilities=True, **common)
    np.testing.assert_array_equal(judged.labels, plain.labels)
    assert not judged.confidence[0].any()
    p = plain.probabilities[0].swapaxes(0, 1).astype(np.float32) / 255
    with torch.no_grad():
        expected = network(torch.from_numpy(np.ascontiguousarray(p)))[:, 0].sigmoid().numpy() * 255
    np.testing.assert_allclose(judged.confidence[1], expected, atol=1.0)


def test_a_file_is_read_back_and_another_ones_or_a_damaged_one_refused(tmp_path):
    path = tmp_path / "confidence.safetensors"
    save_weights(judge(), path, {})
    again = load_confidence_network(path, hash_file(path))
    p = torch.from_numpy(softmax((2, 32, 32)))
    assert torch.equal(again(p), judge()(p))
    with pytest.raises(CheckpointError, match="not the confidence network of this model"):
        load_confidence_network(path, "0" * 64)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="damaged"):
        load_confidence_network(path, hash_file(path))
    with pytest.raises(CheckpointError, match="no such weights file"):
        load_confidence_network(tmp_path / "gone.safetensors", "0" * 64)
