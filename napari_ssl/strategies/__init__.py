"""One paper a file. A strategy is a short program over the durable steps of the lab (`strategies.lab`)."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

from napari_ssl.core.catalogue import STRATEGIES, choose
from napari_ssl.core.parameters import from_mapping
from napari_ssl.strategies.lab import Lab, Theta

__all__ = ["Lab", "Strategy", "Theta", "make_strategy"]


class Strategy(Protocol):
    """What every strategy is: made with its parameters, run in a lab, returns the weights it ends with."""

    def __init__(self, parameters: Any) -> None: ...

    def run(self, lab: Lab) -> Theta:
        """Carry out the published algorithm."""
        ...


def make_strategy(name: str, values: dict[str, Any]) -> Strategy:
    """Return the strategy of the catalogue called `name` with these parameter values; CatalogueError otherwise."""
    entry = choose(STRATEGIES, name, "strategy")
    module, _, attribute = entry.module.partition(":")
    return getattr(import_module(module), attribute)(from_mapping(entry.parameters, values))
