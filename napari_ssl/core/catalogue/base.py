"""What catalogue entries are made of, and the parameters that several share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_ssl.core.parameters import from_mapping, parameter, validate
from napari_ssl.errors import CatalogueError

__all__ = [
    "CRFParameters",
    "FitParameters",
    "NetworkEntry",
    "NoParameters",
    "PolicyEntry",
    "Share",
    "StrategyEntry",
    "by_name",
    "choose",
    "preset_values",
]

_BAI = "Bai et al., MICCAI 2017"


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
    beta1: float = parameter(
        0.9, "Decay β₁ of the first moment (Adam, AdamW)", low=0, high=0.999, source="Kingma and Ba, ICLR 2015"
    )
    weight_decay: float = parameter(1e-4, "Weight decay", low=0, high=1, source="project default")
    schedule: str = parameter(
        "poly", "Learning-rate schedule", choices=("constant", "poly", "cosine"), source="Isensee et al. 2021"
    )
    batch_size: int = parameter(20, "Slices per optimiser step", low=1, high=512, source=f"{_BAI}, Sec. 3.2")
    augmentation: str = parameter(
        "strong",
        "Augmentation",
        choices=("none", "paper", "strong", "rotation-flips", "albumentations"),
        source="paper: translation, rotation, scaling, intensity (Bai 2017); strong: as in nnU-Net; rotation-flips: "
        "Zhu 2022; albumentations: Baldeon Calisto 2022. The last two mirror, which turns a heart's sides round",
    )
    deep_supervision: float = parameter(
        0.5,
        "Weight of auxiliary outputs, w^k for the k-th (networks with deep supervision)",
        low=0,
        high=1,
        source="Isensee et al. 2021",
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
class NoParameters:
    """For what has nothing to set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEntry:
    """One architecture. `module` names a function ``build(*, in_channels, n_classes, parameters, dimensions)``.

    `dimensions` says which images it takes: 2 for slices, 3 for volumes.
    """

    name: str
    title: str
    sentence: str
    paper: str
    parameters: type
    module: str
    dimensions: tuple[int, ...] = (2,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Part of a total number of steps that a stage gets.

    `times` names the parameter that says how often it is run; a `first` stage is left out where the run begins with a
    model (``warm_start``).
    """

    fraction: float
    times: str = ""
    first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyEntry:
    """One training strategy. `module` names a class with ``run(self, lab)``, made with its parameters.

    A preset may also bring a network and values of `napari_ssl.core.preprocessing.Preprocessing` that differ from the
    study's. `supervised_arms` are values of the parameter ``arm`` that leave the unlabelled cases alone.
    `budget` says how a comparison divides a total of steps among the duration parameters
    (`napari_ssl.core.catalogue.budget`).
    """

    name: str
    title: str
    sentence: str
    paper: str
    parameters: type
    module: str
    network: str
    uses_unlabelled: bool
    uses_qc: bool = False
    supervised_arms: tuple[str, ...] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preset_network: Mapping[str, str] = field(default_factory=dict)
    preset_preprocessing: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    budget: Mapping[str, Share] = field(default_factory=dict)

    def learns_from_unlabelled(self, values: Mapping[str, Any]) -> bool:
        """Whether unlabelled cases take part with these parameter values."""
        return self.uses_unlabelled and values.get("arm") not in self.supervised_arms


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEntry:
    """Who answers when a strategy asks for review."""

    name: str
    title: str
    sentence: str
    parameters: type


def by_name(*entries: Any) -> dict[str, Any]:
    """Table of entries; CatalogueError when a name is there twice."""
    table: dict[str, Any] = {}
    for entry in entries:
        if entry.name in table:
            raise CatalogueError(f"{entry.name!r} is in the catalogue twice")
        table[entry.name] = entry
    return table


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
