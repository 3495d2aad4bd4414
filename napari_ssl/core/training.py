"""The order for a training or prediction: everything that a process without the study's database needs to know."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.core.resources import Resources, resources_from_dict
from napari_ssl.errors import SpecError

__all__ = [
    "CONFIDENCES",
    "PredictionSpec",
    "Preprocessing",
    "QcReference",
    "Role",
    "StartModel",
    "TrainingItem",
    "TrainingSpec",
    "spec_from_dict",
]


CONFIDENCES = ("probability", "entropy", "network", "variance")
"""What a confidence map can hold."""


class Role(StrEnum):
    """Why an item is in a training set."""

    LABELLED = "labelled"
    CORRECTED = "corrected"
    ACCEPTED = "accepted"
    PSEUDO = "pseudo"
    UNLABELLED = "unlabelled"

    @property
    def has_labels(self) -> bool:
        """Whether the item brings labels, a person's or a network's."""
        return self is not Role.UNLABELLED

    @property
    def is_vouched_for(self) -> bool:
        """Whether a person stands for the labels."""
        return self in (Role.LABELLED, Role.CORRECTED, Role.ACCEPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingItem:
    """One case in an order.

    Parameters
    ----------
    case_id, subject_id, image_path, image_hash : str
        As in `Case`; the path is absolute.
    spacing_zyx_mm : tuple of three floats
    frames : tuple of int
        For items with labels: the labelled frames that are used. For unlabelled items: the frames to use.
    role : Role
    weight : float
        Weight of the item's loss.
    label_path : str or None
        Absolute path of the label file ``(T, Z, Y, X)``.
    label_hash : str or None
    ed_frame, es_frame : int or None
        For clinical indices in evaluations.
    frame_interval_ms : float or None
    group : str or None
        Diagnosis, scanner or the like, for selections that are balanced over such.
    soft_path, soft_hash : str or None
        Class probabilities of the frames, 8 bits each, and their SHA-256 (`training.item_labels.write_soft_labels`).
    proposed_by : str or None
        The model whose proposal the labels are or were corrected from; for the record alone.
    """

    case_id: str
    subject_id: str
    image_path: str
    image_hash: str
    spacing_zyx_mm: tuple[float, float, float]
    frames: tuple[int, ...]
    role: Role
    weight: float = 1.0
    label_path: str | None = None
    label_hash: str | None = None
    ed_frame: int | None = None
    es_frame: int | None = None
    frame_interval_ms: float | None = None
    group: str | None = None
    soft_path: str | None = None
    soft_hash: str | None = None
    proposed_by: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "role", Role(self.role))
        object.__setattr__(self, "frames", tuple(int(f) for f in self.frames))
        object.__setattr__(self, "spacing_zyx_mm", tuple(float(s) for s in self.spacing_zyx_mm))
        if not self.frames:
            raise SpecError(f"case {self.case_id}: an item needs at least one frame")
        if self.role.has_labels != (self.label_path is not None and self.label_hash is not None):
            raise SpecError(f"case {self.case_id}: role {self.role} and label path {self.label_path!r} contradict")
        if not 0 <= self.weight <= 1000:
            raise SpecError(f"case {self.case_id}: weight must be in [0, 1000], got {self.weight}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartModel:
    """Weights to start from or to predict with; some models have a confidence network beside them."""

    model_id: str
    weights_path: str
    weights_hash: str
    network: str
    network_parameters: dict[str, Any]
    preprocessing: Preprocessing
    confidence_path: str | None = None
    confidence_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QcReference:
    """A classifier of curves that a run asks (`napari_ssl.qc.score.Scorer`); `card` is what its training wrote."""

    classifier_id: str
    weights_path: str
    weights_hash: str
    card: dict[str, Any]


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _item_identity(item: TrainingItem) -> dict[str, Any]:
    """What decides the result, paths left out: a study that was moved gives the same run."""
    kept = dataclasses.asdict(item)
    for name in ("image_path", "label_path", "soft_path", "proposed_by"):
        kept.pop(name)
    return kept


def _policy_identity(values: dict[str, Any]) -> dict[str, Any]:
    """A policy's values; references of the oracle by frames and content, wherever they lie."""
    references = values.get("references")
    if references is None:
        return values
    plain = {case: {k: v for k, v in entry.items() if k != "path"} for case, entry in references.items()}
    return {**values, "references": plain}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """A training run in full. Its `hash` names the run: same hash, same weights on the same machine.

    `evaluation` holds the test items (role labelled) that old and new model are compared on; they never train. `crf`
    says whether the final network's labels are refined before they are compared. `processes` share every batch, one a
    GPU; like the device and the `resources` that the job asks for they do not count for the hash.

    Raises
    ------
    SpecError
        A subject in two of training, validation and test; no labelled item; items of unknown role.
    """

    strategy: str
    network: str
    parameters: dict[str, Any] = field(default_factory=dict)
    network_parameters: dict[str, Any] = field(default_factory=dict)
    policy: str = "accept-all"
    policy_parameters: dict[str, Any] = field(default_factory=dict)
    label_scheme: LabelScheme
    preprocessing: Preprocessing
    items: tuple[TrainingItem, ...]
    validation: tuple[TrainingItem, ...] = ()
    evaluation: tuple[TrainingItem, ...] = ()
    start: StartModel | None = None
    qc: QcReference | None = None
    crf: bool = True
    seed: int = 0
    device: str = "auto"
    processes: int = 1
    resources: Resources = field(default_factory=Resources)
    round: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.processes <= 64:
            raise SpecError(f"processes must be 1 to 64, got {self.processes}")
        for name in ("items", "validation", "evaluation"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        sets = {
            "training": {i.subject_id for i in self.items},
            "validation": {i.subject_id for i in self.validation},
            "test": {i.subject_id for i in self.evaluation},
        }
        for first, second in (("training", "validation"), ("training", "test"), ("validation", "test")):
            both = sorted(sets[first] & sets[second])
            if both:
                raise SpecError(f"subject {both[0]} is in both {first} and {second}; splits are by subject")
        if not any(i.role.is_vouched_for for i in self.items):
            raise SpecError("no labelled case to train on; import cases with labels, or accept or correct some first")
        ids = [i.case_id for i in self.items]
        if len(set(ids)) != len(ids):
            raise SpecError(f"case {next(i for i in ids if ids.count(i) > 1)} is twice in the training set")

    @property
    def hash(self) -> str:
        """SHA-256 over everything that decides the result; paths and device are left out."""
        document = {
            "strategy": self.strategy,
            "network": self.network,
            "parameters": self.parameters,
            "network_parameters": self.network_parameters,
            "policy": [self.policy, _policy_identity(self.policy_parameters)],
            "label_scheme": self.label_scheme.to_dict(),
            "preprocessing": dataclasses.asdict(self.preprocessing),
            "items": [_item_identity(i) for i in self.items],
            "validation": [_item_identity(i) for i in self.validation],
            "evaluation": [_item_identity(i) for i in self.evaluation],
            "start": self.start.weights_hash if self.start else None,
            "qc": self.qc.weights_hash if self.qc else None,
            "crf": self.crf,
            "seed": self.seed,
        }
        return _digest(document)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types with ``"kind": "train"``."""
        return {"kind": "train", **dataclasses.asdict(self), "label_scheme": self.label_scheme.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionSpec:
    """An order to label cases with one model, optionally refined by the CRF.

    `crf` holds values of `CRFParameters`, or None for the plain arg-max. With `evaluate` the items bring reference
    labels and the result is a comparison with them instead of new labels. `confidence` says what the confidence map
    holds: the largest softmax ``probability``, 1 − normalised ``entropy``, what the model's confidence ``network``
    takes for a person's labels, or 1 − ``variance`` between the model and the `members`; `also` are kinds that are
    stored beside it. `calibration` are validation cases on which the disagreement of model and members learns to
    predict Dice. `memory_limit_mb` holds the run to so much memory of its device, 0 to all there is; it decides how,
    not what is computed. `rule_limits` are the study's values of `napari_ssl.measures.flags.RuleLimits` that differ
    from the defaults. `qc` scores the proposals by their curves as soon as they are there. `workers` processes share
    the cases; `part` says which batch of a cohort this is, (number from 1, of how many): neither changes what is
    computed. Nor do the `resources` that the job asks for.
    """

    model: StartModel
    label_scheme: LabelScheme
    items: tuple[TrainingItem, ...]
    crf: dict[str, Any] | None = None
    keep_largest_component: bool = False
    confidence: str = "probability"
    also: tuple[str, ...] = ()
    members: tuple[StartModel, ...] = ()
    calibration: tuple[TrainingItem, ...] = ()
    evaluate: bool = False
    memory_limit_mb: int = 0
    qc: QcReference | None = None
    rule_limits: dict[str, float] = field(default_factory=dict)
    workers: int = 1
    part: tuple[int, int] | None = None
    device: str = "auto"
    resources: Resources = field(default_factory=Resources)
    round: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        if not self.items:
            raise SpecError("no case to predict")
        if not 1 <= self.workers <= 256:
            raise SpecError(f"workers must be 1 to 256, got {self.workers}")
        if self.part is not None:
            object.__setattr__(self, "part", (int(self.part[0]), int(self.part[1])))
            if not 1 <= self.part[0] <= self.part[1]:
                raise SpecError(f"part must be (number, of how many), 1 <= number <= how many, got {self.part}")
        if self.memory_limit_mb and not 100 <= self.memory_limit_mb <= 1_000_000:
            raise SpecError(f"memory_limit_mb must be 0 (none) or 100 to 1000000, got {self.memory_limit_mb}")
        self._check_confidence()
        for item in self.items:
            if self.evaluate and not item.role.has_labels:
                raise SpecError(f"case {item.case_id}: no reference labels to evaluate against")

    def _check_confidence(self) -> None:
        """Refuse a kind of confidence that there is not, or that the models cannot give."""
        object.__setattr__(self, "also", tuple(k for k in dict.fromkeys(self.also) if k != self.confidence))
        object.__setattr__(self, "members", tuple(self.members))
        object.__setattr__(self, "calibration", tuple(self.calibration))
        kinds = (self.confidence, *self.also)
        for kind in kinds:
            if kind not in CONFIDENCES:
                raise SpecError(f"confidence must be one of {', '.join(CONFIDENCES)}, got {kind!r}")
        if "network" in kinds and self.model.confidence_path is None:
            raise SpecError(
                f"model {self.model.model_id} has no confidence network; take the confidence probability or entropy, "
                "or a model of the strategy asdnet (arms attention+fcn, semi-without-adversarial, proposed)"
            )
        if ("variance" in kinds) != bool(self.members):
            raise SpecError(
                "the confidence variance is that between the model and others; name them (--ensemble MODEL,…), or take "
                "the confidence probability or entropy"
                if not self.members
                else "models of an ensemble were named, but not the confidence variance that they are asked for"
            )
        same = [m.model_id for m in self.members if m.weights_hash == self.model.weights_hash]
        if same:
            raise SpecError(f"model {same[0]} has the weights of the model that labels; name another for the ensemble")

    @property
    def hash(self) -> str:
        """SHA-256 over everything that decides the result; an interrupted run of the same hash is gone on with."""
        return _digest({**self._settings(), "items": [_item_identity(i) for i in self.items]})

    @property
    def settings_hash(self) -> str:
        """SHA-256 over everything that decides the result but the cases: the same for all batches of a cohort."""
        return _digest(self._settings())

    def _settings(self) -> dict[str, Any]:
        return {
            "weights": self.model.weights_hash,
            "network": [self.model.network, self.model.network_parameters],
            "label_scheme": self.label_scheme.to_dict(),
            "crf": self.crf,
            "keep_largest_component": self.keep_largest_component,
            "confidence": [self.confidence, self.model.confidence_hash]
            if self.confidence == "network"
            else self.confidence,
            **({"also": list(self.also)} if self.also else {}),
            **({"members": sorted(m.weights_hash for m in self.members)} if self.members else {}),
            **({"calibration": [_item_identity(i) for i in self.calibration]} if self.calibration else {}),
            "evaluate": self.evaluate,
            "rule_limits": self.rule_limits,
            **({"qc": self.qc.weights_hash} if self.qc else {}),
            "preprocessing": dataclasses.asdict(self.model.preprocessing),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types with ``"kind": "predict"`` (or ``"evaluate"``)."""
        kind = "evaluate" if self.evaluate else "predict"
        return {"kind": kind, **dataclasses.asdict(self), "label_scheme": self.label_scheme.to_dict()}


def _start_model(data: dict[str, Any] | None) -> StartModel | None:
    return None if data is None else StartModel(**{**data, "preprocessing": Preprocessing(**data["preprocessing"])})


def spec_from_dict(document: dict[str, Any]) -> Any:
    """Read what `to_dict` wrote; SpecError names what is malformed."""
    try:
        data = dict(document)
        if data["kind"] in ("qc-train", "qc-score"):
            from napari_ssl.core.quality import quality_spec_from_dict  # quality control builds on these orders

            return quality_spec_from_dict(data)
        if data["kind"] == "cohort":
            from napari_ssl.core.cohort import cohort_spec_from_dict

            return cohort_spec_from_dict(data)
        kind = data.pop("kind")
        data["label_scheme"] = LabelScheme.from_dict(data["label_scheme"])
        if kind in ("train", "predict", "evaluate"):
            data["resources"] = resources_from_dict(data.get("resources"))
        for name in ("items", "validation", "evaluation", "calibration"):
            if name in data:
                data[name] = tuple(TrainingItem(**i) for i in data[name])
        if kind == "train":
            data["preprocessing"] = Preprocessing(**data["preprocessing"])
            data["start"] = _start_model(data.get("start"))
            data["qc"] = QcReference(**data["qc"]) if data.get("qc") else None
            return TrainingSpec(**data)
        if kind in ("predict", "evaluate"):
            data["model"] = _start_model(data["model"])
            data["members"] = tuple(_start_model(m) for m in data.get("members", ()))
            data["qc"] = QcReference(**data["qc"]) if data.get("qc") else None
            return PredictionSpec(**data)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise SpecError(f"malformed order: {type(error).__name__}: {error}") from error
    raise SpecError(f"unknown kind of order {kind!r}; there are train, predict, cohort, evaluate, qc-train, qc-score")
