"""The VGG-like fully convolutional network of Bai et al., MICCAI 2017, Fig. 1 and Sec. 2.3.

Five blocks of [2, 2, 3, 3, 3] 3×3 convolutions, the first of each later block with a stride of 2; features of every
scale → 1×1 convolution → bilinear upsampling by 2^l → concatenation → 1×1 convolutions → logits. Batch normalisation
and ReLU after each convolution but the last; no bias in convolutions.

Departures
----------
The paper's figure leaves channel numbers of the joint part open; 32 a scale and 64 twice come from the authors' public
code. With another `base_channels` b these scale along: 2b and 4b.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_ssl.core.catalogue import Fcn17Parameters
from napari_ssl.networks.padding import run_padded

__all__ = ["Fcn17", "build"]

_CONVOLUTIONS = (2, 2, 3, 3, 3)


def _unit(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


class Fcn17(nn.Module):
    """Maps ``(B, C, Y, X)`` to logits ``(B, K, Y, X)``; any size.

    Parameters
    ----------
    in_channels, n_classes : int
    parameters : Fcn17Parameters
    """

    def __init__(self, *, in_channels: int, n_classes: int, parameters: Fcn17Parameters) -> None:
        super().__init__()
        base = parameters.base_channels
        self.blocks = nn.ModuleList()
        self.same = nn.ModuleList()
        n_in = in_channels
        for level, n_convolutions in enumerate(_CONVOLUTIONS):
            n_out = base * 2**level
            units = [_unit(n_in, n_out, 3, stride=1 if level == 0 else 2)]
            units += [_unit(n_out, n_out, 3) for _ in range(n_convolutions - 1)]
            self.blocks.append(nn.Sequential(*units))
            self.same.append(_unit(n_out, 2 * base, 1))
            n_in = n_out
        self.join = nn.Sequential(_unit(2 * base * len(_CONVOLUTIONS), 4 * base, 1), _unit(4 * base, 4 * base, 1))
        self.classify = nn.Conv2d(4 * base, n_classes, 1, bias=False)
        self.multiple = 2 ** (len(_CONVOLUTIONS) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, Y, X)`` to logits ``(B, K, Y, X)``."""
        return run_padded(self._forward, x, self.multiple)

    def _forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        scales = []
        for level, (block, same) in enumerate(zip(self.blocks, self.same, strict=True)):
            x = block(x)
            features = same(x)
            if level:
                features = functional.interpolate(features, size=size, mode="bilinear", align_corners=False)
            scales.append(features)
        return self.classify(self.join(torch.cat(scales, dim=1)))


def build(*, in_channels: int, n_classes: int, parameters: Fcn17Parameters, dimensions: int = 2) -> Fcn17:
    """Build the network with random weights; it knows slices alone, `dimensions` is always 2."""
    return Fcn17(in_channels=in_channels, n_classes=n_classes, parameters=parameters)
