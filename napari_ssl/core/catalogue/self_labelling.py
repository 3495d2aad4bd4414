"""Catalogue entry of ``self-labelling`` (Zhu and Tian 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssl.core.catalogue.base import FitParameters, Share, StrategyEntry
from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import parameter, validate

__all__ = ["ENTRY", "SelfLabellingParameters"]

_ZHU = "Zhu and Tian, FLARE 2022"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfLabellingParameters(FitParameters):
    """Parameters of ``self-labelling``; defaults as published where the paper states them."""

    loss: str = parameter(
        "dice-cross-entropy", "Loss", choices=("cross-entropy", "dice-cross-entropy"), source=f"{_ZHU}, Sec. 2.2"
    )
    optimiser: str = parameter("adam", "Optimiser", choices=("sgd", "adam", "adamw"), source=f"{_ZHU}, Table 2")
    learning_rate: float = parameter(1e-3, "Learning rate", low=1e-7, high=1, source=f"{_ZHU}, Table 2")
    weight_decay: float = parameter(0.0, "Weight decay", low=0, high=1, source="not stated in the paper")
    schedule: str = parameter(
        "poly", "Learning-rate schedule", choices=("constant", "poly", "cosine"), source=f"{_ZHU}, Table 2: power 0.9"
    )
    batch_size: int = parameter(18, "Slices per optimiser step", low=1, high=512, source=f"{_ZHU}, Table 2")
    augmentation: str = parameter(
        "strong",
        "Augmentation",
        choices=("none", "paper", "strong", "rotation-flips", "albumentations"),
        source=f"strong: hearts are not to be mirrored; rotation-flips: {_ZHU}, Sec. 3.2",
    )
    first_phase: str = parameter("1000 epochs", "Training on the labelled cases", source=f"{_ZHU}, Table 2")
    second_phase: str = parameter(
        "100 epochs", "Training on labelled and pseudo-labelled cases", source=f"{_ZHU}, Table 3; 50 in Sec. 3.2"
    )
    from_scratch: bool = parameter(
        True, "Begin the second phase with random weights", source=f"{_ZHU}, Sec. 2.2; else with those of the first"
    )
    lam: float = parameter(
        1.0, "Weight of the pseudo-labelled cases", low=0, high=10, source=f"{_ZHU}, Sec. 2.2: all count alike"
    )
    frames_per_case: int = parameter(
        2,
        "Frames of each unlabelled case (2: ED and ES; 0: all)",
        low=0,
        high=1000,
        source="the paper's volumes have one",
    )
    warm_start: bool = parameter(
        False, "Take the study's promoted model instead of the first phase", source="clinician's version"
    )

    def __post_init__(self) -> None:
        validate(self)
        for duration in (self.first_phase, self.second_phase):
            Duration.parse(duration)


ENTRY = StrategyEntry(
    name="self-labelling",
    title="Self-labelling",
    sentence="Labels the unlabelled cases once and trains anew on all of them.",
    paper="Zhu and Tian, A simple self-labeling method for semi-supervised medical image segmentation, FLARE 2022",
    parameters=SelfLabellingParameters,
    module="napari_ssl.strategies.self_labelling:SelfLabelling",
    network="res-unet",
    uses_unlabelled=True,
    presets={
        "paper": {"augmentation": "rotation-flips", "keep": "best"},
        "quick": {
            "first_phase": "400 iterations",
            "second_phase": "400 iterations",
            "optimiser": "adamw",
            "learning_rate": 5e-4,
            "weight_decay": 1e-4,
            "from_scratch": False,
            "warm_start": True,
        },
    },
    preset_network={"paper": "swin-unet"},
    preset_preprocessing={
        "paper": {
            "dimensions": 2,
            "crop_yx": (224, 224),
            "pixel_spacing_mm": 1.8,
            "intensity": "z-score",
            "low_percentile": 0.0,
            "high_percentile": 95.0,
        }
    },
    budget={"first_phase": Share(fraction=0.5, first=True), "second_phase": Share(fraction=0.5)},
)
