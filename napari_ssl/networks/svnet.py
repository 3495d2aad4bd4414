"""SVNet: the simplified V-Net of Nie et al., ASDNet, MICCAI 2018 (Sec. 2.1).

"Simplified" means there that the internal pooling, convolution and deconvolution layers of V-Net are removed; the paper
has neither a figure of it nor numbers.

Open in the paper, settled here
    The innermost stages are the internal ones: the last halving (the 2×2×2 convolution that stands for pooling), the
    256 channels of the bottom stage and the deconvolution after it are left out. Three halvings remain, so that a
    patch of 64×64×16 voxels (Sec. 2.4) is 8×8×2 at the bottom instead of 4×4×1, and 12.2 M parameters instead of
    45.6 M: what the paper says the simplification is for, less memory. The bottom stage has the 128 channels and three
    convolutions that V-Net has at this level.
    Xavier initialisation, biases 0: Sec. 2.4.
"""

from __future__ import annotations

from torch import nn

from napari_ssl.core.catalogue import VNetParameters
from napari_ssl.networks.vnet import VNet

__all__ = ["SVNet", "build"]


class SVNet(VNet):
    """V-Net with three halvings.

    Parameters
    ----------
    in_channels, n_classes : int
    parameters : VNetParameters
    dimensions : {2, 3}
    """

    def __init__(self, *, in_channels: int, n_classes: int, parameters: VNetParameters, dimensions: int = 3) -> None:
        super().__init__(
            in_channels=in_channels, n_classes=n_classes, parameters=parameters, dimensions=dimensions, halvings=3
        )
        self.apply(_initialise)


def _initialise(module: nn.Module) -> None:
    """Xavier, biases 0 (Sec. 2.4)."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(*, in_channels: int, n_classes: int, parameters: VNetParameters, dimensions: int = 2) -> SVNet:
    """Build the network with random weights."""
    return SVNet(in_channels=in_channels, n_classes=n_classes, parameters=parameters, dimensions=dimensions)
