"""Which cases enter a training, with which labels and why: what readers have decided, turned into items of an order."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_ssl.core.case import Case, Split
from napari_ssl.core.consensus import counting_places, study_view
from napari_ssl.core.decision import Decision, ReviewState, Verdict, standing_place_verdicts
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.core.training import Role, TrainingItem
from napari_ssl.errors import SpecError
from napari_ssl.rounds.left_out import without_wrong_frames, wrong_frames
from napari_ssl.study.study import Study

__all__ = [
    "Standing",
    "TrainingSetCounts",
    "cases_to_label",
    "count_training_set",
    "kept_items",
    "make_item",
    "reference_items",
    "standing_of",
    "training_items",
]

_FINAL = {Verdict.ACCEPT: Role.ACCEPTED, Verdict.CORRECT: Role.CORRECTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetCounts:
    """How many cases would enter a training now, by role, how many are left out, and frames of the others that are."""

    labelled: int = 0
    accepted: int = 0
    corrected: int = 0
    unlabelled: int = 0
    rejected_left_out: int = 0
    wrong_frames: int = 0
    validation: int = 0
    test: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands about the cases of a study: labels and what all readers together decided."""

    segmentations: Mapping[int, Segmentation]
    reference: Mapping[str, Segmentation]
    state: Mapping[str, ReviewState]
    decision: Mapping[str, Decision | None]
    wrong: Mapping[int, frozenset[int]]


def standing_of(study: Study) -> Standing:
    """Read labels and decisions of all cases at once."""
    segmentations = {s.id: s for s in study.segmentations()}
    reference: dict[str, Segmentation] = {}
    proposal: dict[str, int] = {}
    for s in segmentations.values():
        if s.source is Source.REFERENCE:
            reference[s.case_id] = s
        elif s.source in (Source.MODEL, Source.REFINED):
            proposal[s.case_id] = max(s.id, proposal.get(s.case_id, 0))
    by_case: dict[str, list[Decision]] = defaultdict(list)
    all_decisions = study.decisions()
    for d in all_decisions:
        by_case[d.case_id].append(d)
    state: dict[str, ReviewState] = {}
    decision: dict[str, Decision | None] = {}
    for case_id, decisions in by_case.items():
        view = study_view(decisions, proposal_id=proposal.get(case_id))
        state[case_id], decision[case_id] = view.state, view.standing
    places = counting_places(study.place_verdicts(standing=False), study.reading_tasks(), all_decisions)
    return Standing(segmentations, reference, state, decision, wrong_frames(standing_place_verdicts(places)))


def make_item(
    study: Study, case: Case, role: Role, segmentation: Segmentation | None = None, proposed_by: str | None = None
) -> TrainingItem:
    """Return a case as an item of an order, with the frames of the labels, or all without labels."""
    return TrainingItem(
        case_id=case.id,
        subject_id=case.subject_id,
        image_path=case.image_path,
        image_hash=case.image_hash,
        spacing_zyx_mm=case.spacing_zyx_mm,
        frames=segmentation.frames if segmentation else tuple(range(case.n_frames)),
        role=role,
        label_path=str(study.folder / segmentation.label_path) if segmentation else None,
        label_hash=segmentation.label_hash if segmentation else None,
        ed_frame=case.ed_frame,
        es_frame=case.es_frame,
        frame_interval_ms=case.frame_interval_ms,
        group=case.group,
        proposed_by=proposed_by,
    )


def _proposer(segmentation: Segmentation, segmentations: Mapping[int, Segmentation]) -> str | None:
    """The model that proposed these labels, or what they were corrected from."""
    while segmentation.model_id is None and segmentation.parent_id is not None:
        segmentation = segmentations[segmentation.parent_id]
    return segmentation.model_id


def _training_item(study: Study, case: Case, standing: Standing) -> TrainingItem | None:
    """The item of a training case; None when a reader rejected it (it comes back with the next proposal).

    Frames of accepted or corrected labels that were judged wrong are left out.
    """
    decision = standing.decision.get(case.id)
    if decision is not None and decision.verdict in _FINAL:
        labels = without_wrong_frames(standing.segmentations[decision.segmentation_id], standing.wrong)
        if labels is None:  # every frame was judged wrong
            return None
        proposer = _proposer(labels, standing.segmentations)
        return make_item(study, case, _FINAL[decision.verdict], labels, proposer)
    if case.id in standing.reference:
        return make_item(study, case, Role.LABELLED, standing.reference[case.id])
    if standing.state.get(case.id) is ReviewState.REJECTED:
        return None
    return make_item(study, case, Role.UNLABELLED)


def reference_items(study: Study, split: Split, standing: Standing) -> tuple[TrainingItem, ...]:
    """Return the cases of a split that have expert labels."""
    return tuple(
        make_item(study, case, Role.LABELLED, standing.reference[case.id])
        for case in study.cases(split=split)
        if case.id in standing.reference
    )


def count_training_set(study: Study) -> TrainingSetCounts:
    """Count what `training_spec` would take now."""
    standing = standing_of(study)
    items = [_training_item(study, case, standing) for case in study.cases(split=Split.TRAIN)]
    roles = [i.role for i in items if i is not None]
    return TrainingSetCounts(
        labelled=roles.count(Role.LABELLED),
        accepted=roles.count(Role.ACCEPTED),
        corrected=roles.count(Role.CORRECTED),
        unlabelled=roles.count(Role.UNLABELLED),
        rejected_left_out=items.count(None),
        wrong_frames=_n_wrong_frames(items, standing),
        validation=len(reference_items(study, Split.VALIDATION, standing)),
        test=len(reference_items(study, Split.TEST, standing)),
    )


def _n_wrong_frames(items: Sequence[TrainingItem | None], standing: Standing) -> int:
    """Count the frames that stay out of accepted and corrected labels because they were judged wrong."""
    decided = {d.case_id: d.segmentation_id for d in standing.decision.values() if d is not None}
    entering = [i for i in items if i is not None and i.role in _FINAL.values()]
    return sum(len(standing.segmentations[decided[i.case_id]].frames) - len(i.frames) for i in entering)


def training_items(study: Study, labelled_only: Sequence[str] | None = None) -> tuple[TrainingItem, ...]:
    """Return what the training cases bring now, with labels or without; `labelled_only` as in `training_spec`."""
    return tuple(kept_items(study, standing_of(study), labelled_only))


def kept_items(study: Study, standing: Standing, labelled_only: Sequence[str] | None) -> list[TrainingItem]:
    """Return the items of the training split; with `labelled_only` these alone keep their labels."""
    cases = study.cases(split=Split.TRAIN)
    kept = [i for i in (_training_item(study, case, standing) for case in cases) if i is not None]
    return kept if labelled_only is None else _restrict(kept, labelled_only, {c.id: c.n_frames for c in cases})


def _restrict(items: list[TrainingItem], keep: Sequence[str], n_frames: Mapping[str, int]) -> list[TrainingItem]:
    """Labels of all other cases are left out, accepted and corrected ones too: a model made those, taught by whom?"""
    labelled = {i.case_id for i in items if i.role is Role.LABELLED}
    for case_id in keep:
        if case_id not in labelled:
            raise SpecError(f"case {case_id}: not a labelled training case; labelled are {', '.join(sorted(labelled))}")
    return [
        i
        if not i.role.has_labels or i.case_id in keep
        else dataclasses.replace(
            i,
            role=Role.UNLABELLED,
            label_path=None,
            label_hash=None,
            proposed_by=None,
            frames=tuple(range(n_frames[i.case_id])),
        )
        for i in items
    ]


def cases_to_label(study: Study, cases: Sequence[str] | None = None) -> list[str]:
    """Return the cases named, or every training case that no person has labelled or decided.

    Raises
    ------
    SpecError
        Nothing is left to label.
    """
    if cases is not None:
        return list(cases)
    standing = standing_of(study)
    final = {c for c, d in standing.decision.items() if d is not None and d.verdict in _FINAL}
    known = standing.reference.keys() | final
    chosen = [c.id for c in study.cases(split=Split.TRAIN) if c.id not in known]
    if not chosen:
        raise SpecError("every training case has labels or a decision; import more images or name cases")
    return chosen
