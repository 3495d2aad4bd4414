"""Small examples and a classifier that was trained on them, made once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from curve_sets import SMALL, examples

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.quality import QcParameters
from napari_ssl.qc.cycles import Cycle
from napari_ssl.qc.data import gather
from napari_ssl.qc.evaluate import Calibration
from napari_ssl.qc.fitting import fit
from napari_ssl.qc.store import Classifier


@pytest.fixture(scope="session")
def parameters():
    return QcParameters(**SMALL)


def _classifier(parameters):
    torch.set_num_threads(1)
    scheme = PRESETS["acdc"]
    data = gather(examples(), scheme, "short-axis", parameters)
    network, _, _ = fit(data, np.arange(len(data)), None, parameters, seed=0, epochs=parameters.epochs)
    good = data.inputs[torch.from_numpy(data.good)]
    if parameters.length == "resample":
        network.baseline.copy_(good.mean(dim=0))
    else:
        network.baseline.copy_(good[0, : parameters.n_points])
    return Classifier(
        network=network, kind="short-axis", parameters=parameters, label_scheme=scheme, calibration=Calibration(),
        threshold=0.5, card={},
    )  # fmt: skip


@pytest.fixture(scope="session")
def classifier(parameters):
    """Tells spikes from good cycles."""
    return _classifier(parameters)


@pytest.fixture(scope="session")
def masking_classifier(parameters):
    """The same with cycles at their own length."""
    return _classifier(dataclasses.replace(parameters, length="mask"))


@pytest.fixture
def cycle():
    """Concentric rings of all structures in four slices, 12 frames; the base is slice 0."""
    y, x = np.mgrid[:40, :40]
    labels = np.zeros((12, 4, 40, 40), np.uint8)
    for t in range(12):
        for z in range(4):
            r = 7 - z - 2 * np.sin(np.pi * t / 12)
            distance = np.hypot(y - 20, x - 24)
            labels[t, z, np.hypot(y - 20, x - 12) < r + 2] = 1
            labels[t, z, distance < r + 4] = 2
            labels[t, z, distance < r] = 3
    return Cycle(id="c1", subject_id="s1", labels=labels, spacing_zyx_mm=(8.0, 2.0, 2.0), scheme=PRESETS["acdc"])
