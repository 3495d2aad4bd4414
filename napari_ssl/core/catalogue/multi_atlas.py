"""Catalogue entries of ``multi-atlas``: the strategy, and the set of atlases in the place of a network."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssl.core.catalogue.base import NetworkEntry, NoParameters, StrategyEntry
from napari_ssl.core.parameters import parameter, validate

__all__ = ["ENTRY", "NETWORK", "MultiAtlasParameters"]

_BAI = "Bai et al., MICCAI 2017, Sec. 3.3"
_OURS = "project default; benchmarks/atlas.py"
_PAPER = (
    "Bai et al., A probabilistic patch-based label fusion model for multi-atlas segmentation with registration "
    "refinement, IEEE TMI 2013; a substitute for the program that Bai et al., MICCAI 2017 compare with"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiAtlasParameters:
    """Parameters of ``multi-atlas``. Nothing is trained; they decide which atlases there are and how they are used."""

    atlases: int = parameter(20, "Labelled cases used as atlases (0: all)", low=0, high=1000, source=_OURS)
    frames_per_case: int = parameter(
        2, "Labelled frames of each (2: ED and ES; 0: all)", low=0, high=1000, source=f"{_BAI}: ED and ES"
    )
    selected: int = parameter(
        10,
        "Atlas frames that are deformed and fused, the most similar to the target (0: all)",
        low=0,
        high=2000,
        source=_OURS,
    )
    metric: str = parameter(
        "mattes", "Similarity of the affine registration", choices=("mattes", "correlation"), source=_OURS
    )
    finest_mm: float = parameter(
        2.0, "In-plane pixel at which the registration ends", unit="mm", low=0.5, high=20, source=_OURS
    )
    grid_mm: float = parameter(
        20.0, "In-plane distance of the B-spline's control points", unit="mm", low=4, high=200, source=_OURS
    )
    smoothness: float = parameter(
        0.5, "Weight α of the deformation's roughness", low=0, high=1000, source="Rueckert 1999 has the term; " + _OURS
    )
    iterations: int = parameter(40, "Iterations of the optimiser per level", low=1, high=1000, source=_OURS)
    search_slices: float = parameter(
        0.0, "Shift along the stack that is tried (0: the stacks' centres coincide)", unit="slices", low=0, high=10,
        source=_OURS,
    )  # fmt: skip
    fusion: str = parameter(
        "correlation", "Label fusion", choices=("correlation", "majority"), source=f"{_BAI}: cross-correlation"
    )
    patch_radius: int = parameter(3, "Radius of the patches", unit="pixel", low=1, high=20, source=_OURS)
    search_radius: int = parameter(1, "Radius of the search for patches", unit="pixel", low=0, high=10, source=_OURS)
    gamma: float = parameter(4.0, "Exponent γ of the correlation", low=0, high=100, source=_OURS)

    def __post_init__(self) -> None:
        validate(self)


ENTRY = StrategyEntry(
    name="multi-atlas",
    title="Multi-atlas label fusion",
    sentence="Registers labelled cases to each new image and lets their labels vote; no network, slow to predict.",
    paper=_PAPER,
    parameters=MultiAtlasParameters,
    module="napari_ssl.strategies.multi_atlas:MultiAtlasFusion",
    network="multi-atlas",
    uses_unlabelled=False,
    presets={
        "paper": {"atlases": 80, "selected": 0},
        "quick": {"atlases": 10, "selected": 5, "finest_mm": 3.0, "iterations": 20},
    },
)

NETWORK = NetworkEntry(
    name="multi-atlas",
    title="Set of atlases",
    sentence="Labelled images that are registered to the target; for the strategy of the same name alone.",
    paper=_PAPER,
    parameters=NoParameters,
    module="napari_ssl.networks.multi_atlas:build",
    dimensions=(2, 3),
)
