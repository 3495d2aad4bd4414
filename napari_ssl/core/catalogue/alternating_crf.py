"""Catalogue entry of ``alternating-crf`` (Bai 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssl.core.catalogue.base import FitParameters, Share, StrategyEntry
from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import parameter, validate

__all__ = ["ENTRY", "AlternatingCrfParameters"]

_BAI = "Bai et al., MICCAI 2017"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlternatingCrfParameters(FitParameters):
    """Parameters of ``alternating-crf``; defaults as published where the paper states them."""

    loss: str = parameter(
        "cross-entropy", "Loss", choices=("cross-entropy", "dice-cross-entropy"), source=f"{_BAI}, Eq. 1"
    )
    optimiser: str = parameter("sgd", "Optimiser", choices=("sgd", "adam", "adamw"), source=f"{_BAI}, Sec. 3.2")
    learning_rate: float = parameter(1e-3, "Learning rate", low=1e-7, high=1, source=f"{_BAI}, Sec. 3.2")
    weight_decay: float = parameter(0.0, "Weight decay", low=0, high=1, source="not stated in the paper")
    schedule: str = parameter(
        "constant", "Learning-rate schedule", choices=("constant", "poly", "cosine"), source="none in the paper"
    )
    augmentation: str = parameter(
        "paper", "Augmentation", choices=("none", "paper", "strong"), source=f"{_BAI}, Sec. 3.2"
    )
    initial: str = parameter("500 epochs", "Supervised training first", source=f"{_BAI}, Sec. 3.2")
    alternations: int = parameter(3, "Alternations", low=1, high=20, source=f"{_BAI}, Sec. 3.2")
    per_alternation: str = parameter("100 epochs", "Training in each alternation", source=f"{_BAI}, Sec. 3.2")
    lam: float = parameter(1.0, "Weight λ of the unlabelled term", low=0, high=10, source=f"{_BAI}, Eq. 2, Sec. 3.2")
    frames_per_case: int = parameter(
        2, "Frames of each unlabelled case (2: ED and ES; 0: all)", low=0, high=1000, source=f"{_BAI}, Sec. 3.1"
    )
    warm_start: bool = parameter(
        False, "Begin with the study's promoted model instead of the supervised training", source="clinician's version"
    )
    crf: bool = parameter(True, "Refine label maps with the CRF", source=f"{_BAI}, Sec. 2.2")
    w1: float = parameter(1.0, "CRF: weight of the bilateral kernel w₁", low=0, high=100, source=f"{_BAI}, Sec. 3.2")
    w2: float = parameter(2.0, "CRF: weight of the smoothness kernel w₂", low=0, high=100, source=f"{_BAI}, Sec. 3.2")
    sigma_alpha: float = parameter(0.5, "CRF: σα", unit="pixel", low=0.01, high=200, source=f"{_BAI}, Sec. 3.2")
    sigma_beta: float = parameter(1.0, "CRF: σβ", low=0.001, high=1000, source=f"{_BAI}, Sec. 3.2")
    sigma_gamma: float = parameter(1.0, "CRF: σγ", unit="pixel", low=0.01, high=200, source=f"{_BAI}, Sec. 3.2")
    crf_normalisation: str = parameter(
        "symmetric", "CRF: normalisation of the kernels", choices=("symmetric", "none"), source="as CRFParameters"
    )
    crf_iterations: int = parameter(5, "CRF: mean-field iterations", low=1, high=100, source="open in the paper")

    def __post_init__(self) -> None:
        validate(self)
        for duration in (self.initial, self.per_alternation):
            Duration.parse(duration)


ENTRY = StrategyEntry(
    name="alternating-crf",
    title="Alternating update with CRF",
    sentence="Labels the unlabelled cases, refines them with a CRF, learns from both, and repeats.",
    paper="Bai et al., Semi-supervised learning for network-based cardiac MR image segmentation, MICCAI 2017",
    parameters=AlternatingCrfParameters,
    module="napari_ssl.strategies.alternating_crf:AlternatingCrf",
    network="res-unet",
    uses_unlabelled=True,
    budget={"initial": Share(fraction=0.6, first=True), "per_alternation": Share(fraction=0.4, times="alternations")},
    presets={
        "paper": {},
        "quick": {
            "initial": "400 iterations",
            "per_alternation": "150 iterations",
            "optimiser": "adamw",
            "schedule": "poly",
            "loss": "dice-cross-entropy",
            "augmentation": "strong",
            "learning_rate": 5e-4,
            "weight_decay": 1e-4,
            "warm_start": True,
        },
    },
)
