"""Labelling cases with a model, or comparing it with expert labels."""

from __future__ import annotations

import dataclasses
import errno
import functools
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.parameters import from_mapping
from napari_ssl.core.training import PredictionSpec, StartModel, TrainingItem
from napari_ssl.errors import CheckpointError, ImageError, JobError, StorageError
from napari_ssl.inference.allocation import keep_freed_memory
from napari_ssl.inference.confidence_network import load_confidence_network
from napari_ssl.inference.efficiency import Meter, hold_to_limit, summarise_efficiency
from napari_ssl.inference.labelling import Labelling, LabellingStopped, Member, label_image
from napari_ssl.io.atomic import storage_error
from napari_ssl.io.documents import read_document
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.group_sync import GroupSync
from napari_ssl.io.images import hash_file, hash_labels, read_image
from napari_ssl.measures.curves import indices, volume_curves
from napari_ssl.measures.rules import RuleLimits, check_segmentation
from napari_ssl.networks import build_network, load_weights
from napari_ssl.networks.discriminators import ConfidenceNetwork
from napari_ssl.qc.score import Scorer
from napari_ssl.refinement.crf import which_backend
from napari_ssl.rounds.case_files import add_to_records, check_new_labels, make_durable, write_case
from napari_ssl.rounds.case_records import begin_case, end_case, failure_of, forget_failures, is_done, keep_failure
from napari_ssl.rounds.case_tally import CaseTally
from napari_ssl.rounds.cohort_workers import label_in_processes
from napari_ssl.rounds.committee import disagreement_note, predict_dice_of_committee
from napari_ssl.rounds.evaluation import evaluate_items
from napari_ssl.rounds.quality_runs import score_documents
from napari_ssl.training.device import choose_device, configure_threads

__all__ = ["CaseLabeller", "run"]


def run(spec: PredictionSpec, run_folder: Path, emit: Emit, should_stop: ShouldStop) -> dict[str, Any]:
    """Carry out a prediction or evaluation; a case that breaks is recorded with its error, the rest go on."""
    started = time.monotonic()
    configure_threads()
    device = choose_device(spec.device)
    hold_to_limit(device, spec.memory_limit_mb)
    if spec.evaluate:
        return _evaluate(spec, run_folder, device, emit, should_stop)
    output = run_folder / "output"
    output.mkdir(parents=True, exist_ok=True)
    tally = CaseTally(spec, output, emit)
    _label_cases(spec, run_folder, tally, should_stop)
    make_durable(output, tally.done)
    done, failed = tally.in_order(), tally.failed
    _score(spec, done, output, emit)
    committee = _ask_committee(spec, done, output, emit, should_stop)
    if not done and spec.part is None:
        forget_failures(output)  # resumed by hand, every case is tried again
        raise JobError(f"none of {len(spec.items)} cases could be labelled; the first: {next(iter(failed.values()))}")
    costs = {case: read_document(output / f"{case}.json")["efficiency"] for case in done}
    over = [c for c, cost in costs.items() if 0 < spec.memory_limit_mb < cost["peak_rss_mb"] and device.type == "cpu"]
    if over:
        message = f"{len(over)} cases took more than {spec.memory_limit_mb} MB for a moment, the first: {over[0]}"
        emit(Event(kind=EventKind.NOTICE, data={"message": message}))
    return {
        "kind": "predict",
        "model_id": spec.model.model_id,
        "cases": done,
        "failed": failed,
        "source": "refined" if spec.crf is not None or spec.keep_largest_component else "model",
        "crf_backend": which_backend(from_mapping(CRFParameters, spec.crf)) if spec.crf is not None else None,
        "committee": committee,
        "seconds": round(time.monotonic() - started, 1),
        "memory_limit_mb": spec.memory_limit_mb,
        "over_memory_limit": over,
        "efficiency": summarise_efficiency(costs.values()),
    }


def _label_cases(spec: PredictionSpec, run_folder: Path, tally: CaseTally, should_stop: ShouldStop) -> None:
    """Label the cases that have no record yet, in this process or shared by several.

    Raises
    ------
    LabellingStopped
        `should_stop` said yes; cases that have their record keep it.
    """
    output = run_folder / "output"
    waiting = []
    for number, item in enumerate(spec.items):
        if is_done(output, item.case_id) or failure_of(output, item.case_id) is not None:
            tally.take_earlier(number)
        else:
            waiting.append(number)
    if spec.workers > 1 and len(waiting) > 1:
        through = label_in_processes(
            spec,
            waiting,
            run_folder,
            n_threads=torch.get_num_threads(),
            n_gpus=torch.cuda.device_count() if choose_device(spec.device).type == "cuda" else 0,
            should_stop=should_stop,
            on_case=tally.take,
        )
        if not through:
            raise LabellingStopped("stopped on request")
    elif waiting:
        labeller = CaseLabeller(spec, output)
        for number in waiting:
            labeller.label(spec.items[number], should_stop)
            tally.take(number)


class CaseLabeller:
    """The networks of an order in memory; labels one case after another.

    Parameters
    ----------
    spec : PredictionSpec
    output : Path
        Where the files and records of the cases go.

    Raises
    ------
    CheckpointError
        Weights are damaged or do not fit.
    """

    def __init__(self, spec: PredictionSpec, output: Path) -> None:
        configure_threads()
        if not spec.memory_limit_mb:
            keep_freed_memory()
        self._spec, self._output, self._group = spec, output, GroupSync()
        self._device = choose_device(spec.device)
        hold_to_limit(self._device, spec.memory_limit_mb)
        self._network = _network(spec, spec.model).to(self._device).eval()
        self._judge = _confidence_network(spec, self._device)
        self._crf = from_mapping(CRFParameters, spec.crf) if spec.crf is not None else None
        self._members = tuple(
            Member(network=_network(spec, m).to(self._device).eval(), preprocessing=m.preprocessing)
            for m in spec.members
        )

    def labelling(
        self, item: TrainingItem, image: np.ndarray, should_stop: ShouldStop, meter: Meter | None = None
    ) -> Labelling:
        """Label the frames of an item in its image ``(T, Z, Y, X)``; LabellingStopped when asked to stop."""
        return label_image(
            self._network,
            image,
            preprocessing=self._spec.model.preprocessing,
            spacing_zyx_mm=item.spacing_zyx_mm,
            scheme=self._spec.label_scheme,
            frames=item.frames,
            device=self._device,
            crf=self._crf,
            confidence_from=self._spec.confidence,
            confidence_network=self._judge,
            also=self._spec.also,
            members=self._members,
            largest_component=self._spec.keep_largest_component,
            should_stop=should_stop,
            meter=meter,
        )

    def label(self, item: TrainingItem, should_stop: ShouldStop) -> None:
        """Leave the files of a case and its record; a case that breaks is recorded with its error.

        Raises
        ------
        LabellingStopped
        StorageError
            Nothing can be written any more.
        """
        try:
            begin_case(self._output, item.case_id)
            image = _read(item)
            with Meter(self._device, limit_mb=self._spec.memory_limit_mb) as meter:
                labelling = self.labelling(item, image.data, should_stop, meter)
            _keep_case(self._spec, item, labelling, image.geometry, meter, self._output, self._group)
        except (StorageError, LabellingStopped):
            raise
        except Exception as error:  # the border of the case: the others go on
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise storage_error(self._output / item.case_id, error.strerror or str(error)) from error
            keep_failure(self._output, item.case_id, error)
        finally:
            end_case(self._output, item.case_id)


def _score(spec: PredictionSpec, done: list[str], output: Path, emit: Emit) -> None:
    """Add to the notes of the cases what the classifier of curves says; without one, or a whole one, they stay."""
    if spec.qc is None:
        return
    try:
        scorer = Scorer(spec.qc.weights_path, spec.qc.weights_hash, spec.qc.card, spec.label_scheme)
    except CheckpointError as error:
        emit(Event(kind=EventKind.NOTICE, data={"message": f"the proposals are not scored: {error}"}))
        return
    curves = {case_id: read_document(output / f"{case_id}.json")["curves_ml"] for case_id in done}
    scores = score_documents(scorer, curves, emit)
    add_to_records(output, {case_id: {"qc": score} for case_id, score in scores.items()})


def _ask_committee(
    spec: PredictionSpec, done: list[str], output: Path, emit: Emit, should_stop: ShouldStop
) -> dict[str, Any] | None:
    """Add to the notes of the cases the Dice that their members' disagreement predicts; return the predictor."""
    labellers: list[CaseLabeller] = []

    def label(item: TrainingItem) -> Labelling:
        if not labellers:
            labellers.append(CaseLabeller(spec, output))
        return labellers[0].labelling(item, _read(item).data, should_stop)

    return predict_dice_of_committee(spec, done, output, label, emit)


def _network(spec: PredictionSpec, model: StartModel) -> torch.nn.Module:
    path = Path(model.weights_path)
    state, _ = load_weights(path)
    if hash_file(path) != model.weights_hash:
        raise CheckpointError(f"{path}: these are not the weights of model {model.model_id}; restore the file")
    network = build_network(
        model.network,
        n_classes=spec.label_scheme.n_classes,
        parameters=model.network_parameters,
        dimensions=model.preprocessing.dimensions,
    )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: the weights do not fit network {model.network!r} with {dict(model.network_parameters)} "
            f"and {spec.label_scheme.n_classes} classes; restore weights and card of model {model.model_id}"
        ) from error
    return network


def _confidence_network(spec: PredictionSpec, device: torch.device) -> ConfidenceNetwork | None:
    if "network" not in (spec.confidence, *spec.also):
        return None
    return load_confidence_network(str(spec.model.confidence_path), str(spec.model.confidence_hash)).to(device)


def _read(item: TrainingItem) -> Any:
    if hash_file(item.image_path) != item.image_hash:
        raise ImageError(
            f"case {item.case_id}: {item.image_path} has changed since it was imported; restore the file or import it "
            "again under another case id"
        )
    return read_image(item.image_path)


def _keep_case(
    spec: PredictionSpec,
    item: TrainingItem,
    labelling: Labelling,
    geometry: Geometry,
    meter: Meter,
    output: Path,
    group: GroupSync,
) -> None:
    """Write labels, confidence and measures of one case; the record comes last and says that the case is done."""
    labels = labelling.labels
    check_new_labels(item.case_id, labels, item.frames, spec.label_scheme)
    curves = volume_curves(
        item.case_id,
        labels,
        spec.label_scheme,
        item.spacing_zyx_mm,
        frames=item.frames,
        frame_interval_ms=item.frame_interval_ms,
        ed_frame=item.ed_frame,
        es_frame=item.es_frame,
    )
    record = {
        "case_id": item.case_id,
        "frames": list(item.frames),
        "label_hash": hash_labels(labels),
        "foreground_fraction": np.count_nonzero(labels) / labels[list(item.frames)].size,
        "crf_changed": labelling.changed,
        "efficiency": meter.efficiency.to_dict() if meter.efficiency else {},
        "confidence": spec.confidence,
        "also": list(spec.also),
        "mean_confidence": mean_confidence(labels, labelling.confidence),
        "curves_ml": {name: _plain(curve.volume_ml) for name, curve in curves.items()},
        "indices": {k: _plain([v])[0] for k, v in dataclasses.asdict(indices(curves, spec.label_scheme)).items()},
        "flags": _flags(spec, item, labels),
        "committee": disagreement_note(spec, labelling, item.frames),
    }
    arrays = {"labels": labels, "confidence": labelling.confidence}
    arrays |= {f"confidence-{kind}": confidence for kind, confidence in labelling.further.items()}
    write_case(group, output, item.case_id, arrays, geometry, record)


def _flags(spec: PredictionSpec, item: TrainingItem, labels: np.ndarray) -> list[dict[str, Any]]:
    """What the plausibility rules say about new labels."""
    flags = check_segmentation(
        labels,
        spec.label_scheme,
        item.spacing_zyx_mm,
        frames=item.frames,
        frame_interval_ms=item.frame_interval_ms,
        ed_frame=item.ed_frame,
        es_frame=item.es_frame,
        limits=_limits(tuple(sorted(spec.rule_limits.items()))),
    )
    return [flag.to_dict() for flag in flags]


@functools.cache
def _limits(changed: tuple[tuple[str, float], ...]) -> RuleLimits:
    return from_mapping(RuleLimits, dict(changed))


def mean_confidence(labels: np.ndarray, confidence: np.ndarray) -> float | None:
    """Mean confidence (0 to 1) inside the labelled structures; None when nothing is labelled."""
    inside = labels > 0
    return float(confidence[inside].mean() / 255.0) if inside.any() else None


def _plain(values: Any) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def _evaluate(
    spec: PredictionSpec,
    run_folder: Path,
    device: torch.device,
    emit: Emit,
    should_stop: ShouldStop,
) -> dict[str, Any]:
    n = len(spec.items)
    network = _network(spec, spec.model).to(device).eval()

    def report(done: int) -> None:
        emit(Event(kind=EventKind.PROGRESS, data={"step": f"comparing: {done} of {n} cases", "fraction": done / n}))

    summary = evaluate_items(
        network,
        spec.items,
        image_of=lambda item: _read(item).data,
        preprocessing=spec.model.preprocessing,
        scheme=spec.label_scheme,
        crf=from_mapping(CRFParameters, spec.crf) if spec.crf is not None else None,
        device=device,
        folder=run_folder / "evaluation",
        should_stop=should_stop,
        largest_component=spec.keep_largest_component,
        on_case=report,
    )
    return {"kind": "evaluate", "model_id": spec.model.model_id, "summary": summary}
