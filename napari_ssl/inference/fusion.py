"""Batch normalisation folded into the convolution before it, for prediction alone: one pass over memory less for each.

Nothing needs to be known about a network: a small input is sent through a copy to see which normalisation gets exactly
what a convolution gave; the folded copy is used only if it then gives the same values.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

__all__ = ["folded"]

_TOLERANCE = 1e-3
_SIDE = 32


def folded(network: nn.Module, dimensions: int) -> nn.Module:
    """Return a copy in which each normalisation that follows a convolution is folded into its weights.

    The argument itself where there is nothing to fold, the small input does not pass, or the results would differ.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    dimensions : {2, 3}
        2 for ``(B, 1, Y, X)``, 3 for ``(B, 1, Z, Y, X)``.
    """
    if not any(isinstance(m, _BatchNorm) for m in network.modules()):
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
            result = twin(probe)
    except (RuntimeError, ValueError):  # a network with demands on its input: it predicts as it is
        return network
    scale = float(expected.abs().max()) + 1.0
    is_same = bool(torch.isfinite(result).all()) and float((result - expected).abs().max()) <= _TOLERANCE * scale
    return twin if pairs and is_same else network


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
