"""DSResUNet: a U-Net of residual blocks with deep supervision, the baseline that Nie et al., MICCAI 2018 (Table 1),
compare with.

Built after Yu et al.: Volumetric ConvNets with mixed residual connections for automated prostate segmentation from 3D
MR images, AAAI 2017: short residual connections around two convolutions each, long ones that add encoder to decoder,
and auxiliary classifiers at lower resolutions of the decoder.

Open, settled here
    Nie et al. describe it by its name alone, and no public implementation is known under it. Channels 16 to 128 over
    four levels and three halvings, as SVNet, so that patches of 64×64×16 will do; 2×2×2 max pooling, transposed
    convolutions of stride 2; auxiliary classifiers at a half and a quarter of the resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from napari_ssl.core.catalogue import DSResUNetParameters
from napari_ssl.networks.encoder_decoder import EncoderDecoder
from napari_ssl.networks.layers import BATCH_NORM, CONVOLUTION, MAX_POOL, UP_CONVOLUTION, convolution_unit

__all__ = ["DSResUNet", "build"]


class _Residual(nn.Module):
    """Two convolutions with a short connection, 1×1 where the number of channels changes."""

    def __init__(self, dimensions: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            convolution_unit(dimensions, n_in, n_out),
            CONVOLUTION[dimensions](n_out, n_out, 3, padding=1, bias=False),
            BATCH_NORM[dimensions](n_out),
        )
        self.short = nn.Identity() if n_in == n_out else CONVOLUTION[dimensions](n_in, n_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.convolutions(x) + self.short(x))


class DSResUNet(EncoderDecoder):
    """Maps ``(B, C, [Z,] Y, X)`` to logits ``(B, K, [Z,] Y, X)``, in training with those of 1/2 and 1/4 of the size.

    Parameters
    ----------
    in_channels, n_classes : int
    parameters : DSResUNetParameters
    dimensions : {2, 3}
    """

    def __init__(
        self, *, in_channels: int, n_classes: int, parameters: DSResUNetParameters, dimensions: int = 3
    ) -> None:
        super().__init__()
        widths = [parameters.base_channels * 2**level for level in range(parameters.levels)]
        self.multiple = 2 ** (parameters.levels - 1)
        self.pool = MAX_POOL[dimensions](2)
        self.down = nn.ModuleList(
            _Residual(dimensions, n_in, n_out) for n_in, n_out in zip((in_channels, *widths), widths, strict=False)
        )
        self.enlarge = nn.ModuleList(
            UP_CONVOLUTION[dimensions](fine * 2, fine, 2, stride=2) for fine in reversed(widths[:-1])
        )
        self.up = nn.ModuleList(_Residual(dimensions, fine, fine) for fine in reversed(widths[:-1]))
        self.head = CONVOLUTION[dimensions](widths[0], n_classes, 1)
        self.auxiliary_heads = nn.ModuleList(
            CONVOLUTION[dimensions](width, n_classes, 1) for width in widths[1:3][: parameters.levels - 2]
        )

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the features of every level, finest first."""
        self.check_size(images)
        features = [self.down[0](images)]
        for block in self.down[1:]:
            features.append(block(self.pool(features[-1])))
        return features

    def expand(self, features: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the last block gives and, in training, the logits of the blocks before, finest first."""
        *skips, x = features
        auxiliary: list[Tensor] = []
        for n, (enlarge, block, skip) in enumerate(zip(self.enlarge, self.up, reversed(skips), strict=True)):
            x = block(enlarge(x) + skip)
            level = len(skips) - 1 - n
            if self.training and 1 <= level <= len(self.auxiliary_heads):
                auxiliary.insert(0, self.auxiliary_heads[level - 1](x))
        return x, tuple(auxiliary)

    def classify(self, embedding: Tensor) -> Tensor:
        """1×1×1 convolution."""
        return self.head(embedding)


def build(*, in_channels: int, n_classes: int, parameters: DSResUNetParameters, dimensions: int = 2) -> DSResUNet:
    """Build the network with random weights."""
    return DSResUNet(in_channels=in_channels, n_classes=n_classes, parameters=parameters, dimensions=dimensions)
