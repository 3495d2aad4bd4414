"""The training of one round: strategy, weights, evaluation."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from napari_ssl import __version__
from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.training import TrainingSpec
from napari_ssl.inference.allocation import keep_freed_memory
from napari_ssl.io.documents import write_document
from napari_ssl.io.images import hash_file
from napari_ssl.networks import load_weights, save_weights
from napari_ssl.rounds.evaluation import evaluate_items
from napari_ssl.strategies import Lab, Theta, make_strategy
from napari_ssl.training.device import choose_device, configure_threads, device_record

__all__ = ["run"]


def run(spec: TrainingSpec, run_folder: Path, emit: Emit, should_stop: ShouldStop) -> dict[str, Any]:
    """Train by the order's strategy, evaluate on validation and test, leave weights and card in ``output``."""
    started = time.monotonic()
    configure_threads()
    keep_freed_memory()
    device = choose_device(spec.device)
    lab = Lab(spec, run_folder, device, emit, should_stop)
    theta = make_strategy(spec.strategy, spec.parameters).run(lab)
    network = lab.network(theta)

    crf = CRFParameters() if spec.crf else None
    metrics: dict[str, Any] = {}
    for split, items in (("validation", spec.validation), ("test", spec.evaluation)):
        if items:
            metrics[split] = evaluate_items(
                network,
                items,
                image_of=lab.image,
                preprocessing=spec.preprocessing,
                scheme=spec.label_scheme,
                crf=crf,
                device=device,
                folder=run_folder / "evaluation" / theta.hash[:16],
                should_stop=should_stop,
                on_case=_reporter(emit, f"comparing with the {split} cases", len(items)),
            )

    weights = run_folder / "output" / "weights.safetensors"
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_weights(network, weights, {"network": spec.network, "strategy": spec.strategy})
    card = _card(spec, lab, theta, hash_file(weights), metrics, device)
    card["confidence_hash"] = _keep_confidence_network(theta, weights, card["weights_hash"])
    write_document(weights.with_name("card.json"), card)
    return {
        "kind": "train",
        "model_id": card["model_id"],
        "weights": "output/weights.safetensors",
        "card": "output/card.json",
        "metrics": metrics,
        "seconds": round(time.monotonic() - started, 1),
        "validation": {split: summary["mean"] for split, summary in metrics.items()},
    }


def _keep_confidence_network(theta: Any, weights: Path, weights_hash: str) -> str | None:
    """Put the confidence network that Θ was trained with beside the weights; return its hash, None without one."""
    if not isinstance(theta, Theta) or not theta.extra("confidence").is_file():
        return None
    path = weights.with_name("confidence.safetensors")
    save_weights(load_weights(theta.extra("confidence"))[0], path, {"beside": weights_hash})
    return hash_file(path)


def _reporter(emit: Emit, step: str, n: int) -> Any:
    def report(done: int) -> None:
        emit(Event(kind=EventKind.PROGRESS, data={"step": f"{step}: {done} of {n}", "fraction": 0.98}))

    return report


def _parents(spec: TrainingSpec, lab: Lab) -> list[str]:
    """The models that this one began with or whose proposals, accepted or corrected, it learnt."""
    began_with = [spec.start.model_id] if spec.start and lab.has_used_start else []
    return list(dict.fromkeys([*began_with, *sorted({i.proposed_by for i in spec.items if i.proposed_by})]))


def _card(
    spec: TrainingSpec, lab: Lab, theta: Any, weights_hash: str, metrics: dict[str, Any], device: torch.device
) -> dict[str, Any]:
    return {
        "format": 1,
        "model_id": f"r{spec.round:03d}-{spec.hash[:8]}",
        "spec_hash": spec.hash,
        "weights_hash": weights_hash,
        "strategy": spec.strategy,
        "parameters": dict(spec.parameters),
        "policy": spec.policy,
        "policy_parameters": {k: v for k, v in spec.policy_parameters.items() if k != "references"},
        "pseudo_label_crf_backend": lab.crf_backend,
        "selections": lab.selections,
        "evaluation": f"evaluation/{theta.hash[:16]}",
        "qc_classifier": spec.qc.classifier_id if spec.qc else None,
        "network": spec.network,
        "network_parameters": dict(spec.network_parameters),
        "preprocessing": dataclasses.asdict(spec.preprocessing),
        "label_scheme": spec.label_scheme.to_dict(),
        "seed": spec.seed,
        "round": spec.round,
        "started_from": spec.start.model_id if spec.start and lab.has_used_start else None,
        "parents": _parents(spec, lab),
        "training_cases": [[i.case_id, i.role.value, i.label_hash] for i in spec.items],
        "training_frames": {i.case_id: list(i.frames) for i in spec.items if i.role.has_labels},
        "counts": dict(Counter(i.role.value for i in spec.items)),
        "metrics": {split: summary["mean"] for split, summary in metrics.items()},
        "validation_loss": lab.validation_loss(theta) if isinstance(theta, Theta) else None,
        **device_record(device),
        "napari_ssl": __version__,
    }
