"""Is the loop getting better? One record a round, and alarms when a round makes things worse.

The rule. A round is worse than an earlier one of the same method (strategy, network) when

- its validation loss lies more than `loss_rise_percent` above the lowest of the earlier rounds (Ruijsink 2020 stops
  when the loss on the validation set rises over the iterations of semi-supervised training), or
- its validation Dice, averaged over structures, is lower by `dice_fall` or more than that of the best earlier round on
  the same subjects and the 95 % bootstrap interval of the difference leaves zero out, or
- quality control flags more of its proposals than of the round before on the same cases: the share rises by
  `flagged_rise_points` or more and an exact McNemar test (one-sided) gives p < `p_value`.

Any of these in the newest round advises to stop: keep the model of the best round, and look at what was accepted. Apart
from that the classifier itself may drift away from the readers: Spiegelhalter's z of its probabilities against ratings
(Stat. Med. 5:421, 1986) beyond `calibration_z` asks for it to be trained anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from napari_ssl.core.parameters import parameter, validate
from napari_ssl.measures.evaluation import compare

__all__ = ["DriftAlarm", "DriftLimits", "DriftReport", "RoundRecord", "monitor_drift", "spiegelhalter_z"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLimits:
    """When a round counts as worse."""

    loss_rise_percent: float = parameter(
        5.0, "Validation loss may rise by", unit="%", low=0.0, high=1000.0, source="open in the paper"
    )
    dice_fall: float = parameter(
        0.005, "Validation Dice may fall by", low=0.0, high=1.0, source="what another seed changes"
    )
    flagged_rise_points: float = parameter(
        5.0, "Share of flagged proposals may rise by", unit="percentage points", low=0.0, high=100.0
    )
    p_value: float = parameter(0.05, "Level of the test that goes with it", low=0.0, high=1.0)
    least_cases: int = parameter(10, "Cases that both rounds must have proposals for", low=1, high=10_000)
    calibration_z: float = parameter(
        2.58, "Spiegelhalter's z may be at most", low=0.0, high=100.0, source="1 % of well-calibrated classifiers"
    )
    least_ratings: int = parameter(20, "Ratings that the z needs", low=2, high=100_000)

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """What is known about one round.

    Parameters
    ----------
    round : int
    model_id : str
    method : str
        Strategy and network; losses and Dice are compared within one method.
    validation_loss : float or None
    validation : mapping or None
        Document of `napari_ssl.measures.evaluation.summarise` on the validation cases.
    flagged : mapping of case to bool
        Whether quality control (classifier or rules) flags the model's proposal.
    rated : tuple of (probability of good, good)
        Proposals that have both a score and a consensus of ratings.
    """

    round: int
    model_id: str
    method: str = ""
    validation_loss: float | None = None
    validation: Mapping[str, Any] | None = None
    flagged: Mapping[str, bool] = field(default_factory=dict)
    rated: tuple[tuple[float, bool], ...] = ()

    @property
    def share_flagged(self) -> float | None:
        """Share of proposals that are flagged; None without any."""
        return sum(self.flagged.values()) / len(self.flagged) if self.flagged else None

    @property
    def validation_dice(self) -> float | None:
        """Mean Dice over the structures on the validation cases."""
        return ((self.validation or {}).get("mean") or {}).get("mean_dice")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftAlarm:
    """Something got worse: `kind` is ``validation-loss``, ``validation-dice``, ``flagged`` or ``calibration``."""

    round: int
    model_id: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """Rounds in order, alarms, whether the loop should stop, and the advice in a sentence."""

    rounds: tuple[RoundRecord, ...]
    alarms: tuple[DriftAlarm, ...]
    stop: bool
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "rounds": [_round_document(r) for r in self.rounds],
            "alarms": [asdict(a) for a in self.alarms],
            "stop": self.stop,
            "advice": self.advice,
        }


def monitor_drift(rounds: Sequence[RoundRecord], limits: DriftLimits | None = None) -> DriftReport:
    """Compare every round with the ones before; see the module's docstring for the rule.

    Parameters
    ----------
    rounds : sequence of RoundRecord
        In the order in which the models were made.
    """
    limits = limits or DriftLimits()
    alarms: list[DriftAlarm] = []
    for place, record in enumerate(rounds):
        same = [r for r in rounds[:place] if r.method == record.method]
        alarms += _worse_loss(record, same, limits)
        alarms += _worse_dice(record, same, limits)
        alarms += _more_flagged(record, rounds[:place], limits)
        alarms += _uncalibrated(record, limits)
    worse = [a for a in alarms if rounds and a.model_id == rounds[-1].model_id and a.kind != "calibration"]
    return DriftReport(
        rounds=tuple(rounds), alarms=tuple(alarms), stop=bool(worse), advice=_advice(rounds, alarms, worse)
    )


def spiegelhalter_z(rated: Sequence[tuple[float, bool]]) -> float:
    """Spiegelhalter's z of probabilities against outcomes: standard normal where they fit; NaN without variance."""
    if not rated:
        return math.nan
    p, x = (np.array(column, float) for column in zip(*rated, strict=True))
    variance = float(((1 - 2 * p) ** 2 * p * (1 - p)).sum())
    return float(((x - p) * (1 - 2 * p)).sum() / math.sqrt(variance)) if variance > 0 else math.nan


def _worse_loss(record: RoundRecord, earlier: Sequence[RoundRecord], limits: DriftLimits) -> list[DriftAlarm]:
    known = [r for r in earlier if r.validation_loss is not None]
    if record.validation_loss is None or not known:
        return []
    best = min(known, key=lambda r: r.validation_loss)
    rise = 100.0 * (record.validation_loss - best.validation_loss) / abs(best.validation_loss or 1.0)
    if rise <= limits.loss_rise_percent:
        return []
    return [
        _alarm(
            record,
            "validation-loss",
            f"validation loss {record.validation_loss:.4f} is {rise:.0f} % above the {best.validation_loss:.4f} of "
            f"round {best.round} (at most {limits.loss_rise_percent:g} %)",
        )
    ]


def _worse_dice(record: RoundRecord, earlier: Sequence[RoundRecord], limits: DriftLimits) -> list[DriftAlarm]:
    known = [r for r in earlier if r.validation_dice is not None]
    if record.validation_dice is None or not known:
        return []
    best = max(known, key=lambda r: r.validation_dice)
    shared = {c["case_id"] for c in best.validation["cases"]} & {c["case_id"] for c in record.validation["cases"]}
    if not shared:
        return []
    dice = compare(dict(best.validation), dict(record.validation))["dice"]["mean"]
    if dice["verdict"] != "worse" or -dice["difference"] < limits.dice_fall:
        return []
    return [
        _alarm(
            record,
            "validation-dice",
            f"validation Dice fell from {dice['old']:.3f} (round {best.round}) to {dice['new']:.3f}, by "
            f"{-dice['high']:.3f} to {-dice['low']:.3f}",
        )
    ]


def _more_flagged(record: RoundRecord, earlier: Sequence[RoundRecord], limits: DriftLimits) -> list[DriftAlarm]:
    before = next((r for r in reversed(earlier) if r.flagged), None)
    if before is None:
        return []
    shared = sorted(set(before.flagged) & set(record.flagged))
    if len(shared) < limits.least_cases:
        return []
    newly = sum(record.flagged[c] and not before.flagged[c] for c in shared)
    no_longer = sum(before.flagged[c] and not record.flagged[c] for c in shared)
    rise = 100.0 * (newly - no_longer) / len(shared)
    if newly <= no_longer or rise < limits.flagged_rise_points:
        return []
    from scipy.stats import binomtest  # takes most of a second, which every command would wait for

    p = binomtest(newly, newly + no_longer, 0.5, alternative="greater").pvalue
    if p >= limits.p_value:
        return []
    old, new = (100.0 * sum(r.flagged[c] for c in shared) / len(shared) for r in (before, record))
    return [
        _alarm(
            record,
            "flagged",
            f"quality control flags {new:.0f} % of {len(shared)} proposals, {old:.0f} % of those of round "
            f"{before.round} on the same cases (p = {p:.3g})",
        )
    ]


def _uncalibrated(record: RoundRecord, limits: DriftLimits) -> list[DriftAlarm]:
    z = spiegelhalter_z(record.rated)
    if len(record.rated) < limits.least_ratings or math.isnan(z) or abs(z) <= limits.calibration_z:
        return []
    predicted = float(np.mean([p for p, _ in record.rated]))
    good = float(np.mean([g for _, g in record.rated]))
    return [
        _alarm(
            record,
            "calibration",
            f"the classifier expects {100 * predicted:.0f} % of {len(record.rated)} rated proposals to be good, "
            f"readers find {100 * good:.0f} % good (z = {z:.1f}); train it anew with these ratings",
        )
    ]


def _alarm(record: RoundRecord, kind: str, message: str) -> DriftAlarm:
    return DriftAlarm(
        round=record.round, model_id=record.model_id, kind=kind, message=f"Round {record.round}: {message}."
    )


def _advice(rounds: Sequence[RoundRecord], alarms: Sequence[DriftAlarm], worse: Sequence[DriftAlarm]) -> str:
    if not rounds:
        return "No round yet."
    if worse:
        sound = [
            r for r in rounds[:-1] if not any(a.model_id == r.model_id and a.kind != "calibration" for a in alarms)
        ]
        keep = f"keep model {sound[-1].model_id} (round {sound[-1].round})" if sound else "keep an earlier model"
        return f"Stop: round {rounds[-1].round} made things worse; {keep} and look at the cases that were added since."
    if any(a.kind == "calibration" and a.model_id == rounds[-1].model_id for a in alarms):
        return "Go on, but train the classifier of curves anew: readers no longer agree with it."
    if len(rounds) == 1:
        return "Go on: one round, nothing to compare it with yet."
    return f"Go on: round {rounds[-1].round} is not worse than the rounds before."


def _round_document(record: RoundRecord) -> dict[str, Any]:
    z = spiegelhalter_z(record.rated)
    n = len(record.rated)
    return {
        "round": record.round,
        "model_id": record.model_id,
        "method": record.method,
        "validation_loss": record.validation_loss,
        "validation_dice": record.validation_dice,
        "n_proposals": len(record.flagged),
        "share_flagged": record.share_flagged,
        "n_rated": n,
        "mean_probability_good": float(np.mean([p for p, _ in record.rated])) if n else None,
        "share_rated_good": float(np.mean([g for _, g in record.rated])) if n else None,
        "calibration_z": None if math.isnan(z) else z,
    }
