"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math

import torch
from torch import nn

from napari_ssl.core.catalogue import FitParameters
from napari_ssl.errors import CatalogueError

__all__ = ["build_optimiser", "learning_rate"]


def build_optimiser(network: nn.Module, parameters: FitParameters) -> torch.optim.Optimizer:
    """Return SGD, Adam or AdamW over all parameters of the network."""
    weights = network.parameters()
    lr, decay = parameters.learning_rate, parameters.weight_decay
    if parameters.optimiser == "sgd":
        return torch.optim.SGD(weights, lr=lr, momentum=parameters.momentum, weight_decay=decay, fused=True)
    betas = (parameters.beta1, 0.999)
    if parameters.optimiser == "adam":
        return torch.optim.Adam(weights, lr=lr, betas=betas, weight_decay=decay, fused=True)
    if parameters.optimiser == "adamw":
        return torch.optim.AdamW(weights, lr=lr, betas=betas, weight_decay=decay, fused=True)
    raise CatalogueError(f"no optimiser {parameters.optimiser!r}; there are: sgd, adam, adamw")


def learning_rate(parameters: FitParameters, iteration: int, iterations: int) -> float:
    """Return the learning rate of step `iteration` (from 0) of `iterations`.

    ``poly`` falls as (1 − i/n)^0.9 (Isensee et al. 2021), ``cosine`` as half a cosine to 0.
    """
    done = iteration / max(1, iterations)
    if parameters.schedule == "constant":
        return parameters.learning_rate
    if parameters.schedule == "poly":
        return parameters.learning_rate * (1 - done) ** 0.9
    if parameters.schedule == "cosine":
        return parameters.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    raise CatalogueError(f"no schedule {parameters.schedule!r}; there are: constant, poly, cosine")
