"""V-Net: Milletari, Navab, Ahmadi: V-Net: fully convolutional neural networks for volumetric medical image
segmentation, 3DV 2016; out of the blocks of MONAI's ``VNet``.

Stages of one to three 5×5×5 convolutions, each stage with a residual connection around it, 2×2×2 convolutions of
stride 2 down and transposed ones up, channels doubled at each halving from 16; PReLU; 1×1×1 convolution at the end.

Departures
    Batch normalisation after each convolution and 1, 2, 3, 2 convolutions down and 2, 2, 1, 1 up, as in MONAI's
    (and the implementation it follows) instead of 1, 2, 3, 3, 3 and 3, 3, 2, 1. Unlike MONAI's the last layer is the
    paper's plain 1×1×1 convolution, the units are PReLU as in the paper, there is no dropout unless it is asked for,
    and any number of image channels and any size will do. 5×5 instead of 5×5×5 for slices.
"""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks.convolutions import Convolution
from monai.networks.nets.vnet import DownTransition, UpTransition
from torch import Tensor, nn

from napari_ssl.core.catalogue import VNetParameters
from napari_ssl.networks.encoder_decoder import EncoderDecoder
from napari_ssl.networks.layers import CONVOLUTION

__all__ = ["VNet", "build"]

_CONVOLUTIONS_DOWN = (1, 2, 3, 2)
_CONVOLUTIONS_UP = (1, 1, 2, 2)
_DROPS = (False, False, True, True)
"""By level, finest first; dropout in the two deepest as in MONAI's."""


class _First(nn.Module):
    """Convolution around which the image itself, repeated, is added."""

    def __init__(self, dimensions: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.convolution = Convolution(dimensions, n_in, n_out, kernel_size=5, act=None, norm="batch", bias=False)
        self.activation = nn.PReLU(n_out)
        self.repeats = -(-n_out // n_in)

    def forward(self, images: Tensor) -> Tensor:
        x = self.convolution(images)
        repeated = images.repeat(1, self.repeats, *[1] * (images.ndim - 2))[:, : x.shape[1]]
        return self.activation(x + repeated)


class VNet(EncoderDecoder):
    """Maps ``(B, C, [Z,] Y, X)`` to logits ``(B, K, [Z,] Y, X)``.

    Parameters
    ----------
    in_channels, n_classes : int
    parameters : VNetParameters
    dimensions : {2, 3}
    halvings : int
        1 to 4; how often the resolution is halved.
    """

    def __init__(
        self, *, in_channels: int, n_classes: int, parameters: VNetParameters, dimensions: int = 3, halvings: int = 4
    ) -> None:
        super().__init__()
        base, rate = parameters.base_channels, parameters.dropout
        self.multiple = 2**halvings
        self.first = _First(dimensions, in_channels, base)
        self.down = nn.ModuleList(
            DownTransition(
                dimensions,
                base * 2**level,
                _CONVOLUTIONS_DOWN[level],
                "prelu",
                dropout_prob=rate if _DROPS[level] and rate else None,
                dropout_dim=dimensions,
            )
            for level in range(halvings)
        )
        self.up = nn.ModuleList(
            UpTransition(
                dimensions,
                base * 2 ** (level + 1) * (1 if level == halvings - 1 else 2),
                base * 2 ** (level + 1),
                _CONVOLUTIONS_UP[level],
                "prelu",
                dropout_prob=(rate if _DROPS[level] and rate else None, rate),
                dropout_dim=dimensions,
            )
            for level in reversed(range(halvings))
        )
        self.head = CONVOLUTION[dimensions](2 * base, n_classes, 1)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the features of every stage, finest first."""
        self.check_size(images)
        features = [self.first(images)]
        for stage in self.down:
            features.append(stage(features[-1]))
        return features

    def expand(self, features: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the last stage gives."""
        *skips, x = features
        for stage, skip in zip(self.up, reversed(skips), strict=True):
            x = stage(x, skip)
        return x, ()

    def classify(self, embedding: Tensor) -> Tensor:
        """1×1×1 convolution."""
        return self.head(embedding)


def build(*, in_channels: int, n_classes: int, parameters: VNetParameters, dimensions: int = 2) -> VNet:
    """Build the network with random weights."""
    return VNet(in_channels=in_channels, n_classes=n_classes, parameters=parameters, dimensions=dimensions)
