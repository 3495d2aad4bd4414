"""The orders of quality control: train a classifier of volume curves, score proposals with one.

What counts as evidence: ratings of readers, decisions of the review, proposals measured against expert labels of some
frames, and simulated faults. How many simulated examples an order takes shrinks with the ratings that there are
(`simulated_count`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.core.parameters import from_mapping, parameter, validate
from napari_ssl.core.rating import QC_KINDS
from napari_ssl.core.training import TrainingItem
from napari_ssl.errors import SpecError

__all__ = [
    "CURVE_ROLES",
    "DOUBTFUL_BELOW",
    "CurveExample",
    "CurveItem",
    "ExampleSource",
    "QcParameters",
    "QcScoringSpec",
    "QcTrainingSpec",
    "curve_kind",
    "quality_spec_from_dict",
    "simulated_count",
]

DOUBTFUL_BELOW = 0.5
"""A committee's probability of a good Dice below which a proposal is flagged."""
_PAPER = "Ruijsink et al. 2020, Sec. 3.1"

CURVE_ROLES: Mapping[str, tuple[StructureRole, ...]] = {
    "short-axis": (StructureRole.LV_CAVITY, StructureRole.RV_CAVITY, StructureRole.MYOCARDIUM),
    "aorta": (StructureRole.AORTA,),
}
"""Structures whose curves each kind of classifier reads, in the order of its input channels."""


def curve_kind(scheme: LabelScheme) -> str:
    """Return the kind of classifier that suits a label scheme.

    Raises
    ------
    SpecError
        The scheme has neither a ventricle nor an aorta.
    """
    for kind, roles in CURVE_ROLES.items():
        cavities = [r for r in roles if r is not StructureRole.MYOCARDIUM]
        if any(scheme.by_role(role) is not None for role in cavities):
            return kind
    raise SpecError(
        f"label scheme {scheme.name!r} has neither ventricle nor aorta, so there is no curve to judge; give its "
        f"structures roles ({', '.join(r.value for roles in CURVE_ROLES.values() for r in roles)})"
    )


class ExampleSource(StrEnum):
    """Who says that a curve set is good or erroneous."""

    RATED = "rated"
    DECIDED = "decided"
    MEASURED = "measured"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class QcParameters:
    """How a classifier of curves is trained; figures in `benchmarks/quality.py`."""

    length: str = parameter(
        "resample",
        "Curves of different length",
        choices=("resample", "mask"),
        source="open in the paper; measured: AUC 0.956 resampled, 0.948 masked (benchmarks/quality.py, length)",
    )
    n_points: int = parameter(
        32, "Points that a cycle is resampled to", low=8, high=256, source="open in the paper; between 12 and 50 frames"
    )
    width: int = parameter(32, "Units per layer", low=4, high=512, source="open in the paper; measured")
    learning_rate: float = parameter(3e-3, "Learning rate (AdamW)", low=1e-6, high=1, source="project default")
    weight_decay: float = parameter(1e-4, "Weight decay", low=0, high=1, source="project default")
    batch_size: int = parameter(64, "Curve sets per step", low=1, high=4096, source="project default")
    epochs: int = parameter(60, "Most epochs", low=1, high=10000, source="project default")
    patience: int = parameter(
        12, "Stop after so many epochs without a better validation loss", low=1, high=1000, source="project default"
    )
    folds: int = parameter(5, "Folds of the cross-validation by subject", low=2, high=20, source="Kohavi, IJCAI 1995")
    sensitivity_weight: float = parameter(
        0.8,
        "w of the weighted Youden index w·sensitivity + (1 − w)·specificity",
        low=0.5,
        high=0.99,
        source=f"{_PAPER} reaches 95 %, w is open; measured: 0.8 gives 96 % (specificity 84 %), 0.9 97 % (75 %)",
    )
    calibration: str = parameter(
        "platt",
        "Calibration of the probabilities on held-out folds",
        choices=("none", "temperature", "platt"),
        source="Platt 1999; measured error .025 (temperature .024, none .025); mends unequal shares of verdicts",
    )
    decision_weight: float = parameter(
        0.5, "Weight of a review decision beside a rating of 1", low=0, high=1, source="project default"
    )
    measured_weight: float = parameter(
        0.5,
        "Weight of a proposal measured against expert labels beside a rating of 1",
        low=0,
        high=1,
        source="project default",
    )
    measured_dice: float = parameter(
        0.8,
        "Mean Dice with the expert labels from which a proposal is good",
        low=0.05,
        high=0.99,
        source="readers agree to 0.88 to 0.93 (Bai et al. 2018); decisions have the same limit",
    )
    simulated_weight: float = parameter(
        0.5, "Weight of a simulated example beside a rating of 1", low=0, high=1, source="project default"
    )
    network_share: float = parameter(
        0.5,
        "Share of the simulated pairs that err as networks do",
        low=0,
        high=1,
        source="measured: AUC 0.65 on errors of early-stopped networks, gross faults alone 0.50 "
        "(23 patients, benchmarks/quality.py, cine)",
    )
    max_simulated: int = parameter(
        1000,
        "Simulated curve sets while there are no ratings",
        low=0,
        high=100000,
        source=f"as many as rated in {_PAPER}",
    )
    enough_ratings: int = parameter(
        800,
        "From so many ratings on nothing is simulated",
        low=2,
        high=100000,
        source="learning curve: AUC 0.89, 0.92, 0.92, 0.94 from 100, 200, 400, 800 (benchmarks/quality.py)",
    )
    learning_curve: bool = parameter(True, "Measure how many ratings are enough", source="project default")

    def __post_init__(self) -> None:
        validate(self)


def simulated_count(examples: Sequence[CurveExample], parameters: QcParameters) -> int:
    """Number of simulated curve sets beside these examples: falls linearly to 0 at ``enough_ratings``.

    Twice the rarer verdict counts, so that many ratings of one kind do not replace what was simulated of the other.
    """
    rated = [e.good for e in examples if e.source is ExampleSource.RATED]
    balanced = 2 * min(sum(rated), len(rated) - sum(rated))
    return math.ceil(parameters.max_simulated * max(0.0, 1.0 - balanced / parameters.enough_ratings))


Curves = Mapping[str, tuple[float | None, ...]]


def _checked_curves(name: str, curves: Mapping[str, Sequence[float | None]]) -> dict[str, tuple[float | None, ...]]:
    plain = {
        structure: tuple(None if v is None or not math.isfinite(v) else float(v) for v in values)
        for structure, values in curves.items()
    }
    lengths = {len(v) for v in plain.values()}
    if not plain or len(lengths) != 1 or min(lengths) < 2:
        raise SpecError(
            f"curve set {name}: needs curves of one length, two frames or more, got {sorted(lengths) or 'none'}"
        )
    return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveExample:
    """Curves of one segmentation and whether it is good.

    Parameters
    ----------
    id, subject_id : str
    curves : dict of structure name to (T,) volumes
        Any unit; None where a frame is not labelled.
    good : bool
    source : ExampleSource
    weight : float
        Weight in the loss.
    time_ms : tuple of float or None
        Kept for the record; the classifier reads shares of the cycle.
    """

    id: str
    subject_id: str
    curves: Curves
    good: bool
    source: ExampleSource = ExampleSource.RATED
    weight: float = 1.0
    time_ms: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", ExampleSource(self.source))
        object.__setattr__(self, "curves", _checked_curves(self.id, self.curves))
        object.__setattr__(self, "good", bool(self.good))
        if self.time_ms is not None:
            object.__setattr__(self, "time_ms", tuple(float(t) for t in self.time_ms))
        if not 0 <= self.weight <= 1000:
            raise SpecError(f"curve set {self.id}: weight must be in [0, 1000], got {self.weight}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveItem:
    """Curves of one label version that is to be scored."""

    segmentation_id: int
    case_id: str
    curves: Curves

    def __post_init__(self) -> None:
        object.__setattr__(self, "curves", _checked_curves(self.case_id, self.curves))


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class QcTrainingSpec:
    """An order to train a classifier of curves; same hash, same weights on the same machine.

    Parameters
    ----------
    curve_kind : str
        ``short-axis`` or ``aorta``.
    parameters : dict
        Values of `QcParameters`.
    label_scheme : LabelScheme
        Says what the names of the curves mean.
    examples : tuple of CurveExample
        Rated, decided and measured ones.
    cycles : tuple of TrainingItem
        Label maps of full cycles that a person stands for: what faults are simulated in.
    n_simulated : int
        Simulated curve sets, see `simulated_count`.
    """

    curve_kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    label_scheme: LabelScheme
    examples: tuple[CurveExample, ...] = ()
    cycles: tuple[TrainingItem, ...] = ()
    n_simulated: int = 0
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("examples", "cycles"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.curve_kind not in QC_KINDS:
            raise SpecError(f"kind of curves must be one of {', '.join(QC_KINDS)}, got {self.curve_kind!r}")
        roles = CURVE_ROLES[self.curve_kind]
        if all(self.label_scheme.by_role(role) is None for role in roles if role is not StructureRole.MYOCARDIUM):
            raise SpecError(
                f"label scheme {self.label_scheme.name!r} has none of {', '.join(r.value for r in roles)}, whose curve "
                f"{self.curve_kind} classifiers read; choose the kind {curve_kind(self.label_scheme)}"
            )
        values = from_mapping(QcParameters, self.parameters)
        object.__setattr__(self, "parameters", dataclasses.asdict(values))
        verdicts = {e.good for e in self.examples}
        if self.n_simulated <= 0 and verdicts != {True, False}:
            raise SpecError(
                "a classifier needs good and erroneous curve sets; rate some of both (in the window's tab Rate, "
                "or napari-ssl qc ratings import), or let faults be simulated (max_simulated above 0)"
            )
        ids = [e.id for e in self.examples]
        if len(set(ids)) != len(ids):
            raise SpecError(f"curve set {next(i for i in ids if ids.count(i) > 1)} is in the order twice")

    @property
    def hash(self) -> str:
        """SHA-256 over everything that decides the result; paths and device are left out."""
        document = self.to_dict()
        del document["device"]
        document["cycles"] = [[i.case_id, i.subject_id, i.label_hash, list(i.frames)] for i in self.cycles]
        return _digest(document)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types with ``"kind": "qc-train"``."""
        return _plain({"kind": "qc-train", **dataclasses.asdict(self), "label_scheme": self.label_scheme.to_dict()})


@dataclass(frozen=True, slots=True, kw_only=True)
class QcScoringSpec:
    """An order to score label versions by their curves. `card` is the classifier's; nothing is read from the study."""

    classifier_id: str
    weights_path: str
    weights_hash: str
    card: dict[str, Any]
    label_scheme: LabelScheme
    items: tuple[CurveItem, ...]
    device: str = "cpu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        if not self.items:
            raise SpecError("no proposal with curves to score; label some cases first (napari-ssl predict)")

    @property
    def hash(self) -> str:
        """SHA-256 over everything that decides the result."""
        document = self.to_dict()
        for name in ("device", "weights_path"):
            del document[name]
        return _digest(document)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types with ``"kind": "qc-score"``."""
        return _plain({"kind": "qc-score", **dataclasses.asdict(self), "label_scheme": self.label_scheme.to_dict()})


def _plain(document: Any) -> Any:
    return json.loads(json.dumps(document, allow_nan=False))


def quality_spec_from_dict(data: Mapping[str, Any]) -> QcTrainingSpec | QcScoringSpec:
    """Read what `to_dict` wrote; KeyError, TypeError or ValueError where it is malformed."""
    data = dict(data)
    kind = data.pop("kind")
    data["label_scheme"] = LabelScheme.from_dict(data["label_scheme"])
    if kind == "qc-score":
        return QcScoringSpec(**{**data, "items": tuple(CurveItem(**i) for i in data["items"])})
    data["examples"] = tuple(CurveExample(**e) for e in data["examples"])
    data["cycles"] = tuple(TrainingItem(**i) for i in data["cycles"])
    return QcTrainingSpec(**data)
