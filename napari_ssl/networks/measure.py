"""How large a network is and how much it computes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_flops", "count_parameters"]


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable numbers."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_flops(network: nn.Module, shape: Sequence[int]) -> int:
    """Return the multiply-adds of one forward pass in evaluation mode over an input of `shape` ``(B, C, [Z,] Y, X)``.

    Convolutions and matrix products are counted; normalisations, activations and interpolations are not. A
    multiply-add counts once, as in the papers of this field: what they call FLOPs. Nothing is computed.
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        shadow(torch.empty(*shape, device="meta"))
    return counter.get_total_flops() // 2
