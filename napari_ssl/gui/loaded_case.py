"""Everything that the window shows of one case, read in one go. Knows no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.case import Case
from napari_ssl.core.curve import VolumeCurve
from napari_ssl.core.decision import Decision, ReviewState
from napari_ssl.core.rating import Score
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.errors import LabelError, StorageError
from napari_ssl.gui.level_presets import LevelPreset, level_presets
from napari_ssl.io.images import hash_labels, read_image
from napari_ssl.measures.curves import volume_curves
from napari_ssl.measures.flags import Flag
from napari_ssl.study.confidence_maps import confidence_kinds
from napari_ssl.study.edit_history import EditHistory
from napari_ssl.study.journal import EditJournal

if TYPE_CHECKING:
    from napari_ssl.study.study import Study

__all__ = [
    "PREVIOUS",
    "REFERENCE",
    "LoadedCase",
    "base_hash_of",
    "load_case",
    "measure_curves",
    "read_score",
    "shown_segmentation",
]

REFERENCE, PREVIOUS = "Reference", "Previous model"
"""Label maps that are read with the case."""

_AXIAL = 0.8
"""Cosine of the angle to the body's axis from which on slices count as axial."""

_WEAK = 0.15
"""Share of the strongest attribution below which a frame is not shaded."""


@dataclass(slots=True, kw_only=True, eq=False)
class LoadedCase:
    """Everything that the window shows of one case. All arrays are ``(T, Z, Y, X)``.

    `labels` is edited in place; `base_labels` is what is stored in the study. `n_recovered` unsaved edits of the
    journal are in `labels` already, `history` has them and those before. `rule_flags` is None while the rules have not
    been asked about `labels`. `score` is
    what the QC classifier says about the stored labels, `attribution` how much each frame (T,) of a structure speaks
    against them, 1 for the strongest, `pressures` are systolic and diastolic in mmHg. `levels` are the window presets,
    the one to begin with first. `confidence` is of the first of `confidence_kinds` and about the labels
    `confidence_of`. `others` are versions that the labels can be compared with, by what they are called; in a read that
    `is_blind` there are none.
    `damaged_journal` is the file that keeps unsaved strokes which could not be replayed, None where there are none.
    `z_is_up` tells whether later slices lie nearer the head, None where slices are not axial.
    """

    case: Case
    image: NDArray[Any]
    levels: tuple[LevelPreset, ...]
    intensity_range: tuple[float, float]
    segmentation: Segmentation | None
    base_labels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None
    reference: NDArray[np.uint8] | None
    previous: NDArray[np.uint8] | None
    curves: dict[str, VolumeCurve]
    ghost: dict[str, VolumeCurve] | None
    state: ReviewState
    decision: Decision | None
    base_hash: str
    history: EditHistory = field(default_factory=EditHistory)
    n_recovered: int = 0
    edited_frames: tuple[int, ...] = ()
    is_outdated: bool = False
    rule_flags: tuple[Flag, ...] | None = None
    score: Score | None = None
    committee: Mapping[str, Any] = field(default_factory=dict)
    pressures: tuple[float, float] | None = None
    attribution: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    confidence_kinds: tuple[str, ...] = ()
    confidence_of: Segmentation | None = None
    others: dict[str, Segmentation] = field(default_factory=dict)
    is_blind: bool = False
    z_is_up: bool | None = None
    damaged_journal: Path | None = None

    @property
    def contrast_limits(self) -> tuple[float, float]:
        """Grey values to begin with."""
        return self.levels[0].limits

    @property
    def labelled_frames(self) -> tuple[int, ...]:
        """Frames that hold labels: those of the shown version and those painted on since."""
        return tuple(sorted({*(self.segmentation.frames if self.segmentation else ()), *self.edited_frames}))


def base_hash_of(case: Case, segmentation: Segmentation | None) -> str:
    """Return the hash of the labels that edits start from; without a segmentation that of an empty label map."""
    return segmentation.label_hash if segmentation else hash_labels(np.zeros(case.shape_tzyx, np.uint8))


def shown_segmentation(study: Study, case_id: str, reader: str) -> tuple[Segmentation | None, bool]:
    """Return the labels to show and whether they are outdated.

    Unsaved strokes decide: they are shown on the labels that they were painted on, even if a model has proposed others
    since.
    """
    current = study.current(case_id, reader)
    base = EditJournal.recorded_base(study.folder, case_id, reader)
    if base is not None and (current is None or base != current.label_hash):
        painted_on = [s for s in study.segmentations(case_id) if s.label_hash == base]
        if painted_on:
            return painted_on[-1], True
    return current, False


def _z_is_up(direction: tuple[float, ...]) -> bool | None:
    """Read off a direction matrix (row by row, in DICOM's LPS) which way axial slices are stacked."""
    along_body = direction[8] if len(direction) == 9 else 0.0
    return along_body > 0 if abs(along_body) > _AXIAL else None


def _other_labels(study: Study, case_id: str, shown: Segmentation | None) -> dict[str, Segmentation]:
    """Return what labels can be compared with: the reference, the previous model's proposal, those of older models."""
    versions = [s for s in study.segmentations(case_id) if shown is None or s.id != shown.id]
    references = [s for s in versions if s.source is Source.REFERENCE]
    proposals = [s for s in versions if s.source in (Source.MODEL, Source.REFINED)]
    newest = study.proposal(case_id)
    older = [s for s in reversed(proposals) if newest is None or s.model_id != newest.model_id]
    others: dict[str, Segmentation] = {}
    if references:
        others[REFERENCE] = references[-1]
    if older:
        others[PREVIOUS] = older[0]
    rest = [s for s in proposals if PREVIOUS not in others or s.model_id != others[PREVIOUS].model_id]
    others |= {f"Proposal of {s.model_id}": s for s in rest if s.model_id is not None}
    return others


def _read_labels(study: Study, segmentation: Segmentation, case: Case) -> NDArray[np.uint8]:
    labels = np.ascontiguousarray(study.read_labels(segmentation), np.uint8)
    if labels.shape != case.shape_tzyx:
        raise LabelError(
            f"case {case.id}: labels version {segmentation.version} have shape {labels.shape}, the image "
            f"{case.shape_tzyx}; run 'napari-ssl study check' and predict the case again"
        )
    return labels


def measure_curves(
    case: Case, labels: NDArray[np.uint8], study: Study, frames: tuple[int, ...]
) -> dict[str, VolumeCurve]:
    """Measure the labelled frames; ED and ES are found when the case does not know them."""
    return volume_curves(
        case.id,
        labels,
        study.label_scheme,
        case.spacing_zyx_mm,
        frames=frames,
        frame_interval_ms=case.frame_interval_ms,
        ed_frame=case.ed_frame,
        es_frame=case.es_frame,
    )


def load_case(study: Study, case_id: str, reader: str, *, segmentation_id: int | None = None) -> LoadedCase:
    """Read a case and replay unsaved strokes. Takes up to a second: call it in a thread.

    Parameters
    ----------
    segmentation_id : int, optional
        Show these labels instead of the current ones, e.g. a correction that was just taken back.

    Raises
    ------
    NapariSslError
        Image or labels are missing, damaged or of another shape.
    """
    case = study.case(case_id)
    read = read_image(case.image_path)
    image = read.data
    intensity_range = (float(image.min()), float(image.max()))
    if segmentation_id is None:
        shown, is_outdated = shown_segmentation(study, case_id, reader)
    else:
        shown, is_outdated = study.segmentation(segmentation_id), False
    base = np.zeros(case.shape_tzyx, np.uint8) if shown is None else _read_labels(study, shown, case)
    base_hash = base_hash_of(case, shown)
    labels = base.copy()
    journal = EditJournal(study.folder, case_id, base_hash, reader)
    history = journal.replay(labels)
    if is_outdated and _was_saved(study, case_id, reader, labels, journal):
        return load_case(study, case_id, reader)
    n_recovered, edited = history.n_unsaved, history.unsaved_frames
    damaged = _kept_damaged(journal)
    is_blind = study.reader_view(case_id, reader).is_blind
    others = {} if is_blind else _other_labels(study, case_id, shown)
    reference, previous = others.get(REFERENCE), others.get(PREVIOUS)
    previous_labels = None if previous is None else _read_labels(study, previous, case)
    proposal = shown if shown is not None and shown.confidence_path else study.proposal(case_id)
    state, decision = study.review_state(case_id, reader)
    measures = {} if shown is None else study.measures(shown.id)
    return LoadedCase(
        case=case,
        image=image,
        levels=level_presets(image, intensity_range),
        intensity_range=intensity_range,
        segmentation=shown,
        base_labels=base,
        labels=labels,
        confidence=None if proposal is None else study.read_confidence(proposal),
        reference=None if reference is None else _read_labels(study, reference, case),
        previous=previous_labels,
        curves=measure_curves(case, labels, study, tuple(sorted({*(shown.frames if shown else ()), *edited}))),
        ghost=None if previous is None else measure_curves(case, previous_labels, study, previous.frames),
        state=state,
        decision=decision,
        base_hash=base_hash,
        history=history,
        n_recovered=n_recovered,
        edited_frames=edited,
        is_outdated=is_outdated,
        rule_flags=None if n_recovered or shown is None else _stored_flags(measures),
        score=None if n_recovered or shown is None else study.scores([shown.id]).get(shown.id),
        committee={} if n_recovered else measures.get("committee") or {},
        pressures=study.pressures(case_id),
        attribution=_against(measures.get("qc_explanation") or {}),
        confidence_kinds=() if proposal is None else confidence_kinds(study, proposal),
        confidence_of=proposal,
        others=others,
        is_blind=is_blind,
        z_is_up=_z_is_up(read.geometry.direction),
        damaged_journal=damaged,
    )


def _kept_damaged(journal: EditJournal) -> Path | None:
    """Return the file that keeps strokes behind a damaged one, None where the journal is whole."""
    try:
        return journal.keep_damaged()
    except StorageError:
        return journal.path


def _was_saved(study: Study, case_id: str, reader: str, labels: NDArray[np.uint8], journal: EditJournal) -> bool:
    """Whether the edits lead to the current labels: the program ended after it stored them, before the journal knew."""
    current = study.current(case_id, reader)
    if current is None or current.label_hash != hash_labels(labels):
        return False
    journal.rebase(current.label_hash, journal.n_records())
    return True


def _stored_flags(measures: Mapping[str, Any]) -> tuple[Flag, ...] | None:
    """Return what the rules said when the labels were stored, None when they were not asked."""
    documents = measures.get("flags")
    return None if documents is None else tuple(Flag.from_dict(d) for d in documents)


def read_score(study: Study, segmentation_id: int) -> tuple[Score | None, dict[str, NDArray[np.float64]]]:
    """Read what the QC classifier says about stored labels by now, and how much each frame speaks against them."""
    measures = study.measures(segmentation_id) or {}
    return study.scores([segmentation_id]).get(segmentation_id), _against(measures.get("qc_explanation") or {})


def _against(explanation: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Return what speaks for an error by structure and frame, as shares of the strongest; weak ones are left out."""
    values = {name: np.maximum(np.array(v, float), 0.0) for name, v in explanation.get("attribution", {}).items()}
    strongest = max((float(v.max(initial=0.0)) for v in values.values()), default=0.0)
    if strongest <= 0:
        return {}
    return {name: np.where(v >= _WEAK * strongest, v / strongest, 0.0) for name, v in values.items()}
