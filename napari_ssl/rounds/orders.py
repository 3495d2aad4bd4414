"""From the state of a study to an order: which cases enter a training, with which labels and why."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_ssl.core.case import Case, Split
from napari_ssl.core.catalogue import (
    DEPLOYABLE,
    POLICIES,
    STRATEGIES,
    CRFParameters,
    choose,
    preset_values,
    why_not_together,
)
from napari_ssl.core.decision import Decision, ReviewState, Verdict, review_state
from napari_ssl.core.parameters import from_mapping
from napari_ssl.core.preprocessing import changed_preprocessing
from napari_ssl.core.quality import curve_kind
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.core.training import (
    PredictionSpec,
    Preprocessing,
    QcReference,
    Role,
    StartModel,
    TrainingItem,
    TrainingSpec,
)
from napari_ssl.errors import CheckpointError, SpecError, UnknownCaseError
from napari_ssl.rounds.left_out import without_wrong_frames, wrong_frames
from napari_ssl.study.models import CONFIDENCE_FILE
from napari_ssl.study.study import Study

__all__ = [
    "TrainingSetCounts",
    "cases_to_label",
    "count_training_set",
    "evaluation_spec",
    "prediction_spec",
    "qc_reference",
    "start_model",
    "training_items",
    "training_spec",
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
class _Standing:
    """What stands about the cases of a study: labels and the newest decision of any reader."""

    segmentations: Mapping[int, Segmentation]
    reference: Mapping[str, Segmentation]
    state: Mapping[str, ReviewState]
    decision: Mapping[str, Decision | None]
    wrong: Mapping[int, frozenset[int]]


def _standing(study: Study) -> _Standing:
    segmentations = {s.id: s for s in study.segmentations()}
    reference: dict[str, Segmentation] = {}
    proposal: dict[str, int] = {}
    for s in segmentations.values():
        if s.source is Source.REFERENCE:
            reference[s.case_id] = s
        elif s.source in (Source.MODEL, Source.REFINED):
            proposal[s.case_id] = max(s.id, proposal.get(s.case_id, 0))
    by_reader: dict[str, dict[str, list[Decision]]] = defaultdict(lambda: defaultdict(list))
    for d in study.decisions():
        by_reader[d.case_id][d.reader].append(d)
    state: dict[str, ReviewState] = {}
    decision: dict[str, Decision | None] = {}
    for case_id, readers in by_reader.items():
        found = [review_state(list(ds), proposal_id=proposal.get(case_id)) for ds in readers.values()]
        with_decision = [(s, d) for s, d in found if d is not None]
        state[case_id], decision[case_id] = (
            max(with_decision, key=lambda pair: (pair[1].decided_at, pair[1].id)) if with_decision else found[0]
        )
    return _Standing(segmentations, reference, state, decision, wrong_frames(study.place_verdicts()))


def _item(
    study: Study, case: Case, role: Role, segmentation: Segmentation | None = None, proposed_by: str | None = None
) -> TrainingItem:
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


def _training_item(study: Study, case: Case, standing: _Standing) -> TrainingItem | None:
    """The item of a training case; None when a reader rejected it (it comes back with the next proposal).

    Frames of accepted or corrected labels that were judged wrong are left out.
    """
    decision = standing.decision.get(case.id)
    if decision is not None and decision.verdict in _FINAL:
        labels = without_wrong_frames(standing.segmentations[decision.segmentation_id], standing.wrong)
        if labels is None:  # every frame was judged wrong
            return None
        proposer = _proposer(labels, standing.segmentations)
        return _item(study, case, _FINAL[decision.verdict], labels, proposer)
    if case.id in standing.reference:
        return _item(study, case, Role.LABELLED, standing.reference[case.id])
    if standing.state.get(case.id) is ReviewState.REJECTED:
        return None
    return _item(study, case, Role.UNLABELLED)


def _reference_items(study: Study, split: Split, standing: _Standing) -> tuple[TrainingItem, ...]:
    return tuple(
        _item(study, case, Role.LABELLED, standing.reference[case.id])
        for case in study.cases(split=split)
        if case.id in standing.reference
    )


def count_training_set(study: Study) -> TrainingSetCounts:
    """Count what `training_spec` would take now."""
    standing = _standing(study)
    items = [_training_item(study, case, standing) for case in study.cases(split=Split.TRAIN)]
    roles = [i.role for i in items if i is not None]
    return TrainingSetCounts(
        labelled=roles.count(Role.LABELLED),
        accepted=roles.count(Role.ACCEPTED),
        corrected=roles.count(Role.CORRECTED),
        unlabelled=roles.count(Role.UNLABELLED),
        rejected_left_out=items.count(None),
        wrong_frames=_n_wrong_frames(items, standing),
        validation=len(_reference_items(study, Split.VALIDATION, standing)),
        test=len(_reference_items(study, Split.TEST, standing)),
    )


def _n_wrong_frames(items: Sequence[TrainingItem | None], standing: _Standing) -> int:
    """Count the frames that stay out of accepted and corrected labels because they were judged wrong."""
    decided = {d.case_id: d.segmentation_id for d in standing.decision.values() if d is not None}
    entering = [i for i in items if i is not None and i.role in _FINAL.values()]
    return sum(len(standing.segmentations[decided[i.case_id]].frames) - len(i.frames) for i in entering)


def start_model(study: Study, model_id: str | None = None) -> StartModel:
    """Return weights and card of a model, by default the promoted one.

    Raises
    ------
    UnknownCaseError
        No such model, or none is promoted.
    CheckpointError
        Its weights or its card are absent or damaged.
    """
    model = study.model(model_id) if model_id else study.promoted()
    if model is None:
        raise UnknownCaseError(f"study {study.name}: no model is promoted; train one first (napari-ssl train)")
    weights = study.model_weights(model.id)
    card = study.model_card(model.id)
    try:
        return StartModel(
            model_id=model.id,
            weights_path=str(weights),
            weights_hash=study.model_weights_hash(model.id),
            network=card["network"],
            network_parameters=card["network_parameters"],
            preprocessing=Preprocessing(**card["preprocessing"]),
            confidence_path=str(weights.with_name(CONFIDENCE_FILE)) if card.get("confidence_hash") else None,
            confidence_hash=card.get("confidence_hash"),
        )
    except (KeyError, TypeError, SpecError) as error:
        raise CheckpointError(
            f"model {model.id}: its card {weights.with_name('card.json')} is damaged ({type(error).__name__}: {error})"
            "; restore it from a backup or promote another model"
        ) from error


def qc_reference(study: Study) -> QcReference | None:
    """Return the classifier of curves that is in use for the study's kind of image; None where there is none.

    Raises
    ------
    CheckpointError
        Its files are absent or were changed.
    """
    kind = curve_kind(study.label_scheme)
    classifier = study.classifier(kind)
    if classifier is None:
        return None
    return QcReference(
        classifier_id=classifier.id,
        weights_path=str(study.classifier_folder(classifier.id) / "weights.safetensors"),
        weights_hash=classifier.weights_hash,
        card=study.classifier_card(classifier.id),
    )


def _matching_start(
    study: Study, network: str, network_parameters: dict[str, Any], preprocessing: Preprocessing
) -> StartModel | None:
    """The promoted model, when a training with this network can begin with its weights."""
    if study.promoted() is None:
        return None
    try:
        start = start_model(study)
    except CheckpointError:  # its files are lost: a new model must be trainable all the same
        return None
    same = (start.network, start.network_parameters, start.preprocessing) == (
        network,
        network_parameters,
        preprocessing,
    )
    return start if same else None


def _learned_from_these_alone(study: Study, model_id: str | None, labelled: Collection[str]) -> bool:
    """Whether a model, and whatever it began with, was trained with labels of these cases only."""
    while model_id is not None:
        try:
            card = study.model_card(model_id)
            taught = {case_id for case_id, role, _ in card["training_cases"] if role != Role.UNLABELLED}
            model_id = card["started_from"]
        except (CheckpointError, KeyError, TypeError, ValueError):  # nobody can tell what it knows
            return False
        if not taught <= set(labelled):
            return False
    return True


def training_spec(
    study: Study,
    *,
    strategy: str,
    network: str | None = None,
    preset: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    network_overrides: Mapping[str, Any] | None = None,
    preprocessing_overrides: Mapping[str, Any] | None = None,
    policy: str = "accept-all",
    policy_parameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    labelled_only: Sequence[str] | None = None,
    crf: bool = True,
) -> TrainingSpec:
    """Make the order for a training from what the study holds now.

    Labelled cases enter with the expert's labels, accepted and corrected ones with the labels that the newest standing
    decision is about, without frames that were judged wrong (`rounds.left_out`); the other training cases enter without
    labels where the strategy uses such, except rejected ones.

    Parameters
    ----------
    preset, overrides
        The strategy's parameters: defaults, then the preset, then these values.
    network : str, optional
        By default the preset's, else the strategy's.
    preprocessing_overrides
        Values that differ from the study's preprocessing and the preset's.
    crf : bool
        Refine the final network's labels before they are compared with the expert's.
    labelled_only : sequence of str, optional
        For experiments: these cases alone keep their expert labels; the other training cases, be they labelled,
        accepted or corrected, count as unlabelled, and nothing begins with a promoted model that was taught with other
        labels than these.

    Raises
    ------
    CatalogueError
        Unknown strategy, network, preset, policy or parameter.
    SpecError
        No labelled case, or a case of `labelled_only` without labels.
    """
    entry = choose(STRATEGIES, strategy, "strategy")
    network = network or entry.preset_network.get(preset or "", entry.network)
    network_entry = choose(DEPLOYABLE, network, "network")
    if mismatch := why_not_together(entry, network):
        raise SpecError(mismatch)
    network_values = dataclasses.asdict(from_mapping(network_entry.parameters, dict(network_overrides or {})))
    choose(POLICIES, policy, "policy")
    preprocessing = changed_preprocessing(
        study.preprocessing, {**entry.preset_preprocessing.get(preset or "", {}), **(preprocessing_overrides or {})}
    )
    if preprocessing.dimensions not in network_entry.dimensions:
        raise SpecError(
            f"network {network} takes images of {' or '.join(map(str, network_entry.dimensions))} dimensions, the "
            f"preprocessing has {preprocessing.dimensions}; choose another network, or change dimensions"
        )
    standing = _standing(study)
    kept = _kept_items(study, standing, labelled_only)
    if not entry.uses_unlabelled:
        kept = [i for i in kept if i.role.has_labels]
    start = _matching_start(study, network, network_values, preprocessing)
    if start is not None and labelled_only is not None:
        start = start if _learned_from_these_alone(study, start.model_id, labelled_only) else None
    return TrainingSpec(
        strategy=strategy,
        network=network,
        parameters=preset_values(entry, preset, overrides or {}),
        network_parameters=network_values,
        policy=policy,
        policy_parameters=dict(policy_parameters or {}),
        label_scheme=study.label_scheme,
        preprocessing=preprocessing,
        items=tuple(kept),
        validation=_reference_items(study, Split.VALIDATION, standing),
        evaluation=_reference_items(study, Split.TEST, standing),
        start=start,
        qc=qc_reference(study) if entry.uses_qc or policy == "qc" else None,
        crf=crf,
        seed=seed,
        device=device,
        round=study.next_round(),
    )


def training_items(study: Study, labelled_only: Sequence[str] | None = None) -> tuple[TrainingItem, ...]:
    """Return what the training cases bring now, with labels or without; `labelled_only` as in `training_spec`."""
    return tuple(_kept_items(study, _standing(study), labelled_only))


def _kept_items(study: Study, standing: _Standing, labelled_only: Sequence[str] | None) -> list[TrainingItem]:
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


def _scoring_reference(study: Study) -> QcReference | None:
    """The classifier that scores new proposals; None where there is none, it is damaged, or it suits other organs."""
    try:
        return qc_reference(study)
    except (SpecError, CheckpointError):
        return None


def prediction_spec(
    study: Study,
    *,
    model_id: str | None = None,
    cases: Sequence[str] | None = None,
    crf: bool = True,
    keep_largest_component: bool = False,
    confidence: str | Sequence[str] | None = None,
    ensemble: Sequence[str] = (),
    memory_limit_mb: int = 0,
    workers: int = 1,
    part: tuple[int, int] | None = None,
    device: str = "auto",
) -> PredictionSpec:
    """Make the order to label cases: those named, or every training case that no person has labelled or decided.

    `confidence` are the kinds of confidence that are stored, the one that counts in the queue first. Without it all are
    stored that the models give: what the model's confidence network says, or for a model without one the largest
    probability, then the others. `ensemble` names further models for the variance; the labels are those of `model_id`.
    `workers` processes share the cases; `part` is the place of a batch in its cohort (`napari_ssl.jobs.cohort`).

    Raises
    ------
    UnknownCaseError
        No promoted model, or a case that is not in the study.
    SpecError
        Nothing is left to label.
    """
    model = start_model(study, model_id)
    members = tuple(start_model(study, m) for m in ensemble)
    kinds = (confidence,) if isinstance(confidence, str) else tuple(confidence or _kinds(model, members))
    chosen = [study.case(c) for c in cases_to_label(study, cases)]
    return PredictionSpec(
        model=model,
        label_scheme=study.label_scheme,
        items=tuple(_item(study, c, Role.UNLABELLED) for c in chosen),
        crf=dataclasses.asdict(CRFParameters()) if crf else None,
        keep_largest_component=keep_largest_component,
        confidence=kinds[0],
        also=kinds[1:],
        members=members,
        calibration=_reference_items(study, Split.VALIDATION, _standing(study)) if members else (),
        memory_limit_mb=memory_limit_mb,
        qc=_scoring_reference(study),
        rule_limits=study.rule_limits.changed(),
        workers=workers,
        part=part,
        device=device,
        round=study.next_round(),
    )


def cases_to_label(study: Study, cases: Sequence[str] | None = None) -> list[str]:
    """Return the cases named, or every training case that no person has labelled or decided.

    Raises
    ------
    SpecError
        Nothing is left to label.
    """
    if cases is not None:
        return list(cases)
    standing = _standing(study)
    final = {c for c, d in standing.decision.items() if d is not None and d.verdict in _FINAL}
    known = standing.reference.keys() | final
    chosen = [c.id for c in study.cases(split=Split.TRAIN) if c.id not in known]
    if not chosen:
        raise SpecError("every training case has labels or a decision; import more images or name cases")
    return chosen


def _kinds(model: StartModel, members: Sequence[StartModel]) -> tuple[str, ...]:
    """Return the kinds of confidence that models give, the one that counts in the queue first."""
    given = {"network": model.confidence_path is not None, "probability": True, "entropy": True}
    return (*(kind for kind, is_given in given.items() if is_given), *(("variance",) if members else ()))


def evaluation_spec(
    study: Study,
    *,
    model_id: str | None = None,
    split: Split | str = Split.TEST,
    crf: bool = True,
    device: str = "auto",
) -> PredictionSpec:
    """Make the order to compare a model with the expert's labels of a split."""
    split = Split(split)
    items = _reference_items(study, split, _standing(study))
    if not items:
        raise SpecError(f"study {study.name}: no case with expert labels in the split {split}")
    return PredictionSpec(
        model=start_model(study, model_id),
        label_scheme=study.label_scheme,
        items=items,
        crf=dataclasses.asdict(CRFParameters()) if crf else None,
        evaluate=True,
        device=device,
        round=study.next_round(),
    )
