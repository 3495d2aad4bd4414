"""Architectures, one a file; `build_network` finds them through the catalogue.

Every network maps ``(B, C, Y, X)`` float images in [0, 1] of any size to logits ``(B, K, Y, X)``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from napari_ssl.core.catalogue import NETWORKS, choose
from napari_ssl.core.parameters import from_mapping
from napari_ssl.networks.weights import load_weights, save_weights

__all__ = ["build_network", "load_weights", "save_weights"]


def build_network(
    name: str, *, in_channels: int = 1, n_classes: int, parameters: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a network of the catalogue with random weights (from torch's global generator; seed it first).

    Parameters
    ----------
    name : str
        A name in `napari_ssl.core.catalogue.NETWORKS`.
    in_channels, n_classes : int
        Channels of the image; classes, background included.
    parameters : mapping, optional
        Plain values of the network's parameter type; what is absent takes its default.

    Raises
    ------
    CatalogueError
        Unknown network or parameter, or a value outside its limits.
    """
    entry = choose(NETWORKS, name, "network")
    module, _, function = entry.module.partition(":")
    build = getattr(importlib.import_module(module), function)
    return build(
        in_channels=in_channels, n_classes=n_classes, parameters=from_mapping(entry.parameters, dict(parameters or {}))
    )
