"""The same layers with less arithmetic on a CPU; parameters, names of weights and results stay as they were.

torch's PReLU writes a gradient of the slope for every pixel before it adds them up, and its batch normalisation goes
through few interleaved channels (channels last) one value at a time. Together they are a tenth of a training step of
the residual U-Net on a CPU (`benchmarks/training.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["OneSlopePReLU", "PlanarBatchNorm2d", "quicken"]

_FEW = 8


class _OneSlope(torch.autograd.Function):
    """y = max(x, 0) + a min(x, 0) with one slope a; ∂L/∂a = Σ g · min(x, 0)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.slope = float(slope.detach())
        ctx.save_for_backward(x)
        return functional.leaky_relu(x, ctx.slope)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (x,) = ctx.saved_tensors
        of_x = torch.ops.aten.leaky_relu_backward(gradient, x, ctx.slope, False)
        return of_x, x.clamp(max=0).mul_(gradient).sum().reshape(1)


class OneSlopePReLU(nn.PReLU):
    """PReLU with one slope for all channels."""

    def forward(self, x: Tensor) -> Tensor:
        """As `torch.nn.PReLU`."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or torch.compiler.is_compiling():
            return super().forward(x)
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            return _OneSlope.apply(x, self.weight)
        return functional.leaky_relu(x, float(self.weight))


class PlanarBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that takes few channels plane by plane, however they lie in memory."""

    def forward(self, x: Tensor) -> Tensor:
        """As `torch.nn.BatchNorm2d`; the result lies in memory as `x` does."""
        is_interleaved = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        if not (self.training and x.device.type == "cpu" and is_interleaved):
            return super().forward(x)
        return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)


def quicken(network: nn.Module) -> None:
    """Exchange the layers of a network for those of this module where they gain from it."""
    for module in network.modules():
        if type(module) is nn.PReLU and module.num_parameters == 1:
            module.__class__ = OneSlopePReLU
        elif type(module) is nn.BatchNorm2d and module.num_features < _FEW:
            module.__class__ = PlanarBatchNorm2d
