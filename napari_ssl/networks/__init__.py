"""Architectures, one a file; `build_network` finds them through the catalogue.

Every network maps ``(B, C, Y, X)`` float images of any size to logits ``(B, K, Y, X)``; those with three dimensions
``(B, C, Z, Y, X)`` to ``(B, K, Z, Y, X)``. In training mode one with deep supervision gives a tuple: the logits, then
auxiliary logits of lower resolution; in evaluation mode every network gives one tensor.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from napari_ssl.core.catalogue import DEPLOYABLE, NETWORKS, choose
from napari_ssl.core.parameters import from_mapping
from napari_ssl.errors import CatalogueError
from napari_ssl.networks.weights import load_weights, save_weights

__all__ = ["build_network", "load_weights", "save_weights"]


def build_network(
    name: str,
    *,
    in_channels: int = 1,
    n_classes: int,
    parameters: Mapping[str, Any] | None = None,
    dimensions: int = 2,
) -> nn.Module:
    """Build a network of the catalogue with random weights (from torch's global generator; seed it first).

    Parameters
    ----------
    name : str
        A name in `napari_ssl.core.catalogue.DEPLOYABLE`.
    in_channels, n_classes : int
        Channels of the image; classes, background included.
    parameters : mapping, optional
        Plain values of the network's parameter type; what is absent takes its default.
    dimensions : {2, 3}
        Of the images: slices or volumes.

    Raises
    ------
    CatalogueError
        Unknown network or parameter, a value outside its limits, or dimensions that the network does not offer.
    """
    entry = choose(DEPLOYABLE, name, "network")
    if dimensions not in entry.dimensions:
        others = ", ".join(n for n, e in NETWORKS.items() if dimensions in e.dimensions) or "none"
        raise CatalogueError(
            f"network {name!r} does not take images of {dimensions} dimensions; those that do: {others}"
        )
    module, _, function = entry.module.partition(":")
    build = getattr(importlib.import_module(module), function)
    return build(
        in_channels=in_channels,
        n_classes=n_classes,
        parameters=from_mapping(entry.parameters, dict(parameters or {})),
        dimensions=dimensions,
    )
