"""From the state of a study to an order: models to begin with, parameters, and the items of `training_set`."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from napari_ssl.core.case import Split
from napari_ssl.core.catalogue import (
    DEPLOYABLE,
    POLICIES,
    STRATEGIES,
    CRFParameters,
    choose,
    preset_values,
    why_not_together,
)
from napari_ssl.core.parameters import from_mapping
from napari_ssl.core.preprocessing import changed_preprocessing
from napari_ssl.core.quality import curve_kind
from napari_ssl.core.resources import Resources
from napari_ssl.core.training import (
    PredictionSpec,
    Preprocessing,
    QcReference,
    Role,
    StartModel,
    TrainingSpec,
)
from napari_ssl.errors import CheckpointError, SpecError, UnknownCaseError
from napari_ssl.rounds.training_set import (
    cases_to_label,
    kept_items,
    make_item,
    reference_items,
    standing_of,
)
from napari_ssl.study.models import CONFIDENCE_FILE
from napari_ssl.study.study import Study

__all__ = [
    "evaluation_spec",
    "prediction_spec",
    "qc_reference",
    "start_model",
    "training_spec",
]


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
    processes: int = 1,
    labelled_only: Sequence[str] | None = None,
    crf: bool = True,
    resources: Resources | None = None,
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
    resources : Resources, optional
        What the job needs of the computer that does it.

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
    standing = standing_of(study)
    kept = kept_items(study, standing, labelled_only)
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
        validation=reference_items(study, Split.VALIDATION, standing),
        evaluation=reference_items(study, Split.TEST, standing),
        start=start,
        qc=qc_reference(study) if entry.uses_qc or policy == "qc" else None,
        crf=crf,
        seed=seed,
        device=device,
        processes=processes,
        resources=resources or Resources(),
        round=study.next_round(),
    )


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
    resources: Resources | None = None,
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
    names = cases_to_label(study, cases)
    found = {case.id: case for case in study.cases(ids=names)}
    chosen = [found[name] for name in names]
    return PredictionSpec(
        model=model,
        label_scheme=study.label_scheme,
        items=tuple(make_item(study, c, Role.UNLABELLED) for c in chosen),
        crf=dataclasses.asdict(CRFParameters()) if crf else None,
        keep_largest_component=keep_largest_component,
        confidence=kinds[0],
        also=kinds[1:],
        members=members,
        calibration=reference_items(study, Split.VALIDATION, standing_of(study)) if members else (),
        memory_limit_mb=memory_limit_mb,
        qc=_scoring_reference(study),
        rule_limits=study.rule_limits.changed(),
        workers=workers,
        resources=resources or Resources(),
        part=part,
        device=device,
        round=study.next_round(),
    )


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
    resources: Resources | None = None,
) -> PredictionSpec:
    """Make the order to compare a model with the expert's labels of a split."""
    split = Split(split)
    items = reference_items(study, split, standing_of(study))
    if not items:
        raise SpecError(f"study {study.name}: no case with expert labels in the split {split}")
    return PredictionSpec(
        model=start_model(study, model_id),
        label_scheme=study.label_scheme,
        items=items,
        crf=dataclasses.asdict(CRFParameters()) if crf else None,
        evaluate=True,
        device=device,
        resources=resources or Resources(),
        round=study.next_round(),
    )
