"""Everything there is to choose from: strategies, networks and policies with parameters, presets and papers.

The window and the command line read this and nothing else; the code behind an entry is found through `module`
(``package.module:name``), so that listing what there is imports no torch. A new strategy is one file and one entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import from_mapping, parameter, validate
from napari_ssl.errors import CatalogueError

__all__ = [
    "NETWORKS",
    "POLICIES",
    "STRATEGIES",
    "AlternatingCrfParameters",
    "CRFParameters",
    "Fcn17Parameters",
    "FitParameters",
    "NetworkEntry",
    "OracleParameters",
    "PolicyEntry",
    "ResUNetParameters",
    "StrategyEntry",
    "SupervisedParameters",
    "choose",
    "preset_values",
]

_BAI = "Bai et al., MICCAI 2017"
_MONAI = "MONAI UNet; Kerfoot et al., STACOM 2018"


@dataclass(frozen=True, slots=True, kw_only=True)
class CRFParameters:
    """The fully connected CRF of Bai 2017, Eqs. 3 and 4."""

    w1: float = parameter(1.0, "Weight of the bilateral kernel w₁", low=0, high=100, source=f"{_BAI}, Sec. 3.2")
    w2: float = parameter(2.0, "Weight of the smoothness kernel w₂", low=0, high=100, source=f"{_BAI}, Sec. 3.2")
    sigma_alpha: float = parameter(
        0.5, "Position scale of the bilateral kernel σα", unit="pixel", low=0.01, high=200, source=f"{_BAI}, Sec. 3.2"
    )
    sigma_beta: float = parameter(
        1.0, "Intensity scale of the bilateral kernel σβ", low=0.001, high=1000, source=f"{_BAI}, Sec. 3.2"
    )
    sigma_gamma: float = parameter(
        1.0, "Position scale of the smoothness kernel σγ", unit="pixel", low=0.01, high=200, source=f"{_BAI}, Sec. 3.2"
    )
    intensity_range: float = parameter(
        255.0,
        "Intensities [0, 1] are multiplied by this before σβ applies",
        low=1,
        high=4096,
        source="open in the paper; 8-bit grey values as in the authors' CRF library",
    )
    normalisation: str = parameter(
        "symmetric",
        "Normalisation of the kernels",
        choices=("symmetric", "none"),
        source="open: Eq. 4 has none, the program of the paper's reference [6] normalises; see refinement/crf",
    )
    iterations: int = parameter(5, "Mean-field iterations", low=1, high=100, source="open in the paper")
    backend: str = parameter(
        "auto",
        "Program",
        choices=("auto", "pydensecrf", "torch"),
        source="pydensecrf where it is installed, else torch (exact sums); benchmarks/crf.py says how they agree",
    )
    region: str = parameter(
        "auto",
        "What is refined",
        choices=("auto", "uncertain", "whole"),
        source="auto: the undecided neighbourhood for narrow kernels, whole slices for wide ones",
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitParameters:
    """How the one training loop optimises; every strategy's parameters extend these."""

    loss: str = parameter(
        "dice-cross-entropy", "Loss", choices=("cross-entropy", "dice-cross-entropy"), source="Isensee et al. 2021"
    )
    optimiser: str = parameter("adamw", "Optimiser", choices=("sgd", "adam", "adamw"), source="project default")
    learning_rate: float = parameter(1e-3, "Learning rate", low=1e-7, high=1, source="project default")
    momentum: float = parameter(0.9, "Momentum (SGD)", low=0, high=0.999, source="open in Bai 2017")
    weight_decay: float = parameter(1e-4, "Weight decay", low=0, high=1, source="project default")
    schedule: str = parameter(
        "poly", "Learning-rate schedule", choices=("constant", "poly", "cosine"), source="Isensee et al. 2021"
    )
    batch_size: int = parameter(20, "Slices per optimiser step", low=1, high=512, source=f"{_BAI}, Sec. 3.2")
    augmentation: str = parameter(
        "strong",
        "Augmentation",
        choices=("none", "paper", "strong"),
        source="paper: translation, rotation, scaling, intensity (Bai 2017); strong: as in nnU-Net",
    )
    precision: str = parameter(
        "auto", "Arithmetic", choices=("auto", "float32", "mixed"), source="auto: mixed on CUDA, float32 on CPUs"
    )
    validate_every: int = parameter(
        100, "Validate every", unit="iterations", low=1, high=100000, source="project default"
    )
    patience: int = parameter(
        0,
        "Stop early after so many validations without a better Dice (0: never)",
        low=0,
        high=1000,
        source="project default",
    )
    keep: str = parameter(
        "last", "Weights that are kept", choices=("last", "best"), source="last, so that validation does not select"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedParameters(FitParameters):
    """Parameters of ``supervised``."""

    duration: str = parameter("2000 iterations", "Length of training", source="project default")
    from_scratch: bool = parameter(True, "Start from random weights", source="Ruijsink et al. 2020, Sec. 3.2")

    def __post_init__(self) -> None:
        validate(self)
        Duration.parse(self.duration)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ResUNetParameters:
    """The residual U-Net of MONAI."""

    base_channels: int = parameter(16, "Channels of the first level", low=2, high=128, source=_MONAI)
    levels: int = parameter(5, "Levels (channels double at each)", low=3, high=6, source=_MONAI)
    residual_units: int = parameter(2, "Convolutions in a residual unit", low=1, high=4, source=_MONAI)
    normalisation: str = parameter("batch", "Normalisation", choices=("batch", "instance"), source="open; see methods")
    dropout: float = parameter(0.0, "Dropout", low=0, high=0.9, source="project default")

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fcn17Parameters:
    """The VGG-like fully convolutional network of Bai 2017, Fig. 1."""

    base_channels: int = parameter(
        16, "Channels of the first block", low=2, high=128, source="public reference of the authors"
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleParameters:
    """A stand-in for the clinician that knows the reference."""

    accept_dice: float = parameter(0.9, "Accept above this mean Dice", low=0, high=1, source="project default")
    correct_cases: int = parameter(
        3, "Correct so many of the other cases, the worst first", low=0, high=100000, source="project default"
    )
    review_cases: int = parameter(
        0, "Look at so many cases and leave the rest undecided (0: all)", low=0, high=1000000, source="project default"
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoParameters:
    """For what has nothing to set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEntry:
    """One architecture. `module` names a function ``build(*, in_channels, n_classes, parameters)``."""

    name: str
    title: str
    sentence: str
    paper: str
    parameters: type
    module: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyEntry:
    """One training strategy. `module` names a class with ``run(self, lab)``, made with its parameters."""

    name: str
    title: str
    sentence: str
    paper: str
    parameters: type
    module: str
    network: str
    uses_unlabelled: bool
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEntry:
    """Who answers when a strategy asks for review."""

    name: str
    title: str
    sentence: str
    parameters: type


def _by_name(*entries: Any) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for entry in entries:
        if entry.name in table:
            raise CatalogueError(f"{entry.name!r} is in the catalogue twice")
        table[entry.name] = entry
    return table


NETWORKS: Mapping[str, NetworkEntry] = _by_name(
    NetworkEntry(
        name="res-unet",
        title="Residual U-Net",
        sentence="U-Net whose stages are residual units; fast and robust, the default.",
        paper=_MONAI,
        parameters=ResUNetParameters,
        module="napari_ssl.networks.res_unet:build",
    ),
    NetworkEntry(
        name="fcn17",
        title="VGG-like FCN",
        sentence="Seventeen convolutions; features of five scales upsampled to full resolution and joined.",
        paper=_BAI,
        parameters=Fcn17Parameters,
        module="napari_ssl.networks.fcn17:build",
    ),
)

STRATEGIES: Mapping[str, StrategyEntry] = _by_name(
    StrategyEntry(
        name="supervised",
        title="Supervised",
        sentence="Trains on the labelled, accepted and corrected cases alone.",
        paper="the baseline that semi-supervised methods are compared with",
        parameters=SupervisedParameters,
        module="napari_ssl.strategies.supervised:Supervised",
        network="res-unet",
        uses_unlabelled=False,
        presets={
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
    ),
    StrategyEntry(
        name="alternating-crf",
        title="Alternating update with CRF",
        sentence="Labels the unlabelled cases, refines them with a CRF, learns from both, and repeats.",
        paper="Bai et al., Semi-supervised learning for network-based cardiac MR image segmentation, MICCAI 2017",
        parameters=AlternatingCrfParameters,
        module="napari_ssl.strategies.alternating_crf:AlternatingCrf",
        network="res-unet",
        uses_unlabelled=True,
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
    ),
)

POLICIES: Mapping[str, PolicyEntry] = _by_name(
    PolicyEntry(
        name="accept-all",
        title="Accept all",
        sentence="Every pseudo-label is used, as in the published algorithms.",
        parameters=NoParameters,
    ),
    PolicyEntry(
        name="oracle",
        title="Oracle",
        sentence="Knows the reference: accepts good labels, corrects the worst, rejects the rest. For experiments.",
        parameters=OracleParameters,
    ),
    PolicyEntry(
        name="clinician",
        title="Clinician",
        sentence="The run waits until a reader has decided about its pseudo-labels.",
        parameters=NoParameters,
    ),
)


def choose(table: Mapping[str, Any], name: str, what: str) -> Any:
    """Return the entry called `name`; CatalogueError lists the names there are."""
    if name not in table:
        raise CatalogueError(f"no {what} {name!r}; there are: {', '.join(table)}")
    return table[name]


def preset_values(entry: StrategyEntry, preset: str | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the full, validated parameter values of a strategy: defaults, then the preset, then `overrides`."""
    values = dict(choose(entry.presets, preset, f"preset of {entry.name}")) if preset else {}
    parameters = from_mapping(entry.parameters, {**values, **overrides})
    return {name: getattr(parameters, name) for name in parameters.__dataclass_fields__}
