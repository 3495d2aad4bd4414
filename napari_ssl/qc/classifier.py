"""The classifier of curves: one dense layer, then three LSTM layers (Ruijsink et al. 2020, Sec. 3.1).

The paper leaves open the width, the direction and what follows the LSTM. Here: `width` units in every layer, forward in
time, and one linear unit over the mean and the largest value of the states of the whole cycle, so that a frame at fault
counts wherever it lies (the last state alone: figures in `benchmarks/quality.py`). The logit is positive for good.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["CurveClassifier", "new_classifier"]


class CurveClassifier(nn.Module):
    """Maps ``(B, L, C)`` curves and their ``(B,)`` lengths to ``(B,)`` logits of being good.

    ``baseline`` ``(L, C)`` is the mean of the good training curves: what explanations compare with.
    """

    def __init__(self, n_channels: int, width: int, n_points: int) -> None:
        super().__init__()
        self.dense = nn.Linear(n_channels, width)
        self.lstm = nn.LSTM(width, width, num_layers=3, batch_first=True)
        self.output = nn.Linear(2 * width, 1)
        self._begin_by_remembering()
        self.register_buffer("baseline", torch.zeros(n_points, n_channels))

    def _begin_by_remembering(self) -> None:
        """Forget gates begin open and recurrent weights orthogonal: the layers learn sooner (Jozefowicz 2015)."""
        width = self.lstm.hidden_size
        for layer in range(self.lstm.num_layers):
            recurrent = getattr(self.lstm, f"weight_hh_l{layer}")
            for gate in range(4):
                nn.init.orthogonal_(recurrent.data[gate * width : (gate + 1) * width])
            for name in ("bias_ih", "bias_hh"):
                nn.init.zeros_(getattr(self.lstm, f"{name}_l{layer}"))
            getattr(self.lstm, f"bias_ih_l{layer}").data[width : 2 * width] = 1.0

    def forward(self, curves: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Classify; without `lengths` all points count."""
        states, _ = self.lstm(torch.relu(self.dense(curves)))
        if lengths is None:
            return self.output(torch.cat([states.mean(dim=1), states.amax(dim=1)], dim=1)).squeeze(1)
        counts = torch.arange(states.shape[1], device=states.device)[None] < lengths[:, None]
        mean = (states * counts[..., None]).sum(dim=1) / lengths[:, None]
        largest = states.masked_fill(~counts[..., None], -torch.inf).amax(dim=1)
        return self.output(torch.cat([mean, largest], dim=1)).squeeze(1)


def new_classifier(n_channels: int, width: int, n_points: int, seed: int) -> CurveClassifier:
    """Return a classifier with random weights that the seed alone decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CurveClassifier(n_channels, width, n_points)
