"""Random numbers of augmentation: always drawn on the CPU, so that a run repeats on any device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["chosen", "normal", "per_sample", "uniform"]


def normal(shape: tuple[int, ...], sd: float, generator: torch.Generator) -> Tensor:
    """Normal draws, cut at three standard deviations."""
    return torch.randn(shape, generator=generator).clamp_(-3, 3) * sd


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Even draws between two limits."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def chosen(n: int, probability: float, generator: torch.Generator, device: torch.device) -> Tensor:
    """Return the indices of the samples that an effect is applied to."""
    return torch.nonzero(torch.rand(n, generator=generator) < probability)[:, 0].to(device)


def per_sample(n: int, low: float, high: float, generator: torch.Generator, device: torch.device) -> Tensor:
    """Even draws ``(n, 1, 1, 1)``, one a sample."""
    return uniform((n,), low, high, generator).to(device)[:, None, None, None]
