"""The residual U-Net: MONAI's ``UNet`` with residual units (Kerfoot et al., STACOM 2018).

Ruijsink et al. 2020 took a U-Net of residual units for short-axis cine and give neither channels nor strides; 16, 32,
64, 128, 256 channels and strides of 2 are those of MONAI's examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from napari_ssl.core.catalogue import ResUNetParameters
from napari_ssl.networks.encoder_decoder import EncoderDecoder
from napari_ssl.networks.quick_layers import quicken

__all__ = ["ResUNet", "build"]


class ResUNet(EncoderDecoder, UNet):
    """MONAI's UNet that takes images of any size.

    The last unit both enlarges and classifies, so that the embedding in front of it has half the resolution.

    Parameters
    ----------
    in_channels, n_classes : int
    parameters : ResUNetParameters
    dimensions : {2, 3}
    """

    def __init__(self, *, in_channels: int, n_classes: int, parameters: ResUNetParameters, dimensions: int = 2) -> None:
        super().__init__(
            spatial_dims=dimensions,
            in_channels=in_channels,
            out_channels=n_classes,
            channels=[parameters.base_channels * 2**level for level in range(parameters.levels)],
            strides=[2] * (parameters.levels - 1),
            num_res_units=parameters.residual_units,
            norm=parameters.normalisation,
            dropout=parameters.dropout,
        )
        self.multiple = 2 ** (parameters.levels - 1)
        # A single pixel has no variance: instances need two at the bottom.
        self.at_least = 2 if parameters.normalisation == "instance" else 1
        quicken(self)

    def _levels(self) -> list[tuple[nn.Module, nn.Module]]:
        """Return (down, up) of every level, finest first; MONAI nests them."""
        levels, inner = [], self.model
        while isinstance(inner, nn.Sequential):
            down, skip, up = inner
            levels.append((down, up))
            inner = skip.submodule
        return [*levels, (inner, nn.Identity())]

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the features of every level, finest first."""
        self.check_size(images)
        features = [images]
        for down, _ in self._levels():
            features.append(down(features[-1]))
        return features[1:]

    def expand(self, features: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the last unit takes, at half the image's size."""
        *skips, x = features
        ups = [up for _, up in self._levels()[:-1]]
        for skip, up in zip(skips[:0:-1], ups[:0:-1], strict=True):
            x = up(torch.cat([skip, x], dim=1))
        return torch.cat([skips[0], x], dim=1), ()

    def classify(self, embedding: Tensor) -> Tensor:
        """Enlarge and classify."""
        return self._levels()[0][1](embedding)


def build(*, in_channels: int, n_classes: int, parameters: ResUNetParameters, dimensions: int = 2) -> ResUNet:
    """Build the network with random weights."""
    return ResUNet(in_channels=in_channels, n_classes=n_classes, parameters=parameters, dimensions=dimensions)
