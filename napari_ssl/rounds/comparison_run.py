"""Carrying out one unit of a comparison: training, evaluation, and the rounds of review in between.

``python -m napari_ssl.rounds.comparison_run RUN_FOLDER STEPS_FOLDER`` does it in a process of its own, so that its
memory is its own. It stops with a checkpoint on the line ``stop`` at its standard input or at that input's end (its
parent is dead) and tells what it does as JSON lines at its standard output.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from napari_ssl.core.catalogue import STRATEGIES, CRFParameters
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.training import Role, StartModel, TrainingItem, TrainingSpec
from napari_ssl.errors import NapariSslError
from napari_ssl.inference.allocation import keep_freed_memory
from napari_ssl.io.documents import write_document
from napari_ssl.rounds.comparison_units import Unit, read_unit
from napari_ssl.rounds.evaluation import evaluate_items
from napari_ssl.strategies import Lab, Theta, make_strategy
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.judgement import cost_of
from napari_ssl.strategies.policies import make_policy
from napari_ssl.strategies.references import read_reference
from napari_ssl.strategies.reviewing import judged, proposal_of
from napari_ssl.strategies.steps import peak_memory_mib
from napari_ssl.training.device import choose_device, configure_threads, device_record

__all__ = ["run_unit"]


def run_unit(
    unit: Unit, run_folder: Path, steps_folder: Path, emit: Emit, should_stop: ShouldStop
) -> list[dict[str, Any]]:
    """Carry out a unit and return a result for each round; what an earlier attempt or another arm did is used.

    Returns
    -------
    list of dict
        By round: ``arm``, ``seed``, ``round``, ``unit_hash``, ``spec_hash``, ``cases`` (`case_document` of each),
        ``efficiency`` of the labelling, ``n_steps``, ``training_seconds``, ``peak_memory_mib``, ``n_parameters``,
        ``counts`` of the training set by role, ``reviewed`` (inside the run), ``weights`` (relative to the comparison's
        folder), ``review`` (what came before this round: verdicts, slices, seconds), ``minutes`` of a clinician so far.
    """
    configure_threads()
    keep_freed_memory()
    device = choose_device(unit.spec.device)
    results: list[dict[str, Any]] = []
    spec, pool, review = unit.spec, list(unit.pool), None
    looked: Counter[str] = Counter()
    minutes = 0.0
    for number in range(unit.rounds + 1):
        lab = Lab(spec, run_folder, device, emit, should_stop, steps_folder=steps_folder)
        theta = make_strategy(spec.strategy, spec.parameters).run(lab)
        inside = sum(entry["seconds"] for entry in lab.reviewed) / 60
        result = _evaluated(unit, lab, theta, run_folder, steps_folder)
        minutes += inside + (review["seconds"] / 60 if review else 0.0)
        results.append({**result, "round": number, "review": review, "minutes": minutes})
        if number < unit.rounds:
            spec, pool, review = _reviewed(unit, lab, theta, pool, looked, number)
    write_document(run_folder / "result.json", {"unit_hash": unit.hash, "rounds": results})
    return results


def _evaluated(unit: Unit, lab: Lab, theta: Theta, run_folder: Path, steps_folder: Path) -> dict[str, Any]:
    spec = lab.spec
    network = lab.network(theta)
    training_seconds, memory = lab.seconds, lab.peak_memory_mib
    summary = evaluate_items(
        network,
        spec.evaluation,
        image_of=lab.image,
        preprocessing=spec.preprocessing,
        scheme=spec.label_scheme,
        crf=CRFParameters() if unit.crf else None,
        device=lab.device,
        folder=run_folder / "evaluation" / theta.hash[:16],
        should_stop=lab.should_stop,
        largest_component=unit.largest_component,
        in_voxels=unit.in_voxels,
        on_case=lambda n: lab.emit(_told(f"comparing with the references: {n} of {len(spec.evaluation)}")),
    )
    weights = getattr(theta, "path", None)
    return {
        "arm": unit.arm,
        "seed": unit.seed,
        "unit_hash": unit.hash,
        "spec_hash": spec.hash,
        "cases": summary["cases"],
        "efficiency": summary.get("efficiency") or {},
        "n_steps": lab.n_steps,
        "training_seconds": round(training_seconds, 2),
        "peak_memory_mib": max(memory, peak_memory_mib(lab.device)),
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "counts": dict(Counter(i.role.value for i in spec.items)),
        "reviewed": lab.reviewed,
        "weights": None if weights is None else os.path.relpath(weights, steps_folder.parent),
        **device_record(lab.device),
    }


def _told(step: str) -> Event:
    return Event(kind=EventKind.PROGRESS, data={"step": step, "fraction": 0.98})


def _reviewed(
    unit: Unit, lab: Lab, theta: Theta, pool: list[TrainingItem], looked: Counter[str], number: int
) -> tuple[TrainingSpec, list[TrainingItem], dict[str, Any]]:
    """Propose labels for the pool, let the policy decide, return the next order, what is left and what it cost.

    Cases that were looked at less often come first. What was rejected now is left out of the next training and comes
    back with the next proposals.
    """
    spec, scheme = lab.spec, lab.spec.label_scheme
    order = ItemSet(sorted(pool, key=lambda i: (looked[i.case_id], i.case_id)))
    labels = lab.refine(
        lab.predict(theta, order), crf=CRFParameters() if unit.crf else None, step=f"round {number + 1}: proposals"
    )
    policy = make_policy(
        unit.policy,
        unit.policy_parameters,
        scheme=scheme,
        reference_of=lambda case: read_reference(unit.references, case),
        score_of=None if spec.qc is None else lambda proposals: lab.score(labels),
        operating_point=spec.qc.card["threshold"] if spec.qc else 0.5,
        seed=1000 * unit.seed + number,
    )
    judgements = policy.judge([proposal_of(i, scheme) for i in labels]) if policy else {}
    looked.update(judgements.keys())
    corrected = lab.steps_folder / "corrected"
    taken = {}
    for item in labels:
        kept = judged(item, judgements.get(item.case_id), corrected)
        if kept is not None:
            role = Role.ACCEPTED if kept.role is Role.PSEUDO else kept.role
            taken[item.case_id] = dataclasses.replace(kept, role=role, soft_path=None, soft_hash=None)
    left = [i for i in pool if i.case_id not in taken]
    learnt = [i for i in spec.items if i.role.has_labels] + [taken[i.case_id] for i in order if i.case_id in taken]
    unlabelled = [i for i in left if i.case_id not in judgements] if STRATEGIES[spec.strategy].uses_unlabelled else []
    following = dataclasses.replace(
        spec, items=tuple(learnt + unlabelled), start=_start(unit, spec, theta, number), round=number + 2
    )
    return following, left, cost_of(judgements)


def _start(unit: Unit, spec: TrainingSpec, theta: Theta, number: int) -> StartModel | None:
    """The round's network, for strategies whose parameters ask to begin with it."""
    if not isinstance(theta, Theta):
        return None
    return StartModel(
        model_id=f"{unit.arm} round {number}",
        weights_path=str(theta.path),
        weights_hash=theta.hash,
        network=spec.network,
        network_parameters=spec.network_parameters,
        preprocessing=spec.preprocessing,
    )


# ── a process of its own ─────────────────────────────────────────────────────────────────────────────────────────
def _listen(stop: threading.Event) -> None:
    while line := os.read(0, 64):
        if line.startswith(b"stop"):
            break
    stop.set()


def main(run_folder: Path, steps_folder: Path) -> int:
    """Run the unit of a folder; 0 done, 3 stopped with a checkpoint, 1 failed (``error.json`` says why)."""
    from napari_ssl.rounds.comparison_workers import carry_out

    stop = threading.Event()
    threading.Thread(target=_listen, args=(stop,), daemon=True, name="parent").start()

    def emit(event: Event) -> None:
        sys.stdout.write(json.dumps(event.to_dict()) + "\n")
        sys.stdout.flush()

    return carry_out(read_unit(run_folder), run_folder, steps_folder, emit, stop.is_set)


if __name__ == "__main__":
    try:
        status = main(Path(sys.argv[1]), Path(sys.argv[2]))
    except NapariSslError as error:
        sys.stderr.write(f"{error}\n")
        status = 1
    sys.stdout.flush()
    os._exit(status)  # threads of numerical libraries do not hold up the end
