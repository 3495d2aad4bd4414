"""Comparing arms as a paper does: the same cases, seeds, steps and post-processing for all, subjects as the unit.

`compare` makes the units of a plan, works through those that are not finished, and gathers one document. It may be
stopped at any point and called again: finished arms are not redone, the others go on from their checkpoints, and arms
that are added to the plan use what is there. The study itself is only read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_ssl import __version__
from napari_ssl.core.catalogue import POLICIES
from napari_ssl.core.job import ShouldStop
from napari_ssl.core.parameters import from_mapping
from napari_ssl.core.training import TrainingSpec
from napari_ssl.errors import JobError
from napari_ssl.io.documents import write_document
from napari_ssl.rounds.comparison_plan import ComparisonPlan
from napari_ssl.rounds.comparison_table import INDICES, clinical_table, efficiency_table, minutes_table, score_table
from napari_ssl.rounds.comparison_units import References, Unit, make_units
from napari_ssl.rounds.comparison_workers import Tell, results_of, work_through
from napari_ssl.study.study import Study

__all__ = ["compare", "subjects_known_to_classifier"]

_PAIRED = ("indices", "reference_indices")


def compare(
    study: Study,
    plan: ComparisonPlan,
    folder: Path,
    *,
    references: References | None = None,
    workers: int = 1,
    tell: Tell = lambda unit, event: None,
    should_stop: ShouldStop = lambda: False,
) -> dict[str, Any]:
    """Carry out a comparison and return its document, which is also left as ``comparison.json`` in `folder`.

    Parameters
    ----------
    folder : Path
        Of comparisons of this study; steps and finished arms in it are used.
    references : mapping, optional
        What an oracle knows (`rounds.read_truth_folder`); by default the expert labels that the experiment hides.
    workers : int
        Processes at a time; 0: in this process.

    Returns
    -------
    dict
        ``plan``, ``arms`` (what each is), ``scores``, ``clinical``, ``efficiency`` (see `comparison_table`), for
        several rounds or an oracle inside a run ``minutes``, ``runs``, ``failed`` (run to what went wrong),
        ``subjects``, ``structures``, ``steps_are_equal``, ``known_to_classifier`` (`subjects_known_to_classifier`). An
        arm of which a seed failed is left out of the tables.

    Raises
    ------
    StoppedByRequest
        `should_stop` said yes; the same call goes on.
    JobError
        Another comparison is at work in `folder`, or every arm failed.
    NapariSslError
        What is wrong with plan or study, in words.
    """
    units = make_units(study, plan, references)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".comparison.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise JobError(f"{folder}: another comparison is at work in this folder; wait until it ends") from error
    try:
        failed = work_through(units, folder, tell, should_stop, workers=workers)
    finally:
        lock.release()
    by_arm = _finished(units, folder)
    if not by_arm:
        raise JobError(f"no arm was finished; the first: {next(iter(failed.values()))}")
    document = _document(study, plan, units, by_arm, failed)
    write_document(folder / "comparison.json", document)
    return document


def _finished(units: list[Unit], folder: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """Arm → results by seed and round, of arms whose every seed is finished."""
    found: dict[str, list[Any]] = {}
    for unit in units:
        found.setdefault(unit.arm, []).append(results_of(unit, folder / "runs" / unit.folder_name))
    return {arm: of_arm for arm, of_arm in found.items() if None not in of_arm}


def _document(
    study: Study,
    plan: ComparisonPlan,
    units: list[Unit],
    by_arm: Mapping[str, list[list[dict[str, Any]]]],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    by_round = [{arm: [seed[n] for seed in of_arm] for arm, of_arm in by_arm.items()} for n in range(plan.rounds + 1)]
    last = by_round[-1]
    first = {unit.arm: unit for unit in reversed(units)}
    structures = [s.name for s in study.label_scheme.structures]
    steps = {arm: [r["n_steps"] for r in of_arm] for arm, of_arm in last.items()}
    document = {
        "kind": "comparison",
        "napari_ssl": __version__,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": study.name,
        "plan": plan.to_dict(),
        "baseline": plan.baseline,
        "structures": structures,
        "colours": {s.name: s.colour for s in study.label_scheme.structures},
        "subjects": sorted({i.subject_id for i in units[0].spec.evaluation}),
        "arms": {arm: _what_it_is(first[arm]) for arm in by_arm},
        "steps_are_equal": len({n for of_arm in steps.values() for n in of_arm if n}) <= 1,
        "known_to_classifier": subjects_known_to_classifier(units),
        "scores": score_table(last, plan.baseline, structures),
        "clinical": clinical_table(last),
        "efficiency": efficiency_table(last),
        "runs": [_run(unit, by_arm) for unit in units if unit.arm in by_arm],
        "failed": dict(failed),
    }
    if plan.rounds or any(first[arm].spec.policy == "oracle" for arm in by_arm):
        document["minutes"] = minutes_table(by_round, structures)
    return document


def subjects_known_to_classifier(units: Sequence[Unit]) -> list[str]:
    """Subjects that an arm selects from or is tested on, and whose curves its classifier has learnt from.

    Ruijsink 2020 (Sec. 3.1) rated 1,000 other cases, so as to have none. A classifier whose faults were simulated in
    the study's own cycles knows the true curves of cases whose labels a comparison hides.
    """
    known: set[str] = set()
    for unit in units:
        if unit.spec.qc is not None:
            judged = [*(i for i in unit.spec.items if not i.role.has_labels), *unit.pool, *unit.spec.evaluation]
            known |= {i.subject_id for i in judged} & set(unit.spec.qc.card.get("training_subjects", ()))
    return sorted(known)


def _what_it_is(unit: Unit) -> dict[str, Any]:
    spec = unit.spec
    return {
        "strategy": spec.strategy,
        "network": spec.network,
        "network_parameters": dict(spec.network_parameters),
        "parameters": dict(spec.parameters),
        "policy": spec.policy,
        "policy_parameters": _in_full(spec),
        "n_labelled": sum(1 for i in spec.items if i.role.has_labels),
        "n_unlabelled": sum(1 for i in spec.items if not i.role.has_labels),
    }


def _in_full(spec: TrainingSpec) -> dict[str, Any]:
    """What the policy inside the run assumes, its defaults too; what an oracle knows is left out."""
    given = {name: value for name, value in spec.policy_parameters.items() if name != "references"}
    return dataclasses.asdict(from_mapping(POLICIES[spec.policy].parameters, given))


def _run(unit: Unit, by_arm: Mapping[str, Any]) -> dict[str, Any]:
    results = next(of_seed for of_seed in by_arm[unit.arm] if of_seed[0]["seed"] == unit.seed)
    kept = ("round", "n_steps", "training_seconds", "peak_memory_mib", "weights")
    kept += ("review", "reviewed", "minutes", "counts")
    return {
        "arm": unit.arm,
        "seed": unit.seed,
        "folder": f"runs/{unit.folder_name}",
        "labelled": sorted(i.case_id for i in unit.spec.items if i.role.has_labels),
        "rounds": [{name: result[name] for name in kept} for result in results],
        "cases": [
            {k: _of_the_table(v) if k in _PAIRED else v for k, v in case.items() if k != "frames"}
            for case in results[-1]["cases"]
        ],
    }


def _of_the_table(indices: Mapping[str, Any]) -> dict[str, Any]:
    return {name: indices.get(name) for name in INDICES}
