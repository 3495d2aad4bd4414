"""Catalogue entry of ``weak-to-strong`` (Yang et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssl.core.catalogue.base import FitParameters, StrategyEntry
from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import parameter, validate

__all__ = ["ENTRY", "WeakToStrongParameters"]

_UNIMATCH = "Yang et al., CVPR 2023"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakToStrongParameters(FitParameters):
    """Parameters of ``weak-to-strong``."""

    batch_size: int = parameter(12, "Labelled slices per optimiser step", low=1, high=512, source=_UNIMATCH)
    duration: str = parameter("30000 iterations", "Length of training", source="public ACDC protocol")
    warm_start: bool = parameter(
        False, "Begin with the study's promoted model instead of random weights", source="clinician's version"
    )
    unlabelled_batch: int = parameter(12, "Unlabelled slices per optimiser step", low=1, high=512, source=_UNIMATCH)
    unlabelled_weight: float = parameter(
        1.0, "Weight of the unlabelled loss, beside 1 of the labelled", low=0, high=10, source=f"{_UNIMATCH}, Eq. 1"
    )
    threshold: float = parameter(
        0.95, "Confidence τ from which a pixel's label counts", low=0, high=0.9999, source=f"{_UNIMATCH}, Sec. 4"
    )
    cutmix: float = parameter(0.5, "Probability of CutMix in a strong view", low=0, high=1, source=_UNIMATCH)
    feature_dropout: float = parameter(
        0.5, "Share of the encoder's channels dropped in the perturbed stream", low=0, high=0.95, source=_UNIMATCH
    )
    warm_up: int = parameter(
        0,
        "Steps over which the unlabelled weight rises to its value",
        low=0,
        high=1000000,
        source="none in the paper",
    )
    frames_per_case: int = parameter(
        2, "Frames of each unlabelled case (2: ED and ES; 0: all)", low=0, high=1000, source="ED and ES on ACDC"
    )

    def __post_init__(self) -> None:
        validate(self)
        Duration.parse(self.duration)


ENTRY = StrategyEntry(
    name="weak-to-strong",
    title="Weak-to-strong consistency",
    sentence="What the network is sure of on an untouched image it must also see on distorted ones.",
    paper="Yang et al., Revisiting weak-to-strong consistency in semi-supervised semantic segmentation, CVPR 2023",
    parameters=WeakToStrongParameters,
    module="napari_ssl.strategies.weak_to_strong:WeakToStrong",
    network="res-unet",
    uses_unlabelled=True,
    presets={
        "paper": {"optimiser": "sgd", "learning_rate": 0.01, "schedule": "poly", "augmentation": "paper"},
        "quick": {"duration": "400 iterations", "learning_rate": 5e-4, "warm_start": True},
    },
)
