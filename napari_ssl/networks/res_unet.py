"""The residual U-Net: MONAI's ``UNet`` with residual units (Kerfoot et al., STACOM 2018).

Defaults as Ruijsink et al. 2020 used it for short-axis cine: 16, 32, 64, 128, 256 channels, strides of 2.
"""

from __future__ import annotations

from monai.networks.nets import UNet
from torch import Tensor

from napari_ssl.core.catalogue import ResUNetParameters
from napari_ssl.networks.padding import run_padded

__all__ = ["ResUNet", "build"]


class ResUNet(UNet):
    """MONAI's UNet that takes slices of any size.

    Parameters
    ----------
    in_channels, n_classes : int
    parameters : ResUNetParameters
    """

    def __init__(self, *, in_channels: int, n_classes: int, parameters: ResUNetParameters) -> None:
        super().__init__(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=n_classes,
            channels=[parameters.base_channels * 2**level for level in range(parameters.levels)],
            strides=[2] * (parameters.levels - 1),
            num_res_units=parameters.residual_units,
            norm=parameters.normalisation,
            dropout=parameters.dropout,
        )
        self.multiple = 2 ** (parameters.levels - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, Y, X)`` to logits ``(B, K, Y, X)``."""
        return run_padded(super().forward, x, self.multiple)


def build(*, in_channels: int, n_classes: int, parameters: ResUNetParameters) -> ResUNet:
    """Build the network with random weights."""
    return ResUNet(in_channels=in_channels, n_classes=n_classes, parameters=parameters)
