"""Confidence from a network that was trained to tell labels from predictions: M = D(P̂) (Nie et al., MICCAI 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import CheckpointError
from napari_ssl.inference.preprocess import network_size_yx, network_size_zyx, resample, resample_volume
from napari_ssl.io.images import hash_file
from napari_ssl.networks import load_weights
from napari_ssl.networks.discriminators import ConfidenceNetwork, confidence_network_of

__all__ = ["load_confidence_network", "network_confidence"]


def load_confidence_network(path: Path | str, expected_hash: str) -> ConfidenceNetwork:
    """Read a confidence network that was saved beside a model's weights.

    Raises
    ------
    CheckpointError
        Absent, damaged, or not the file that belongs to the model.
    """
    state, _ = load_weights(path)
    if hash_file(path) != expected_hash:
        raise CheckpointError(f"{path}: not the confidence network of this model; restore the file from a backup")
    return confidence_network_of(state).eval()


def network_confidence(
    network: ConfidenceNetwork,
    probabilities: NDArray[np.float32],
    *,
    preprocessing: Preprocessing,
    spacing_zyx_mm: Sequence[float],
    batch_size: int = 16,
) -> NDArray[np.float32]:
    """How much the confidence network takes each place of a prediction for a person's labels.

    The network sees the class probabilities on the grid that it was trained on.

    Parameters
    ----------
    network : ConfidenceNetwork
        In evaluation mode, on the device that computes.
    probabilities : array (Z, K, Y, X) float32
        Softmax of one frame on the image's own grid.
    batch_size : int
        Slices at once, where the preprocessing has two dimensions.

    Returns
    -------
    array (Z, Y, X) float32
        In [0, 1], on the image's own grid.
    """
    device = next(network.parameters()).device
    p = torch.from_numpy(np.ascontiguousarray(probabilities))
    with torch.inference_mode():
        if preprocessing.dimensions == 3:
            volume = p.swapaxes(0, 1)[None].to(device)
            size = network_size_zyx(volume.shape[2:], spacing_zyx_mm, preprocessing)
            m = network(resample_volume(volume, size)).sigmoid()
            return resample_volume(m, volume.shape[2:])[0, 0].cpu().numpy()
        size = network_size_yx(p.shape[2:], spacing_zyx_mm, preprocessing)

        def run(slices: Tensor) -> Tensor:
            m = network(resample(slices.to(device), size)).sigmoid()
            return resample(m, tuple(slices.shape[2:]))[:, 0].cpu()

        return torch.cat([run(part) for part in p.split(max(1, batch_size))]).numpy()
