"""What a study teaches a classifier of curves: ratings, decisions, and cycles to simulate faults in.

By weight (Ruijsink 2020, Sec. 3.1, has ratings alone):

- a rating on which the readers agree: 1;
- a decision of the review: ``decision_weight``. An accepted proposal is good, a rejected one erroneous (not where the
  image could not be read), a corrected one by how much of it was changed: erroneous below a Dice of 0.8 with the
  correction, good from 0.9 on, left out between;
- a proposal of a case that has expert labels of some frames: ``measured_weight``. It is good from a mean Dice of
  ``measured_dice`` at these frames on;
- a simulated curve set: ``simulated_weight``; there are fewer the more ratings there are
  (`core.quality.simulated_count`).

Cases of the validation and test splits never enter, nor proposals of a model that had been trained with labels of the
subject: its curves would look better than those of other subjects.
"""

from __future__ import annotations

import dataclasses

from napari_ssl.core.case import Case, Split
from napari_ssl.core.consensus import counting
from napari_ssl.core.decision import Decision, ReviewState, Verdict, review_state
from napari_ssl.core.quality import CurveExample, ExampleSource
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.core.training import Role, TrainingItem
from napari_ssl.errors import CheckpointError, LabelError, UnknownCaseError
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.study.study import Study

__all__ = ["Evidence", "decided_examples", "full_cycles", "measured_examples", "rated_examples"]

GOOD_DICE, ERRONEOUS_DICE = 0.9, 0.8
"""Dice of a proposal with its correction: from the first on it was good, below the second erroneous."""

_NOT_THE_SEGMENTATION = "Image not readable"
_PROPOSED = (Source.MODEL, Source.REFINED)


class Evidence:
    """What a study says about its proposals; read once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.cases = {case.id: case for case in study.cases(split=Split.TRAIN)}
        self.segmentations = {s.id: s for s in study.segmentations() if s.case_id in self.cases}
        self._taught: dict[str | None, set[str]] = {None: set()}

    def curves(self, segmentation: Segmentation) -> dict[str, list[float | None]] | None:
        """Curves that were measured when the proposal came; None without such or with fewer than two frames."""
        found = (self.study.measures(segmentation.id) or {}).get("curves_ml")
        usable = found and all(sum(v is not None for v in values) > 1 for values in found.values())
        return found if usable else None

    def is_known(self, segmentation: Segmentation) -> bool:
        """Whether the model that proposed it, or whatever that began with, was trained with labels of the subject."""
        model_id = segmentation.model_id
        if model_id not in self._taught:
            self._taught[model_id] = self._subjects_taught(model_id)
        return self.cases[segmentation.case_id].subject_id in self._taught[model_id]

    def _subjects_taught(self, model_id: str | None) -> set[str]:
        """Subjects whose labels the model, or whatever it began with, was trained with."""
        ids: set[str] = set()
        asked: set[str | None] = {None}
        while model_id not in asked:
            asked.add(model_id)
            try:
                card = self.study.model_card(model_id)
            except (CheckpointError, UnknownCaseError):  # the card is lost: nobody can tell, and ratings are precious
                break
            ids |= {case_id for case_id, role, *_ in card.get("training_cases", ()) if role != Role.UNLABELLED}
            model_id = card.get("started_from")
        return {case.subject_id for case in self.cases.values() if case.id in ids}

    def example(
        self, segmentation: Segmentation | None, good: bool, source: ExampleSource, weight: float
    ) -> CurveExample | None:
        """Return the example of a proposal; None where it may not or cannot teach."""
        if segmentation is None or segmentation.source not in _PROPOSED or self.is_known(segmentation):
            return None
        curves = self.curves(segmentation)
        if curves is None:
            return None
        case = self.cases[segmentation.case_id]
        n_frames = len(next(iter(curves.values())))
        interval = case.frame_interval_ms
        return CurveExample(
            id=f"{case.id}-v{segmentation.version}",
            subject_id=case.subject_id,
            curves=curves,
            good=good,
            source=source,
            weight=weight,
            time_ms=None if interval is None else tuple(i * interval for i in range(n_frames)),
        )


def rated_examples(evidence: Evidence) -> list[CurveExample]:
    """Return an example of every proposal that the readers' ratings agree on."""
    found = (
        evidence.example(evidence.segmentations.get(number), good, ExampleSource.RATED, 1.0)
        for number, good in evidence.study.consensus_ratings().items()
    )
    return [e for e in found if e is not None]


def decided_examples(evidence: Evidence, *, weight: float) -> list[CurveExample]:
    """Return an example of every proposal that a standing decision says something about, without two that differ."""
    by_reader: dict[tuple[str, str], list[Decision]] = {}
    for decision in counting(evidence.study.decisions()):
        if decision.case_id in evidence.cases:
            by_reader.setdefault((decision.case_id, decision.reader), []).append(decision)
    verdicts: dict[int, bool] = {}
    disputed: set[int] = set()
    for decisions in by_reader.values():
        state, decision = review_state(decisions, proposal_id=None)
        judged = _judged(evidence, state, decision)
        if judged is None:
            continue
        number, good = judged
        if verdicts.setdefault(number, good) != good:
            disputed.add(number)
    found = (
        evidence.example(evidence.segmentations.get(number), good, ExampleSource.DECIDED, weight)
        for number, good in verdicts.items()
        if number not in disputed
    )
    return [e for e in found if e is not None]


def _judged(evidence: Evidence, state: ReviewState, decision: Decision | None) -> tuple[int, bool] | None:
    """The label version that a decision is about and whether it was good; None where that cannot be said."""
    if decision is None or state is ReviewState.DEFERRED:
        return None
    if decision.verdict is Verdict.ACCEPT:
        return decision.segmentation_id, True
    if decision.verdict is Verdict.REJECT:
        return None if decision.reason == _NOT_THE_SEGMENTATION else (decision.segmentation_id, False)
    corrected = evidence.segmentations.get(decision.segmentation_id)
    origin = corrected
    while origin is not None and origin.parent_id is not None:
        origin = evidence.segmentations.get(origin.parent_id)
    if corrected is None or origin is None or origin.source not in _PROPOSED:
        return None
    shared = [f for f in corrected.frames if f in origin.frames]
    try:
        before, after = (evidence.study.read_labels(s)[shared] for s in (origin, corrected))
    except (LabelError, OSError):  # a file is lost: `check` says so, and the other decisions still teach
        return None
    dice = mean_dice(before, after, evidence.study.label_scheme)
    if ERRONEOUS_DICE <= dice < GOOD_DICE:
        return None
    return origin.id, dice >= GOOD_DICE


def measured_examples(evidence: Evidence, *, weight: float, good_from: float) -> list[CurveExample]:
    """Return an example of every proposal of a case whose expert labels say how good it is.

    The newest expert labels of a case count. Which cases these are: those that were labelled after a model had
    proposed something, and those that a model was trained without, as in folds and arms of a comparison.
    """
    experts = {s.case_id: s for s in evidence.segmentations.values() if s.source is Source.REFERENCE}
    found = []
    for segmentation in evidence.segmentations.values():
        expert = experts.get(segmentation.case_id)
        example = None if expert is None else evidence.example(segmentation, True, ExampleSource.MEASURED, weight)
        dice = None if example is None else _shared_dice(evidence, segmentation, expert)
        if dice is not None:
            found.append(dataclasses.replace(example, good=dice >= good_from))
    return found


def _shared_dice(evidence: Evidence, segmentation: Segmentation, expert: Segmentation) -> float | None:
    """Mean over the frames that both hold of the mean Dice; None without such, or where a file is lost."""
    shared = [f for f in expert.frames if f in segmentation.frames]
    try:
        said, true = (evidence.study.read_labels(s)[shared] for s in (segmentation, expert))
    except (LabelError, OSError):
        return None
    scheme = evidence.study.label_scheme
    return sum(mean_dice(a, b, scheme) for a, b in zip(said, true, strict=True)) / len(shared) if shared else None


def full_cycles(evidence: Evidence) -> tuple[TrainingItem, ...]:
    """Label maps of every frame that a person stands for: reference labels, accepted and corrected ones."""
    study = evidence.study
    chosen: dict[str, tuple[Case, Segmentation, Role]] = {}
    for segmentation in evidence.segmentations.values():
        case = evidence.cases[segmentation.case_id]
        is_whole = case.n_frames > 1 and len(segmentation.frames) == case.n_frames
        role = {Source.REFERENCE: Role.LABELLED, Source.CORRECTED: Role.CORRECTED}.get(segmentation.source)
        if role is not None and is_whole:
            chosen[case.id] = (case, segmentation, role)
    for decision in study.decisions():
        segmentation = evidence.segmentations.get(decision.segmentation_id)
        if segmentation is None or segmentation.source not in _PROPOSED:
            continue
        case = evidence.cases[segmentation.case_id]
        standing = study.review_state(case.id)[1]
        is_whole = case.n_frames > 1 and len(segmentation.frames) == case.n_frames
        if standing is not None and standing.id == decision.id and standing.verdict is Verdict.ACCEPT and is_whole:
            chosen.setdefault(case.id, (case, segmentation, Role.ACCEPTED))
    return tuple(_cycle_item(study, *chosen[case_id]) for case_id in sorted(chosen))


def _cycle_item(study: Study, case: Case, segmentation: Segmentation, role: Role) -> TrainingItem:
    return TrainingItem(
        case_id=case.id,
        subject_id=case.subject_id,
        image_path=case.image_path,
        image_hash=case.image_hash,
        spacing_zyx_mm=case.spacing_zyx_mm,
        frames=segmentation.frames,
        role=role,
        label_path=str(study.label_file(segmentation)),
        label_hash=segmentation.label_hash,
        frame_interval_ms=case.frame_interval_ms,
    )
