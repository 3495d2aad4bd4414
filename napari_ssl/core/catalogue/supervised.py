"""Catalogue entry of ``supervised``."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssl.core.catalogue.base import FitParameters, StrategyEntry
from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import parameter, validate

__all__ = ["ENTRY", "SupervisedParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedParameters(FitParameters):
    """Parameters of ``supervised``."""

    duration: str = parameter("2000 iterations", "Length of training", source="project default")
    from_scratch: bool = parameter(True, "Start from random weights", source="Ruijsink et al. 2020, Sec. 3.2")

    def __post_init__(self) -> None:
        validate(self)
        Duration.parse(self.duration)


ENTRY = StrategyEntry(
    name="supervised",
    title="Supervised",
    sentence="Trains on the labelled, accepted and corrected cases alone.",
    paper="the baseline that semi-supervised methods are compared with",
    parameters=SupervisedParameters,
    module="napari_ssl.strategies.supervised:Supervised",
    network="res-unet",
    uses_unlabelled=False,
    preset_network={"strong": "dyn-unet"},
    presets={
        "strong": {"optimiser": "sgd", "learning_rate": 0.01, "momentum": 0.99, "weight_decay": 3e-5},
        "quick": {"duration": "400 iterations", "from_scratch": False, "learning_rate": 5e-4},
        "paper": {
            "duration": "500 epochs",
            "loss": "cross-entropy",
            "optimiser": "sgd",
            "learning_rate": 1e-3,
            "schedule": "constant",
            "augmentation": "paper",
            "weight_decay": 0.0,
        },
    },
)
