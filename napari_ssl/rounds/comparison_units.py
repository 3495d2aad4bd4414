"""From a plan and a study to units of work: one for each arm and seed, everything in it that its process needs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssl.core.case import Split
from napari_ssl.core.training import Role, TrainingItem, TrainingSpec, spec_from_dict
from napari_ssl.errors import SpecError
from napari_ssl.io.documents import read_document
from napari_ssl.io.images import hash_file
from napari_ssl.rounds.comparison_plan import Arm, ComparisonPlan
from napari_ssl.rounds.orders import qc_reference, training_spec
from napari_ssl.rounds.training_set import training_items
from napari_ssl.study.study import Study

__all__ = ["Unit", "draw_labelled", "make_units", "read_unit"]

References = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One arm with one seed: its training, the cases it is evaluated on (``spec.evaluation``), and its rounds.

    Parameters
    ----------
    arm : str
    seed : int
    spec : TrainingSpec
        Of the first round; never begins with a promoted model.
    crf, largest_component : bool
        Post-processing of evaluation and of proposals between rounds.
    in_voxels : bool
    rounds : int
    policy : str
        Between the rounds, with `policy_parameters`.
    pool : tuple of TrainingItem
        Without labels: what is proposed for review between the rounds.
    references : mapping
        What the oracle knows between the rounds, as `strategies.references` takes it.
    """

    arm: str
    seed: int
    spec: TrainingSpec
    crf: bool = True
    largest_component: bool = False
    in_voxels: bool = False
    rounds: int = 0
    policy: str = "accept-all"
    policy_parameters: Mapping[str, Any] = field(default_factory=dict)
    pool: tuple[TrainingItem, ...] = ()
    references: References = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """SHA-256 over everything that decides the result, wherever files lie; what an arm is called is no part."""
        known = {case: {k: v for k, v in entry.items() if k != "path"} for case, entry in self.references.items()}
        review = [self.policy, dict(self.policy_parameters), known, [i.image_hash for i in self.pool]]
        document = [self.spec.hash, self.crf, self.largest_component, self.in_voxels, self.rounds, review]
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    @property
    def folder_name(self) -> str:
        """Name of the unit's run folder: readable, and another for every other unit."""
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", self.arm).strip("-.") or "arm"
        return f"{readable[:60]}-seed{self.seed}-{self.hash[:8]}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**plain, "spec": self.spec.to_dict(), "pool": [dataclasses.asdict(i) for i in self.pool]}


def read_unit(folder: Path) -> Unit:
    """Read ``unit.json`` of a run folder; SpecError when it is absent or malformed."""
    document = read_document(folder / "unit.json")
    try:
        spec = spec_from_dict(document["spec"])
        pool = tuple(TrainingItem(**i) for i in document["pool"])
        return Unit(**{**document, "spec": spec, "pool": pool})
    except (TypeError, KeyError) as error:
        raise SpecError(f"{folder / 'unit.json'}: absent or malformed ({error}); compare again") from error


def make_units(study: Study, plan: ComparisonPlan, references: References | None = None) -> list[Unit]:
    """Make the units of a plan, seed by seed, so that an early look shows every arm.

    Parameters
    ----------
    references : mapping, optional
        What the oracle knows; by default the expert labels that the experiment hides.

    Raises
    ------
    SpecError
        Nothing to evaluate on, too few labelled subjects, an oracle that knows nothing, unknown cases.
    CatalogueError
        An arm that contradicts the catalogue.
    """
    return [_unit(study, plan, arm, seed, references) for seed in plan.seeds for arm in plan.arms]


def _unit(study: Study, plan: ComparisonPlan, arm: Arm, seed: int, references: References | None) -> Unit:
    labelled = _labelled(study, plan, arm, seed)
    items = training_items(study, labelled)
    pool = _unlabelled(plan, arm, seed, items)
    if plan.rounds and not pool:
        raise SpecError(f"arm {arm.name}: no unlabelled case to review between rounds; keep fewer labels (--labelled)")
    needs_truth = "oracle" in (arm.policy, plan.policy if plan.rounds else "")
    known = _known(study, pool, references) if needs_truth else {}
    spec = _spec(study, plan, arm, seed, labelled, known)
    used = {i.case_id for i in pool}
    spec = dataclasses.replace(spec, items=tuple(i for i in spec.items if i.role.has_labels or i.case_id in used))
    return Unit(
        arm=arm.name,
        seed=seed,
        spec=spec,
        crf=plan.crf,
        largest_component=plan.largest_component,
        in_voxels=plan.in_voxels,
        rounds=plan.rounds,
        policy=plan.policy,
        policy_parameters=dict(plan.policy_parameters),
        pool=pool if plan.rounds else (),
        references=known if plan.rounds and plan.policy == "oracle" else {},
    )


def _spec(
    study: Study, plan: ComparisonPlan, arm: Arm, seed: int, labelled: tuple[str, ...] | None, known: References
) -> TrainingSpec:
    """The order of the first round; the plan's split stands in the place of the test cases."""
    spec = training_spec(
        study,
        strategy=arm.strategy,
        network=arm.network,
        preset=arm.preset,
        overrides=plan.overrides(arm),
        network_overrides=arm.network_parameters,
        preprocessing_overrides=arm.preprocessing,
        policy=arm.policy,
        policy_parameters={**arm.policy_parameters, **({"references": known} if arm.policy == "oracle" else {})},
        seed=seed,
        device=plan.device,
        labelled_only=labelled,
    )
    if plan.rounds and plan.policy == "qc":
        spec = dataclasses.replace(spec, qc=qc_reference(study))
    if spec.qc is None and "qc" in (arm.policy, plan.policy if plan.rounds else ""):
        raise SpecError(f"study {study.name}: policy qc needs a classifier of curves; train one (napari-ssl qc train)")
    on_test = Split(plan.split) is Split.TEST
    evaluation = spec.evaluation if on_test else spec.validation
    if not evaluation:
        raise SpecError(f"study {study.name}: no case with expert labels in the split {Split(plan.split).value}")
    start = spec.start if plan.from_promoted else None
    if plan.from_promoted and start is None and {"warm_start", "from_scratch"} & set(spec.parameters):
        raise SpecError(
            f"arm {arm.name}: no promoted model of its network and preprocessing that learnt from the labelled cases "
            "alone; train one with the same --labelled first, or leave --from-promoted out"
        )
    return dataclasses.replace(
        spec, start=start, round=1, evaluation=evaluation, validation=spec.validation if on_test else ()
    )


def _labelled(study: Study, plan: ComparisonPlan, arm: Arm, seed: int) -> tuple[str, ...] | None:
    """Cases that keep their expert labels in this unit; None: all."""
    wanted = plan.labelled if arm.labelled is None else arm.labelled
    if wanted is None or wanted == "all":
        return None
    if isinstance(wanted, int):
        return draw_labelled(study, wanted, _draw_seeds(plan, seed))
    return tuple(wanted)


def _unlabelled(plan: ComparisonPlan, arm: Arm, seed: int, items: Sequence[TrainingItem]) -> tuple[TrainingItem, ...]:
    """Items without labels that the arm may use; a larger draw contains a smaller one.

    Raises
    ------
    SpecError
        Fewer subjects without labels than asked for, or a case that has labels or is not there.
    """
    there, wanted = [i for i in items if not i.role.has_labels], arm.unlabelled
    if wanted is None or wanted == "all":
        return tuple(there)
    if not isinstance(wanted, int):
        known = {i.case_id for i in there}
        for case_id in wanted:
            if case_id not in known:
                raise SpecError(f"arm {arm.name}: case {case_id} is no training case without labels in this arm")
        return tuple(i for i in there if i.case_id in wanted)
    without = {i.subject_id for i in there}
    if len(without) < wanted:
        raise SpecError(f"arm {arm.name}: {wanted} unlabelled subjects were asked for, there are {len(without)}")
    subjects = sorted({i.subject_id for i in items})
    order = np.random.default_rng(_draw_seeds(plan, seed)).permutation(len(subjects))
    drawn = set([subjects[k] for k in order.tolist() if subjects[k] in without][:wanted])
    return tuple(i for i in there if i.subject_id in drawn)


def _draw_seeds(plan: ComparisonPlan, seed: int) -> list[int]:
    return [plan.draw_seed, seed] if plan.draw_per_seed else [plan.draw_seed]


def draw_labelled(study: Study, n: int, seeds: Sequence[int]) -> tuple[str, ...]:
    """Draw `n` subjects that have expert labels and return their cases; a larger draw contains a smaller one.

    Raises
    ------
    SpecError
        Fewer subjects with labels.
    """
    subject_of = {i.case_id: i.subject_id for i in training_items(study) if i.role is Role.LABELLED}
    subjects = sorted(set(subject_of.values()))
    if n > len(subjects):
        raise SpecError(f"study {study.name}: {n} labelled subjects were asked for, {len(subjects)} have expert labels")
    order = np.random.default_rng(list(seeds)).permutation(len(subjects))
    drawn = {subjects[i] for i in order[:n].tolist()}
    return tuple(sorted(case for case, subject in subject_of.items() if subject in drawn))


def _known(study: Study, pool: Sequence[TrainingItem], references: References | None) -> dict[str, Any]:
    """What the oracle knows of the pool: the references given, or the expert labels that the experiment hides."""
    found: dict[str, Any] = {}
    for item in pool:
        if references is not None:
            if item.case_id in references:
                found[item.case_id] = dict(references[item.case_id])
            continue
        hidden = study.reference(item.case_id)
        if hidden is not None:
            path = study.folder / hidden.label_path
            found[item.case_id] = {"path": str(path), "frames": list(hidden.frames), "hash": hash_file(path)}
    if not found:
        raise SpecError("policy oracle knows no reference of an unlabelled case; give --references FOLDER")
    return found
