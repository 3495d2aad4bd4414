"""Catalogue entry of ``teacher-student`` (Baldeon Calisto 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssl.core.catalogue.base import FitParameters, Share, StrategyEntry
from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import parameter, validate
from napari_ssl.errors import CatalogueError

__all__ = ["ENTRY", "TeacherStudentParameters"]

_BALDEON = "Baldeon Calisto, FLARE 2022"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherStudentParameters(FitParameters):
    """Parameters of ``teacher-student``; defaults as published where the paper states them."""

    loss: str = parameter(
        "weighted-dice-cross-entropy",
        "Loss",
        choices=("weighted-dice-cross-entropy", "cross-entropy", "dice-cross-entropy"),
        source=f"{_BALDEON}, Eq. 1",
    )
    beta: float = parameter(
        0.65, "β: weight of Dice, 1 − β of cross-entropy, in the weighted loss", low=0, high=1, source=_BALDEON
    )
    optimiser: str = parameter("adam", "Optimiser", choices=("sgd", "adam", "adamw"), source=f"{_BALDEON}, Table 2")
    beta1: float = parameter(
        0.5, "Decay β₁ of the first moment (Adam)", low=0, high=0.999, source=f"{_BALDEON}, Table 2"
    )
    learning_rate: float = parameter(
        2e-4, "Learning rate of the teachers", low=1e-7, high=1, source=f"{_BALDEON}, Table 2"
    )
    weight_decay: float = parameter(0.0, "Weight decay", low=0, high=1, source="not stated in the paper")
    batch_size: int = parameter(
        40, "Slices per optimiser step of the teachers", low=1, high=512, source=f"{_BALDEON}, Table 2"
    )
    augmentation: str = parameter(
        "strong",
        "Augmentation of labelled images",
        choices=("none", "paper", "strong", "rotation-flips", "albumentations"),
        source=f"strong: hearts are not to be mirrored; albumentations: {_BALDEON}, Sec. 3.4",
    )
    deep_supervision: float = parameter(
        0.1, "Weight of the auxiliary output", low=0, high=1, source=f"{_BALDEON}, Sec. 2.1"
    )
    folds: int = parameter(5, "Folds of the labelled subjects", low=2, high=20, source=f"{_BALDEON}, Sec. 2.1")
    best: int = parameter(
        3, "Networks that form the teacher, the best on their held-out folds", low=1, high=20, source=_BALDEON
    )
    teacher_duration: str = parameter("3000 epochs", "Training of each teacher", source=f"{_BALDEON}, Table 2")
    student_duration: str = parameter(
        "400 epochs",
        "Training of the student",
        source=f"{_BALDEON}, Table 3: 200 epochs, each step of which is two updates",
    )
    student_batch_size: int = parameter(
        0,
        "Slices per optimiser step of the student (0: as the teachers)",
        low=0,
        high=512,
        source=f"20 in {_BALDEON}, Table 3",
    )
    student_learning_rate: float = parameter(
        0.0,
        "Learning rate of the student (0: as the teachers)",
        low=0,
        high=1,
        source=f"1e-5 in {_BALDEON}, Table 3",
    )
    pseudo_labels: str = parameter(
        "hard",
        "Pseudo-labels: the teacher's arg-max or its probabilities",
        choices=("hard", "soft"),
        source="open in the paper",
    )
    l1_weight: float = parameter(
        0.35, "Weight of the L1 term on unlabelled images", low=0, high=10, source=f"{_BALDEON}, Eq. 2: 1 − β"
    )
    unlabelled_weight: float = parameter(
        1.0,
        "Weight of the loss on unlabelled images (0: they are left out)",
        low=0,
        high=10,
        source=f"{_BALDEON}, Eq. 2",
    )
    frames_per_case: int = parameter(
        2,
        "Frames of each unlabelled case (2: ED and ES; 0: all)",
        low=0,
        high=1000,
        source="the paper's volumes have one",
    )
    warm_start: bool = parameter(
        False, "The student begins with the study's promoted model", source="clinician's version"
    )

    def __post_init__(self) -> None:
        validate(self)
        for duration in (self.teacher_duration, self.student_duration):
            Duration.parse(duration)
        if self.best > self.folds:
            raise CatalogueError(f"best must not be more than folds, which is {self.folds}; got {self.best}")


ENTRY = StrategyEntry(
    name="teacher-student",
    title="Teacher and student",
    sentence="Networks of several folds vote on the unlabelled cases; one student learns from their labels.",
    paper="Baldeon Calisto, Teacher-student semi-supervised approach for medical image segmentation, FLARE 2022",
    parameters=TeacherStudentParameters,
    module="napari_ssl.strategies.teacher_student:TeacherStudent",
    network="res-unet",
    uses_unlabelled=True,
    presets={
        "paper": {
            "augmentation": "albumentations",
            "student_batch_size": 20,
            "student_learning_rate": 1e-5,
        },
        "quick": {
            "folds": 3,
            "teacher_duration": "200 iterations",
            "student_duration": "400 iterations",
            "batch_size": 20,
            "optimiser": "adamw",
            "learning_rate": 1e-3,
            "weight_decay": 1e-4,
            "beta1": 0.9,
            "warm_start": True,
        },
    },
    preset_network={"paper": "unet"},
    preset_preprocessing={
        "paper": {
            "dimensions": 2,
            "crop_yx": (256, 256),
            "pixel_spacing_mm": 1.5,
            "slice_spacing_mm": 2.5,
            "intensity": "three-sd",
        }
    },
    budget={"teacher_duration": Share(fraction=0.6, times="folds"), "student_duration": Share(fraction=0.4)},
)
