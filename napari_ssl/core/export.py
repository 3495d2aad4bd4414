"""The ways out of a study, and what may be asked of them. The formats themselves are written in `napari_ssl.study`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from napari_ssl.core.case import Split
from napari_ssl.core.decision import ReviewState
from napari_ssl.errors import StudyError

__all__ = ["ALL_STATES", "FORMATS", "FRAME_CHOICES", "MODALITIES", "ExportFormat", "ExportOptions", "relabelling"]

ALL_STATES = "all"
FRAME_CHOICES = ("labelled", "phases")
MODALITIES = ("MR", "CT")
"""What images without a modality of their own may be said to be."""

_CASES = ("states", "with_expert", "split")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """One way out of a study.

    Parameters
    ----------
    title : str
        What people read in a list.
    about : str
        What is written.
    options : tuple of str
        Which of `ExportOptions` it heeds.
    """

    title: str
    about: str
    options: tuple[str, ...]


FORMATS: dict[str, ExportFormat] = {
    "nifti": ExportFormat(
        title="Labels as NIfTI",
        about="One label file per case with the exact geometry of its image; one per frame where not all are labelled.",
        options=(*_CASES, "frames", "relabel"),
    ),
    "csv": ExportFormat(
        title="Clinical indices (CSV)",
        about="One row per case: EDV, ESV, SV, EF, mass, cardiac output, with the column names of ukbb_cardiac.",
        options=_CASES,
    ),
    "nnunet": ExportFormat(
        title="nnU-Net v2 data set",
        about="Images and labels, one 3D file per frame, dataset.json and splits in which subjects stay together.",
        options=(*_CASES, "frames", "relabel", "modality", "dataset_id", "n_folds"),
    ),
    "dicom-seg": ExportFormat(
        title="DICOM segmentation",
        about="One Segmentation object per phase, and the de-identified image series that it lies on.",
        options=(*_CASES, "frames", "modality"),
    ),
    "contours": ExportFormat(
        title="Contours (JSON)",
        about="Outlines of each structure per frame and slice, in pixels and in patient coordinates (mm).",
        options=(*_CASES, "frames"),
    ),
    "sunnybrook": ExportFormat(
        title="Contours (Sunnybrook text)",
        about="Endocardial and epicardial outlines of the left ventricle, one text file each, named as in Sunnybrook.",
        options=(*_CASES, "frames"),
    ),
    "audit": ExportFormat(
        title="Decisions and ratings (JSONL)",
        about="All decisions, verdicts on frames and slices, ratings of curves and events of models, one line each.",
        options=(),
    ),
    "monai-bundle": ExportFormat(
        title="Model as MONAI bundle",
        about="Weights, metadata.json and inference.json of one model, to load with monai.bundle.",
        options=("model_id",),
    ),
    "ro-crate": ExportFormat(
        title="Provenance of a round (RO-Crate)",
        about="Labels, models, decisions and software of one round, described by an RO-Crate 1.1.",
        options=("round",),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What of a study is exported, and how.

    Parameters
    ----------
    states : sequence of ReviewState or "all"
        All readers together; "all" takes every case that has labels.
    with_expert : bool
        Also cases whose labels came with the data.
    split : Split, optional
        Only this split.
    frames : "labelled" or "phases"
        All labelled frames, or end-diastole and end-systole only (where they are known and labelled).
    relabel : mapping of int to int
        Other values for label values, e.g. ``{1: 3, 3: 1}``; those that are not named stay. Ask before.
    modality : "MR" or "CT"
        What images without a modality of their own are said to be.
    dataset_id : int
        nnU-Net's number of the data set, 1 to 999.
    n_folds : int
        Folds of nnU-Net's splits by subject; 0: the study's own training and validation subjects.
    model_id : str, optional
        The promoted model by default.
    round : int, optional
        The newest by default.
    """

    states: Sequence[ReviewState | str] = (ReviewState.ACCEPTED, ReviewState.CORRECTED)
    with_expert: bool = False
    split: Split | str | None = None
    frames: str = "labelled"
    relabel: Mapping[int, int] = field(default_factory=dict)
    modality: str = "MR"
    dataset_id: int = 1
    n_folds: int = 0
    model_id: str | None = None
    round: int | None = None

    def __post_init__(self) -> None:
        names = tuple(str(s) for s in self.states)
        unknown = sorted(set(names) - {*ReviewState, ALL_STATES})
        if unknown:
            raise StudyError(f"no state of review {unknown[0]!r}; there are {', '.join((*ReviewState, ALL_STATES))}")
        object.__setattr__(self, "states", names)
        for what, value, choices in (
            ("frames", self.frames, FRAME_CHOICES),
            ("modality", self.modality, MODALITIES),
        ):
            if value not in choices:
                raise StudyError(f"{what} {value!r} is not offered; choose {' or '.join(choices)}")
        if not 1 <= self.dataset_id <= 999:
            raise StudyError(f"the number of an nnU-Net data set must be 1 to 999, got {self.dataset_id}")
        if self.n_folds != 0 and not 2 <= self.n_folds <= 50:
            raise StudyError(f"the number of folds must be 2 to 50 (0: the study's own split), got {self.n_folds}")


def relabelling(text: str) -> dict[int, int]:
    """Read ``OLD=NEW,…``; empty text changes nothing.

    Raises
    ------
    StudyError
        Anything else, or a value named twice.
    """
    if not text.strip():
        return {}
    pairs = [re.fullmatch(r"\s*(\d{1,3})\s*=\s*(\d{1,3})\s*", part) for part in text.split(",")]
    found = [(int(pair[1]), int(pair[2])) for pair in pairs if pair]
    if len(found) < len(pairs) or len(dict(found)) < len(found):
        raise StudyError(f"label values {text!r}: write OLD=NEW,OLD=NEW, each old value once, e.g. 1=3,3=1")
    return dict(found)
