"""The 2D U-Net of Baldeon Calisto, FLARE 2022 (Sec. 2.1, Fig. 2), also in 3D.

Five modules down, four up, each of two units (3×3 convolution, batch normalisation, ReLU); 1×1 convolutions after the
last and the second-last module up, the latter for deep supervision. Kaiming-uniform initialisation (Table 2). The
backbone is that of Ronneberger et al., MICCAI 2015.

Open in the paper, settled here
    The widths, which only 6.98 M parameters and 9.07 GFLOPs (Tables 2 and 3; 256×256, 14 classes) tell of. FLOPs are
    multiply-adds, as the counter that the challenge names counts them: were they counted twice, five modules of two
    3×3 convolutions could not hold 6.98 M parameters at so few. Widths 32, 64, 128, 256, 512 with transposed 2×2
    convolutions and long connections that *add* (as in the author's earlier networks) have 6.98 M parameters to the
    last digit, and their 3×3 convolutions alone cost 9.08 G; with the transposed ones and the heads it is 9.66 G.
    Concatenation gives 7.76 M and 12.08 G. The default, 28 instead of 32 channels in the finest module, has 6.97 M
    and 9.16 G with everything counted that prediction computes.
    2×2 max pooling between the modules down.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_ssl.core.catalogue import UNetParameters
from napari_ssl.networks.encoder_decoder import EncoderDecoder
from napari_ssl.networks.layers import CONVOLUTION, MAX_POOL, UP_CONVOLUTION, channel_list, convolution_unit

__all__ = ["UNet", "build"]


class _Up(nn.Module):
    """Transposed convolution, the long connection, two units."""

    def __init__(self, dimensions: int, n_in: int, n_out: int, *, adds: bool) -> None:
        super().__init__()
        self.adds = adds
        self.enlarge = UP_CONVOLUTION[dimensions](n_in, n_out, 2, stride=2)
        self.units = nn.Sequential(
            convolution_unit(dimensions, n_out if adds else 2 * n_out, n_out),
            convolution_unit(dimensions, n_out, n_out),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.enlarge(x)
        return self.units(x + skip if self.adds else torch.cat([skip, x], dim=1))


class UNet(EncoderDecoder):
    """Maps ``(B, C, [Z,] Y, X)`` to logits ``(B, K, [Z,] Y, X)``, in training with those of half the size.

    Parameters
    ----------
    in_channels, n_classes : int
    parameters : UNetParameters
    dimensions : {2, 3}
    """

    def __init__(self, *, in_channels: int, n_classes: int, parameters: UNetParameters, dimensions: int = 2) -> None:
        super().__init__()
        widths = channel_list(parameters.channels, low=3, high=7)
        self.multiple = 2 ** (len(widths) - 1)
        self.pool = MAX_POOL[dimensions](2)
        self.down = nn.ModuleList(
            nn.Sequential(convolution_unit(dimensions, n_in, n_out), convolution_unit(dimensions, n_out, n_out))
            for n_in, n_out in zip((in_channels, *widths), widths, strict=False)
        )
        adds = parameters.long_connections == "add"
        self.up = nn.ModuleList(
            _Up(dimensions, n_in, n_out, adds=adds) for n_in, n_out in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = CONVOLUTION[dimensions](widths[0], n_classes, 1)
        self.auxiliary_head = CONVOLUTION[dimensions](widths[1], n_classes, 1) if parameters.deep_supervision else None
        self.apply(_initialise)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the features of every module down, finest first."""
        self.check_size(images)
        features = [self.down[0](images)]
        for module in self.down[1:]:
            features.append(module(self.pool(features[-1])))
        return features

    def expand(self, features: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the last module up gives and, in training, the logits of the second-last."""
        *skips, x = features
        auxiliary: tuple[Tensor, ...] = ()
        for level, (module, skip) in enumerate(zip(self.up, reversed(skips), strict=True)):
            x = module(x, skip)
            if level == len(self.up) - 2 and self.training and self.auxiliary_head is not None:
                auxiliary = (self.auxiliary_head(x),)
        return x, auxiliary

    def classify(self, embedding: Tensor) -> Tensor:
        """1×1 convolution."""
        return self.head(embedding)


def _initialise(module: nn.Module) -> None:
    """Kaiming uniform, biases 0 (Table 2)."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(*, in_channels: int, n_classes: int, parameters: UNetParameters, dimensions: int = 2) -> UNet:
    """Build the network with random weights."""
    return UNet(in_channels=in_channels, n_classes=n_classes, parameters=parameters, dimensions=dimensions)
