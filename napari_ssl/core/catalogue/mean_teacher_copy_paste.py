"""Catalogue entry of ``mean-teacher-copy-paste`` (Bai et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssl.core.catalogue.base import FitParameters, Share, StrategyEntry
from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import parameter, validate

__all__ = ["ENTRY", "MeanTeacherCopyPasteParameters"]

_BCP = "Bai et al., CVPR 2023"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanTeacherCopyPasteParameters(FitParameters):
    """Parameters of ``mean-teacher-copy-paste``."""

    batch_size: int = parameter(12, "Labelled slices per optimiser step", low=2, high=512, source=f"{_BCP}, Sec. 4.1")
    initial: str = parameter("10000 iterations", "Training on labelled pairs first", source=f"{_BCP}, Sec. 4.1")
    duration: str = parameter("30000 iterations", "Training with the teacher", source=f"{_BCP}, Sec. 4.1")
    warm_start: bool = parameter(
        False, "Begin with the study's promoted model instead of the first training", source="clinician's version"
    )
    unlabelled_batch: int = parameter(12, "Unlabelled slices per optimiser step", low=2, high=512, source=_BCP)
    unlabelled_weight: float = parameter(
        0.5, "Weight α of unlabelled pixels", low=0, high=10, source=f"{_BCP}, Sec. 4.1"
    )
    box: float = parameter(
        2 / 3, "Side of the pasted box, share of the image's", low=0.05, high=0.95, source=f"{_BCP}, β in Sec. 4.1"
    )
    ema: float = parameter(0.99, "Smoothing λ of the teacher's moving average", low=0, high=0.9999, source=_BCP)
    largest_component: bool = parameter(
        True, "Keep the largest component of each structure in the teacher's label maps", source=f"{_BCP}, Sec. 3.3"
    )
    frames_per_case: int = parameter(
        2, "Frames of each unlabelled case (2: ED and ES; 0: all)", low=0, high=1000, source="ED and ES in the paper"
    )
    deployed: str = parameter(
        "teacher", "Network that is kept", choices=("teacher", "student"), source="student in the authors' program"
    )

    def __post_init__(self) -> None:
        validate(self)
        for duration in (self.initial, self.duration):
            Duration.parse(duration)


ENTRY = StrategyEntry(
    name="mean-teacher-copy-paste",
    title="Mean teacher with copy-paste",
    sentence="Pastes labelled hearts into unlabelled images and back; a slowly moving teacher labels the rest.",
    paper="Bai et al., Bidirectional copy-paste for semi-supervised medical image segmentation, CVPR 2023",
    parameters=MeanTeacherCopyPasteParameters,
    module="napari_ssl.strategies.mean_teacher_copy_paste:MeanTeacherCopyPaste",
    network="res-unet",
    uses_unlabelled=True,
    budget={"initial": Share(fraction=0.5, first=True), "duration": Share(fraction=0.5)},
    presets={
        "paper": {
            "optimiser": "sgd",
            "learning_rate": 0.01,
            "schedule": "constant",
            "deployed": "student",
        },
        "quick": {
            "initial": "400 iterations",
            "duration": "400 iterations",
            "learning_rate": 5e-4,
            "warm_start": True,
        },
    },
)
