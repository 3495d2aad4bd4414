"""Several networks that vote softly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["EnsembleNetwork"]

_SMALLEST = 1e-12


class EnsembleNetwork(nn.Module):
    """Log of the mean softmax of its members, whose softmax in turn is that mean.

    Parameters
    ----------
    members : sequence of nn.Module
        Networks with the same classes.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, …)`` to logits ``(B, K, …)`` float32."""
        mean = torch.stack([member(x).float().softmax(dim=1) for member in self.members]).mean(dim=0)
        return mean.clamp_min(_SMALLEST).log()
