"""Networks rewritten for prediction alone, to the same values in less time.

Batch normalisation is folded into the convolution before it: one pass over memory less for each. On a CPU a transposed
convolution that doubles the size and gives few channels is done as a convolution of four times as many at the old size
(Shi et al., CVPR 2016, Sec. 3.2), for which the CPU's vectors are long enough.

Nothing needs to be known about a network: a small input is sent through a copy to see which normalisation gets exactly
what a convolution gave; the folded copy is used only if it then gives the same values.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

__all__ = ["folded"]

_TOLERANCE = 1e-3
_SIDE = 32
_FEW = 8


def folded(network: nn.Module, dimensions: int) -> nn.Module:
    """Return a copy in which each normalisation that follows a convolution is folded into its weights.

    The argument itself where there is nothing to gain, the small input does not pass, or the results would differ.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    dimensions : {2, 3}
        2 for ``(B, 1, Y, X)``, 3 for ``(B, 1, Z, Y, X)``.
    """
    if not any(isinstance(m, _BatchNorm) or _is_slow(m) for m in network.modules()):
        return network
    device = next(network.parameters()).device
    values = torch.Generator().manual_seed(0)
    probe = torch.rand(1, 1, *(_SIDE,) * dimensions, generator=values).to(device)
    twin = copy.deepcopy(network)
    try:
        with torch.no_grad():
            expected, pairs = _observed(twin, probe)
            for convolution, normalisation in pairs:
                _fold(convolution, normalisation)
            doubling = [m for m in twin.modules() if _is_slow(m)]
            for module in doubling:
                module.forward = _SubPixel(module)
            result = twin(probe)
    except (RuntimeError, ValueError):  # a network with demands on its input: it predicts as it is
        return network
    scale = float(expected.abs().max()) + 1.0
    is_same = bool(torch.isfinite(result).all()) and float((result - expected).abs().max()) <= _TOLERANCE * scale
    return twin if (pairs or doubling) and is_same else network


def _observed(network: nn.Module, probe: Tensor) -> tuple[Tensor, list[tuple[nn.Module, _BatchNorm]]]:
    """Run once; return the output, and the pairs in which a normalisation takes what one convolution gives."""
    gave: dict[int, tuple[nn.Module, Tensor]] = {}
    calls: dict[nn.Module, int] = {}
    pairs: list[tuple[nn.Module, _BatchNorm]] = []

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, _BatchNorm):
            if id(inputs[0]) in gave and module.track_running_stats:
                pairs.append((gave[id(inputs[0])][0], module))
        else:
            gave[id(output)] = (module, output)  # kept alive, so that the identity stays its own

    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, _BatchNorm)
    handles = [m.register_forward_hook(after) for m in network.modules() if isinstance(m, kinds)]
    output = network(probe)
    for handle in handles:
        handle.remove()
    return output, [(c, n) for c, n in pairs if calls[c] == calls[n] == 1]


def _fold(convolution: Any, normalisation: _BatchNorm) -> None:
    """Give the convolution the weights of both, and let the normalisation do nothing."""
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        normalisation.running_mean,
        normalisation.running_var,
        normalisation.eps,
        normalisation.weight,
        normalisation.bias,
        transpose=isinstance(convolution, nn.ConvTranspose2d | nn.ConvTranspose3d),
    )
    normalisation.forward = _unchanged


def _unchanged(x: Tensor) -> Tensor:
    return x


def _is_slow(module: nn.Module) -> bool:
    """Whether a layer doubles the size by a transposed 3×3 convolution to few channels, on a CPU."""
    return (
        type(module) is nn.ConvTranspose2d
        and module.weight.device.type == "cpu"
        and module.out_channels < _FEW
        and (module.kernel_size, module.stride, module.padding) == ((3, 3), (2, 2), (1, 1))
        and (module.output_padding, module.dilation, module.groups) == ((1, 1), (1, 1), 1)
    )


class _SubPixel:
    """Even pixels see one tap of the kernel along an axis, odd ones the two others: 2×2 taps for four pixels."""

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        taps = layer.weight.transpose(0, 1)  # (out, in, 3, 3)
        rows = torch.stack([functional.pad(taps[:, :, 1:2], (0, 0, 0, 1)), taps[:, :, [2, 0]]], dim=1)
        both = torch.stack([functional.pad(rows[..., 1:2], (0, 1)), rows[..., [2, 0]]], dim=2)
        self._weight = both.flatten(0, 2).contiguous(memory_format=torch.channels_last)  # (out·2·2, in, 2, 2)
        self._bias = None if layer.bias is None else layer.bias.repeat_interleave(4)

    def __call__(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        del output_size  # the layer's own output_padding has been checked
        finer = functional.pixel_shuffle(functional.conv2d(x, self._weight, self._bias, padding=1), 2)
        return finer[..., 2:, 2:]
