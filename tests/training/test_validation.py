from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import Preprocessing
from napari_ssl.training.dataset import SliceStore
from napari_ssl.training.losses import cross_entropy
from napari_ssl.training.validation import counts, dice_by_subject, validate

SCHEME = LabelScheme.parse("1=Ring,2=Disc")


def test_counts_are_those_of_the_masks():
    torch.manual_seed(0)
    first, second = torch.randint(0, 3, (2, 4, 9, 9), dtype=torch.uint8)
    counted = counts(first, second, 3)
    assert counted.shape == (4, 3, 2)
    for n in range(4):
        for k in (1, 2):
            a, b = first[n] == k, second[n] == k
            assert counted[n, :, k - 1].tolist() == [(a & b).sum(), a.sum(), b.sum()]


def test_dice_is_taken_by_volume_and_averaged_by_subject():
    store = SliceStore(Preprocessing(crop_yx=(16, 16)), 3)
    nothing = np.zeros((2, 2, 16, 16), np.uint8)
    store.add("a1", nothing.astype(np.float32), nothing, (0,), subject_id="a")
    store.add("a2", nothing.astype(np.float32), nothing, (0, 1), subject_id="a")
    store.add("b", nothing.astype(np.float32), nothing, (0,))
    counted = torch.zeros(8, 3, 2, dtype=torch.int64)
    counted[0, :, 0] = torch.tensor([5, 10, 0])  # slices of one frame are pooled: 2·5 / (10 + 10)
    counted[1, :, 0] = torch.tensor([0, 0, 10])
    counted[2, :, 0] = torch.tensor([4, 4, 4])  # second case, frame 0: 1
    # frame 1 of it has the structure in neither map and is left out
    counted[6, :, 0] = torch.tensor([0, 3, 0])  # subject b: 0
    dice = dice_by_subject(store, counted)
    assert dice[0].item() == pytest.approx(((0.5 + 1) / 2 + 0) / 2)
    assert math.isnan(dice[1])


class Reader(nn.Module):
    """Reads the classes off an image that holds them."""

    def forward(self, x):
        return torch.cat([10 * (1 - (x * 2 - k).abs()) for k in range(3)], dim=1)


def _validate(store, should_stop=lambda: False):
    return validate(
        Reader().train(), store, loss=cross_entropy, scheme=SCHEME, device=torch.device("cpu"), dtype=None,
        batch_size=3, should_stop=should_stop,
    )  # fmt: skip


def test_a_perfect_network_has_dice_one():
    store = SliceStore(Preprocessing(crop_yx=(16, 16)), 3)
    classes = np.random.default_rng(0).integers(0, 3, (1, 4, 16, 16)).astype(np.uint8)
    store.add("a", (classes / 2).astype(np.float32), classes)
    result = _validate(store)
    assert result.dice == {"Ring": 1.0, "Disc": 1.0} and result.mean_dice == 1
    assert result.loss == pytest.approx(math.log(1 + math.exp(-10) + math.exp(-20)), abs=1e-3)


def test_the_mode_of_the_network_is_restored_and_a_stop_ends_it(store):
    network = nn.Sequential(Reader())
    network.train()
    arguments = {"loss": cross_entropy, "scheme": SCHEME, "device": torch.device("cpu"), "dtype": None, "batch_size": 2}
    assert validate(network, store, should_stop=lambda: True, **arguments) is None
    assert network.training


def test_a_structure_that_no_subject_shows_has_no_dice():
    store = SliceStore(Preprocessing(crop_yx=(16, 16)), 3)
    classes = np.ones((1, 1, 16, 16), np.uint8)
    store.add("a", (classes / 2).astype(np.float32), classes)
    result = _validate(store)
    assert result.dice["Ring"] == 1 and math.isnan(result.dice["Disc"]) and result.mean_dice == 1
