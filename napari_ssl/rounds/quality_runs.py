"""Carrying out the orders of quality control, in a process without the study's database.

::

    run folder/
      steps/simulated.json          curve sets with faults, made once
      steps/fold-<k>.json           a finished fold of the cross-validation
      output/weights.safetensors, card.json       of a training
      output/scores.json                          of a scoring
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_ssl import __version__
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.parameters import from_mapping
from napari_ssl.core.quality import CurveExample, QcParameters, QcScoringSpec, QcTrainingSpec
from napari_ssl.core.training import TrainingItem
from napari_ssl.errors import LabelError, SpecError
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import hash_labels, read_labels
from napari_ssl.qc.cycles import Cycle
from napari_ssl.qc.data import gather
from napari_ssl.qc.explain import integrated_gradients
from napari_ssl.qc.score import Scorer
from napari_ssl.qc.simulation import simulate
from napari_ssl.qc.store import save_classifier
from napari_ssl.qc.train import Training, train
from napari_ssl.training.device import choose_device, configure_threads, device_record
from napari_ssl.training.loop import Stopped

__all__ = ["run_qc_scoring", "run_qc_training", "score_documents"]

_SIMULATION_SHARE = 0.2


def _teller(emit: Emit) -> Any:
    def tell(step: str, fraction: float, data: Mapping[str, Any]) -> None:
        known = {name: value for name, value in data.items() if value is not None}
        emit(Event(kind=EventKind.PROGRESS, data={**known, "step": step, "fraction": fraction}))

    return tell


def run_qc_training(spec: QcTrainingSpec, run_folder: Path, emit: Emit, should_stop: ShouldStop) -> dict[str, Any]:
    """Simulate what ratings do not give yet, train, leave weights and card in ``output``."""
    started = time.monotonic()
    configure_threads()
    device = choose_device(spec.device)
    parameters = from_mapping(QcParameters, spec.parameters)
    tell = _teller(emit)
    simulated, provenance = _simulated(spec, parameters, run_folder / "steps", emit, should_stop)
    examples = [*spec.examples, *simulated]
    training = train(
        gather(examples, spec.label_scheme, spec.curve_kind, parameters),
        parameters,
        spec.seed,
        device=device,
        should_stop=should_stop,
        progress=lambda step, fraction, data: tell(step, _SIMULATION_SHARE + 0.78 * fraction, data),
        folder=run_folder / "steps",
    )
    card = save_classifier(training.network, _card(spec, training, examples, provenance, device), run_folder / "output")
    return {
        "kind": "qc-train",
        "classifier_id": card["id"],
        "curve_kind": spec.curve_kind,
        "threshold": card["threshold"],
        "evidence": card["evidence"],
        "metrics": {name: card["metrics"]["all"][name] for name in ("auc", "sensitivity", "specificity", "intervals")},
        "seconds": round(time.monotonic() - started, 1),
    }


def _simulated(
    spec: QcTrainingSpec, parameters: QcParameters, folder: Path, emit: Emit, should_stop: ShouldStop
) -> tuple[list[CurveExample], dict[str, Any]]:
    """Return the simulated examples of the order; made once, found again by a run that was stopped."""
    if not spec.n_simulated:
        return [], {"study_cycles": 0, "phantom_cycles": 0, "faults": {}}
    kept = read_document(folder / "simulated.json")
    if kept is not None and kept["spec_hash"] == spec.hash:
        return [CurveExample(**e) for e in kept["examples"]], kept["provenance"]
    tell = _teller(emit)

    def progress(fraction: float) -> None:
        if should_stop():
            raise Stopped("simulation of faults: stopped on request")
        n_made = round(fraction * spec.n_simulated)
        tell(f"simulating faults: {n_made} of {spec.n_simulated}", _SIMULATION_SHARE * fraction, {})

    examples, faults, provenance = simulate(
        spec.curve_kind,
        spec.label_scheme,
        spec.n_simulated,
        spec.seed,
        cycles=_cycles(spec, emit),
        weight=parameters.simulated_weight,
        network_share=parameters.network_share,
        on_progress=progress,
    )
    document = {
        "spec_hash": spec.hash,
        "examples": [dataclasses.asdict(e) for e in examples],
        "faults": {name: dataclasses.asdict(fault) for name, fault in faults.items()},
        "provenance": provenance,
    }
    write_document(folder / "simulated.json", document)
    return examples, provenance


def _cycles(spec: QcTrainingSpec, emit: Emit) -> list[Cycle]:
    """Read the label maps of the order; one that is lost is told and left out."""
    found = []
    for item in spec.cycles:
        try:
            found.append(_cycle(item, spec.label_scheme))
        except LabelError as error:
            emit(Event(kind=EventKind.NOTICE, data={"message": f"no faults are simulated in {item.case_id}: {error}"}))
    return found


def _cycle(item: TrainingItem, scheme: LabelScheme) -> Cycle:
    labels = read_labels(Path(item.label_path or ""), scheme=scheme)
    if hash_labels(labels) != item.label_hash:
        raise LabelError(
            f"case {item.case_id}: {item.label_path} has changed since the order; order the training again"
        )
    return Cycle(
        id=item.case_id,
        subject_id=item.subject_id,
        labels=labels[list(item.frames)],
        spacing_zyx_mm=item.spacing_zyx_mm,
        scheme=scheme,
    )


def _card(
    spec: QcTrainingSpec,
    training: Training,
    examples: Sequence[CurveExample],
    provenance: Mapping[str, Any],
    device: Any,
) -> dict[str, Any]:
    counts = Counter(e.source.value for e in examples)
    return {
        "format": 1,
        "id": f"{spec.curve_kind}-{spec.hash[:8]}",
        "kind": spec.curve_kind,
        "threshold": training.threshold,
        "calibration": dataclasses.asdict(training.calibration),
        "parameters": dict(spec.parameters),
        "label_scheme": spec.label_scheme.to_dict(),
        "evidence": {source: counts.get(source, 0) for source in ("rated", "decided", "measured", "simulated")},
        "simulated_from": dict(provenance),
        "training_subjects": sorted({e.subject_id for e in spec.examples} | {i.subject_id for i in spec.cycles}),
        "epochs": training.epochs,
        "metrics": training.metrics,
        "history": training.history,
        "spec_hash": spec.hash,
        "seed": spec.seed,
        **device_record(device),
        "napari_ssl": __version__,
    }


def score_documents(
    scorer: Scorer, curve_sets: Mapping[str, Mapping[str, Any]], emit: Emit | None = None
) -> dict[str, dict[str, Any]]:
    """Score curve sets by name and explain each score; a set that cannot be read is told and left out.

    Returns
    -------
    dict
        Name to ``probability_good`` and ``explanation`` (`qc.explain.Explanation.to_dict`).
    """
    found: dict[str, dict[str, Any]] = {}
    for name, curves in curve_sets.items():
        try:
            probability = scorer.probabilities([curves])[0]
            explanation = integrated_gradients(scorer.classifier, curves, scorer.scheme).to_dict()
        except SpecError as error:
            if emit is not None:
                emit(Event(kind=EventKind.NOTICE, data={"message": f"{name} was not scored: {error}"}))
            continue
        found[name] = {"probability_good": probability, "explanation": explanation}
    return found


def run_qc_scoring(spec: QcScoringSpec, run_folder: Path, emit: Emit, should_stop: ShouldStop) -> dict[str, Any]:
    """Score the order's curves; leave the scores and what explains them in ``output/scores.json``."""
    started = time.monotonic()
    configure_threads()
    scorer = Scorer(spec.weights_path, spec.weights_hash, spec.card, spec.label_scheme)
    tell = _teller(emit)
    scores: dict[str, dict[str, Any]] = {}
    for n, item in enumerate(spec.items):
        if should_stop():
            raise Stopped(f"scoring: stopped on request after {n} of {len(spec.items)} proposals")
        made = score_documents(scorer, {item.case_id: item.curves}, emit)
        if made:
            scores[str(item.segmentation_id)] = made[item.case_id]
        if n % 20 == 0 or n + 1 == len(spec.items):
            tell(f"scoring: {n + 1} of {len(spec.items)} proposals", (n + 1) / len(spec.items), {})
    write_document(run_folder / "output" / "scores.json", {"spec_hash": spec.hash, "scores": scores})
    flagged = sum(s["probability_good"] < scorer.threshold for s in scores.values())
    return {
        "kind": "qc-score",
        "classifier_id": spec.classifier_id,
        "scored": len(scores),
        "flagged": flagged,
        "threshold": scorer.threshold,
        "seconds": round(time.monotonic() - started, 1),
    }
