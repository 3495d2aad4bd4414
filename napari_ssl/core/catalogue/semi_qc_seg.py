"""Catalogue entry of ``semi-qc-seg`` (Ruijsink 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssl.core.catalogue.base import FitParameters, Share, StrategyEntry
from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import parameter, validate

__all__ = ["ENTRY", "SUPERVISED_ARMS", "SemiQcSegParameters"]

SUPERVISED_ARMS = ("full", "half")

_PAPER = "Ruijsink et al. 2020"


@dataclass(frozen=True, slots=True, kw_only=True)
class SemiQcSegParameters(FitParameters):
    """Parameters of ``semi-qc-seg``."""

    arm: str = parameter(
        "qc",
        "Which cases join the training set: full, half: none; without-qc: random ones; qc: the best in class",
        choices=("full", "half", "without-qc", "without-qc-crf", "qc"),
        source=f"{_PAPER}, Sec. 3.2 (1) to (5)",
    )
    n_cases: int = parameter(
        30, "Cases that join the training set, N", low=1, high=100000, source=f"{_PAPER}, Sec. 3.1"
    )
    selection: str = parameter(
        "best-in-class",
        "How the N cases are chosen from the ranking",
        choices=("best-in-class", "balanced-groups", "balanced-difficulty"),
        source=f"best-in-class: {_PAPER}, Sec. 3.1; balanced ones so that easy cases do not crowd out hard ones",
    )
    evidence: str = parameter(
        "curves",
        "What ranks the cases of arm qc: their volume curves; a committee, the Dice with a second network that is "
        "trained from other random weights; or the committee among the cases whose curves pass",
        choices=("curves", "committee", "both"),
        source=f"curves: {_PAPER}, Sec. 3.1; committee: Lakshminarayanan et al., NeurIPS 2017, see qc.predicted_dice",
    )
    labelled_share: float = parameter(
        1.0,
        "Share of the labelled subjects that every arm but full uses",
        low=0.01,
        high=1,
        source=f"0.5 in the experiment of {_PAPER}; all where a study wants the best network",
    )
    duration: str = parameter("2000 epochs", "Length of each training", source=f"{_PAPER}, Sec. 3.2")
    rounds: int = parameter(
        1, "Times that the pool is labelled, selected from and trained on", low=1, high=20, source=f"{_PAPER}, Sec. 5"
    )
    frames_per_case: int = parameter(
        0, "Frames of each case that joins (0: all)", low=0, high=1000, source=f"all: {_PAPER}, Sec. 3.1"
    )
    warm_start: bool = parameter(
        False,
        "Label the pool with the study's promoted model and go on from it, instead of training from scratch",
        source="clinician's version",
    )

    def __post_init__(self) -> None:
        validate(self)
        Duration.parse(self.duration)


ENTRY = StrategyEntry(
    name="semi-qc-seg",
    title="Quality-controlled self-training",
    sentence="Labels whole cycles, lets quality control rank them by their volume curves, and learns from the best.",
    paper="Ruijsink et al., Quality-aware semi-supervised learning for CMR segmentation, STACOM 2020",
    parameters=SemiQcSegParameters,
    module="napari_ssl.strategies.semi_qc_seg:SemiQcSeg",
    network="res-unet",
    uses_unlabelled=True,
    supervised_arms=SUPERVISED_ARMS,
    uses_qc=True,
    budget={"duration": Share(fraction=1.0)},
    presets={
        "paper": {"labelled_share": 0.5},
        "quick": {"duration": "400 iterations", "learning_rate": 5e-4, "warm_start": True, "frames_per_case": 8},
    },
)
