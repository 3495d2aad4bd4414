"""Catalogue entry of ``asdnet`` (Nie 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssl.core.catalogue.base import FitParameters, StrategyEntry
from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import parameter, validate

__all__ = ["ARMS", "ENTRY", "SUPERVISED_ARMS", "AsdNetParameters"]

_NIE = "Nie et al., MICCAI 2018"
_HUNG = "Hung et al., BMVC 2018 (public reference)"
_BAUR = "Baur et al., MICCAI 2017 (public reference)"

ARMS = (
    "dice",
    "attention",
    "attention+cnn",
    "attention+fcn",
    "semi-fcn",
    "semi-embed",
    "semi-without-adversarial",
    "proposed",
)
"""Rows of the paper's Table 2; V-Net and SVNet are networks."""

SUPERVISED_ARMS = ("dice", "attention", "attention+cnn", "attention+fcn")


@dataclass(frozen=True, slots=True, kw_only=True)
class AsdNetParameters(FitParameters):
    """Parameters of ``asdnet``; defaults as published where the paper states them."""

    arm: str = parameter("proposed", "Arm of the paper's comparison", choices=ARMS, source=f"{_NIE}, Table 2")
    loss: str = parameter(
        "generalised-dice",
        "Loss on labels, before the attention",
        choices=("generalised-dice", "dice-cross-entropy", "cross-entropy"),
        source=f"{_NIE}, Eq. 1; Sudre et al. 2017",
    )
    beta: float = parameter(2.0, "Sample attention β", low=0, high=5, source=f"{_NIE}, Eq. 2")
    lambda_1: float = parameter(
        0.03, "Weight λ₁ of the adversarial term", low=0, high=10, source=f"{_NIE}, Eq. 7, Sec. 2.3"
    )
    lambda_2: float = parameter(
        0.3, "Weight λ₂ of the semi-supervised term", low=0, high=10, source=f"{_NIE}, Eq. 7, Sec. 2.3"
    )
    gamma: float = parameter(
        0.2, "Confidence γ above which a region is learnt from", low=0, high=1, source=f"open in the paper; {_HUNG}"
    )
    warm_up: float = parameter(
        0.25,
        "Share of the training before the semi-supervised term",
        low=0,
        high=1,
        source=f"open in the paper; 5,000 of 20,000 steps in {_HUNG}",
    )
    optimiser: str = parameter("adam", "Optimiser", choices=("sgd", "adam", "adamw"), source=f"{_NIE}, Sec. 2.4")
    learning_rate: float = parameter(
        1e-3, "Learning rate of the segmentation network", low=1e-7, high=1, source=f"{_NIE}, Sec. 2.4"
    )
    discriminator_learning_rate: float = parameter(
        1e-4, "Learning rate of the discriminator", low=1e-7, high=1, source=f"{_NIE}, Sec. 2.4"
    )
    weight_decay: float = parameter(1e-4, "Weight decay, of both networks", low=0, high=1, source=f"{_NIE}, Sec. 2.4")
    schedule: str = parameter(
        "step",
        "Learning-rate schedule (step: a tenth every so many epochs)",
        choices=("step", "constant", "poly", "cosine"),
        source=f"{_NIE}, Sec. 2.4",
    )
    decay_epochs: int = parameter(
        3, "Epochs after which the learning rate is divided by 10", low=1, high=10000, source=f"{_NIE}, Sec. 2.4"
    )
    patches_per_epoch: int = parameter(
        5250,
        "Patches (or slices) in an epoch",
        low=1,
        high=10**8,
        source="open in the paper; 35 volumes of 256×256×150 in patches of 64×64×16 side by side",
    )
    duration: str = parameter(
        "12 epochs", "Length of training", source="open in the paper; four rates, after which nothing is learnt"
    )
    batch_size: int = parameter(
        8, "Patches per optimiser step", low=1, high=512, source="open in the paper; two for each of its four devices"
    )
    unlabelled_batch: int = parameter(
        8, "Unlabelled patches per optimiser step", low=1, high=512, source="open in the paper; as many as labelled"
    )
    augmentation: str = parameter(
        "none", "Augmentation", choices=("none", "paper", "strong"), source="none in the paper"
    )
    xavier: bool = parameter(True, "Random weights after Xavier, biases 0", source=f"{_NIE}, Sec. 2.4")
    discriminator_channels: int = parameter(
        64, "Channels of the discriminator's first convolution", low=2, high=256, source=f"open in the paper; {_HUNG}"
    )
    label_smoothing: float = parameter(
        0.0,
        "Certainty taken off the labels that the discriminator sees",
        low=0,
        high=0.5,
        source="0 in the paper; above, it cannot tell labels by their sharpness alone",
    )
    frames_per_case: int = parameter(
        2, "Frames of each unlabelled case (2: ED and ES; 0: all)", low=0, high=1000, source="the paper has volumes"
    )
    warm_start: bool = parameter(
        False, "Begin with the study's promoted model instead of random weights", source="clinician's version"
    )
    alternations: int = parameter(3, "semi-fcn: alternations", low=1, high=20, source="Bai et al., MICCAI 2017")
    alternation_share: float = parameter(
        0.375,
        "semi-fcn: share of the training that the alternations get together",
        low=0.01,
        high=0.99,
        source="300 of 800 epochs in Bai et al., MICCAI 2017, Sec. 3.2",
    )
    lam: float = parameter(
        1.0, "semi-fcn: weight λ of the pseudo-labels", low=0, high=10, source="Bai et al., MICCAI 2017, Eq. 2"
    )
    crf: bool = parameter(True, "semi-fcn: refine label maps with the CRF", source="Bai et al., MICCAI 2017, Sec. 2.2")
    embed_weight: float = parameter(1.0, "semi-embed: weight of the embedding loss", low=0, high=1000, source="open")
    embed_features: int = parameter(100, "semi-embed: features drawn of each set", low=2, high=5000, source=f"{_BAUR}")
    embed_background: float = parameter(
        0.8, "semi-embed: share of features of the background", low=0, high=1, source=f"{_BAUR}"
    )
    embed_margin: float = parameter(
        0.5, "semi-embed: margin between features of different classes, of π", low=0, high=1, source=f"{_BAUR}"
    )

    def __post_init__(self) -> None:
        validate(self)
        Duration.parse(self.duration)


ENTRY = StrategyEntry(
    name="asdnet",
    title="Adversarial confidence (ASDNet)",
    sentence="A second network learns where labels can be trusted; unlabelled images are learnt from there alone.",
    paper="Nie et al., ASDNet: Attention based semi-supervised deep networks for medical image …, MICCAI 2018",
    parameters=AsdNetParameters,
    module="napari_ssl.strategies.asdnet:AsdNet",
    network="res-unet",
    uses_unlabelled=True,
    supervised_arms=SUPERVISED_ARMS,
    preset_network={"paper": "svnet", "paper-2d": "svnet"},
    preset_preprocessing={"paper": {"dimensions": 3, "crop_yx": (64, 64), "patch_z": 16}},
    presets={
        "paper": {},
        "paper-2d": {},
        "quick": {
            "duration": "600 iterations",
            "schedule": "poly",
            "optimiser": "adamw",
            "learning_rate": 5e-4,
            "loss": "dice-cross-entropy",
            "beta": 0.5,
            "label_smoothing": 0.1,
            "augmentation": "strong",
            "batch_size": 12,
            "unlabelled_batch": 8,
            "discriminator_channels": 16,
            "discriminator_learning_rate": 2e-4,
            "warm_start": True,
            "xavier": False,
        },
    },
)
