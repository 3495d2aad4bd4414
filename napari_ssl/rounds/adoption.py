"""Taking the result of an order into the study. Doing it twice changes nothing the second time."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.model import Model, ModelState
from napari_ssl.core.quality import QcScoringSpec, QcTrainingSpec
from napari_ssl.core.segmentation import Source
from napari_ssl.core.training import PredictionSpec, TrainingSpec
from napari_ssl.errors import StudyError
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.rounds.drift import raise_alarms
from napari_ssl.rounds.proposal_adoption import adopt_cases
from napari_ssl.rounds.quality import adopt_quality
from napari_ssl.study.study import Study

__all__ = ["adopt", "adopt_parked", "hand_in_decisions"]


def adopt(
    study: Study,
    spec: TrainingSpec | PredictionSpec | QcTrainingSpec | QcScoringSpec,
    result: dict[str, Any],
    run_folder: Path,
) -> tuple[str, ...]:
    """Register the model, the proposals or the evaluation that `execute` returned; return what people must be told.

    That are alarms of the drift monitor, which are kept with the models too, and cases of a prediction whose files were
    damaged: they move from the ``cases`` of `result` to its ``failed``.

    The first model of a study is promoted at once, because there is nothing to compare it with; every later one stays
    a candidate until a person promotes it.

    Raises
    ------
    StudyError
        The result does not belong to the order or its files are missing.
    """
    if isinstance(spec, QcTrainingSpec | QcScoringSpec):
        adopt_quality(study, spec, result, run_folder)
    elif isinstance(spec, TrainingSpec):
        _adopt_model(study, spec, result, run_folder)
    elif result["kind"] == "evaluate":
        split = study.case(spec.items[0].case_id).split
        study.set_model_metrics(result["model_id"], split.value, result["summary"])
    else:
        told = adopt_cases(study, spec, result, run_folder / "output")
        if spec.part is not None and spec.part[0] < spec.part[1]:
            return told  # the monitor looks at whole cohorts
        return (*told, *raise_alarms(study))
    return raise_alarms(study)


def _adopt_model(study: Study, spec: TrainingSpec, result: dict[str, Any], run_folder: Path) -> None:
    card = read_document(run_folder / result["card"])
    if card is None or card.get("spec_hash") != spec.hash:
        raise StudyError(f"{run_folder}: the model card is missing or of another order; run the training again")
    study.register_model(
        Model(
            id=result["model_id"],
            spec_hash=spec.hash,
            strategy=spec.strategy,
            network=spec.network,
            round=spec.round,
            parents=tuple(card["parents"]),
            metrics=result["metrics"],
            state=ModelState.CANDIDATE,
            created_at=datetime.now(UTC),
        ),
        run_folder / "output",
    )
    if study.promoted() is None:
        study.promote(result["model_id"], by="first model of the study")


def adopt_parked(study: Study, spec: TrainingSpec, run_folder: Path) -> tuple[str, ...]:
    """Show the pseudo-labels of a parked run as proposals for review; return the cases that wait.

    They name the promoted model as their origin where it made them, and no model where they come from the network in
    training; `hand_in_decisions` finds them by hash.
    """
    parked = _parked(run_folder)
    source = Source.REFINED if spec.parameters.get("crf", True) else Source.MODEL
    for proposal in parked["proposals"]:
        labels = study.read_label_file(Path(proposal["label_path"]), proposal["case_id"])
        study.add_segmentation(
            proposal["case_id"],
            labels,
            source=source,
            frames=tuple(proposal["frames"]),
            model_id=proposal.get("model_id"),
        )
    return tuple(p["case_id"] for p in parked["proposals"])


def hand_in_decisions(study: Study, run_folder: Path) -> int:
    """Write down for a parked run what readers have decided about its pseudo-labels; return how many it can use.

    Raises
    ------
    StudyError
        The run is not parked.
    """
    parked = _parked(run_folder)
    by_case: dict[str, list[Decision]] = defaultdict(list)
    for decision in study.decisions():
        by_case[decision.case_id].append(decision)
    decided: dict[str, Any] = {}
    for proposal in parked["proposals"]:
        entry = _decided(study, proposal, by_case[proposal["case_id"]])
        if entry is not None:
            decided[proposal["case_id"]] = entry
    path = run_folder / "decisions.json"
    write_document(path, {**(read_document(path) or {}), parked["key"]: decided})
    return sum(1 for entry in decided.values() if entry["verdict"] in (Verdict.ACCEPT, Verdict.CORRECT))


def _parked(run_folder: Path) -> dict[str, Any]:
    parked = read_document(run_folder / "parked.json")
    if parked is None:
        raise StudyError(f"{run_folder}: this run does not wait for decisions")
    return parked


def _decided(study: Study, proposal: dict[str, Any], decisions: list[Decision]) -> dict[str, Any] | None:
    """The newest decision about exactly these labels, or about a correction that started from them."""
    retracted = {d.retracts_id for d in decisions}
    for decision in reversed(decisions):
        if decision.id in retracted or decision.verdict is Verdict.TAKE_BACK:
            continue
        segmentation = study.segmentation(decision.segmentation_id)
        origin = segmentation
        while origin.parent_id is not None:
            origin = study.segmentation(origin.parent_id)
        if proposal["label_hash"] not in (segmentation.label_hash, origin.label_hash):
            continue
        entry: dict[str, Any] = {"verdict": decision.verdict.value}
        if decision.verdict is Verdict.CORRECT:
            entry["label_path"] = str(study.folder / segmentation.label_path)
            entry["frames"] = list(segmentation.frames)
        return entry
    return None
