"""Networks that tell label maps from predictions: per pixel (the confidence network of Nie 2018) or per sample.

Both look at class probabilities alone, not at the image, as Eq. 3 of Nie et al., MICCAI 2018 writes them: D(P). The
paper names no layers. These are those of the nearest public reference (Hung et al., Adversarial learning for
semi-supervised semantic segmentation, BMVC 2018): 4×4 convolutions with a stride of 2 and 64, 128, 256 and 512
channels, leaky ReLU with slope 0.2, no normalisation, weights after Xavier and biases 0 as in Nie 2018, Sec. 2.4.

Departures
----------
The reference's last, classifying convolution halves a fifth time; patches of the paper are 16 slices deep, which
allows four halvings, so that here it is a 3×3 convolution of stride 1. Sizes that are no multiples of 16 are padded
with zeros.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_ssl.errors import CheckpointError
from napari_ssl.networks.padding import run_padded

__all__ = ["ConfidenceNetwork", "SampleDiscriminator", "confidence_network_of", "initialise_xavier"]

_HALVINGS = 4
_SLOPE = 0.2


def initialise_xavier(module: nn.Module) -> None:
    """Draw all convolutions and linear maps after Xavier (uniform) and set their biases to 0 (Nie 2018, Sec. 2.4)."""
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
    for part in module.modules():
        if isinstance(part, kinds):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _trunk(n_classes: int, dimensions: int, base_channels: int) -> nn.Sequential:
    convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    channels = [n_classes, *(base_channels * 2**level for level in range(_HALVINGS))]
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(channels):
        layers += [convolution(n_in, n_out, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE, inplace=True)]
    return nn.Sequential(*layers)


def _enlarged(coarse: Tensor, sizes: torch.Size) -> Tensor:
    """Linear interpolation axis by axis, edge to edge; products of matrices have a deterministic gradient on CUDA."""
    for axis, size in enumerate(sizes, start=2):
        unit = torch.eye(coarse.shape[axis], device=coarse.device, dtype=torch.float32)[None]
        weights = functional.interpolate(unit, size=size, mode="linear", align_corners=False)[0].to(coarse.dtype)
        coarse = (coarse.movedim(axis, -1) @ weights).movedim(-1, axis)
    return coarse


class ConfidenceNetwork(nn.Module):
    """Maps class probabilities ``(B, K, [Z,] Y, X)`` to logits of "a person drew this" ``(B, 1, [Z,] Y, X)``.

    The values lie on a grid 16 times coarser than the input's and are interpolated linearly.

    Parameters
    ----------
    n_classes : int
        K, background included.
    dimensions : {2, 3}
        Spatial axes.
    base_channels : int
        Channels of the first convolution; they double three times.
    """

    def __init__(self, *, n_classes: int, dimensions: int = 2, base_channels: int = 64) -> None:
        super().__init__()
        self.trunk = _trunk(n_classes, dimensions, base_channels)
        last = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.classify = last(base_channels * 2 ** (_HALVINGS - 1), 1, 3, padding=1)
        initialise_xavier(self)

    def forward(self, probabilities: Tensor) -> Tensor:
        """Map ``(B, K, [Z,] Y, X)`` to ``(B, 1, [Z,] Y, X)``; any size."""
        return run_padded(lambda p: _enlarged(self.classify(self.trunk(p)), p.shape[2:]), probabilities, 2**_HALVINGS)


class SampleDiscriminator(nn.Module):
    """Maps class probabilities ``(B, K, [Z,] Y, X)`` to one logit a sample ``(B, 1)``: a CNN as in Goodfellow 2014.

    The same convolutions as `ConfidenceNetwork`, their mean over the sample, one linear map. Parameters as there.
    """

    def __init__(self, *, n_classes: int, dimensions: int = 2, base_channels: int = 64) -> None:
        super().__init__()
        self.trunk = _trunk(n_classes, dimensions, base_channels)
        self.decide = nn.Linear(base_channels * 2 ** (_HALVINGS - 1), 1)
        initialise_xavier(self)

    def forward(self, probabilities: Tensor) -> Tensor:
        """Map ``(B, K, [Z,] Y, X)`` to ``(B, 1)``."""
        widths = [w for n in reversed(probabilities.shape[2:]) for w in (0, -n % 2**_HALVINGS)]
        return self.decide(self.trunk(functional.pad(probabilities, widths)).flatten(2).mean(dim=2))


def confidence_network_of(state: Mapping[str, Tensor]) -> ConfidenceNetwork:
    """Return the confidence network that these weights belong to; its size is read off their shapes.

    Raises
    ------
    CheckpointError
        The weights are of another network.
    """
    try:
        first = state["trunk.0.weight"]
        network = ConfidenceNetwork(n_classes=first.shape[1], dimensions=first.ndim - 2, base_channels=first.shape[0])
        network.load_state_dict(dict(state))
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"these are not the weights of a confidence network ({error}); restore the file from a backup"
        ) from error
    return network
