"""What the models panel shows, as texts: the list, the comparison of two models, the provenance of one. Free of Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from napari_ssl.core.catalogue import DEPLOYABLE, STRATEGIES
from napari_ssl.core.decision import Decision
from napari_ssl.core.model import Model, ModelState

__all__ = [
    "CaseRow",
    "StructureRow",
    "case_rows",
    "comparison_sentence",
    "default_pair",
    "mean_dice",
    "provenance",
    "shared_splits",
    "structure_rows",
]

SPLITS = ("test", "validation")
_QUANTITIES = (("dice", "Dice", 3), ("hd95_mm", "HD95", 1), ("ef_abs_error_points", "EF err.", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureRow:
    """One line of the comparison: a quantity of a structure; `good` is +1 better, −1 worse, 0 undecided."""

    title: str
    old: str
    new: str
    difference: str
    interval: str
    good: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """One case under two models; numbers are None where they do not exist."""

    case_id: str
    old_dice: float | None
    new_dice: float | None
    old_ef_error: float | None
    new_ef_error: float | None

    @property
    def difference(self) -> float | None:
        """Gain in mean Dice."""
        return None if self.old_dice is None or self.new_dice is None else self.new_dice - self.old_dice


def mean_dice(model: Model, split: str) -> float | None:
    """Return the mean Dice of a model on a split, None when it was not measured."""
    return ((model.metrics.get(split) or {}).get("mean") or {}).get("mean_dice")


def default_pair(models: Sequence[Model]) -> tuple[Model | None, Model | None]:
    """Return the promoted model and the newest candidate; without a candidate the two newest models."""
    promoted = next((m for m in models if m.state is ModelState.PROMOTED), None)
    candidates = [m for m in models if m.state is ModelState.CANDIDATE]
    if promoted is not None and candidates:
        return promoted, candidates[-1]
    if promoted is not None:
        earlier = [m for m in models if m is not promoted]
        return (earlier[-1] if earlier else None), promoted
    return (models[-2] if len(models) > 1 else None), (models[-1] if models else None)


def shared_splits(old: Model, new: Model) -> tuple[str, ...]:
    """Return the splits that both models were measured on, test first."""
    return tuple(s for s in SPLITS if old.metrics.get(s) and new.metrics.get(s))


def _signed(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def structure_rows(comparison: Mapping[str, Any]) -> list[StructureRow]:
    """Turn the document of `measures.evaluation.compare` into lines: Dice, HD95 and EF error per structure."""
    verdicts = {"better": 1, "worse": -1}
    rows = []
    for quantity, title, digits in _QUANTITIES:
        for structure, d in (comparison.get(quantity) or {}).items():
            if structure == "mean" and quantity != "dice":
                continue
            interval = "–" if d["low"] is None else f"{_signed(d['low'], digits)}…{_signed(d['high'], digits)}"
            rows.append(
                StructureRow(
                    title=f"{title} {structure}",
                    old=_number(d["old"], digits),
                    new=_number(d["new"], digits),
                    difference=_signed(d["difference"], digits),
                    interval=interval,
                    good=verdicts.get(d["verdict"], 0),
                )
            )
    return rows


def comparison_sentence(comparison: Mapping[str, Any], split: str) -> str:
    """Say in one sentence what the comparison found."""
    mean = (comparison.get("dice") or {}).get("mean")
    n = comparison["n_subjects"]
    subjects = f"{n} {split} subject{'s' if n != 1 else ''}"
    if mean is None:
        return f"No Dice on {subjects}."
    verdict = {"better": "The new model is better", "worse": "The new model is worse"}.get(
        mean["verdict"], "No clear difference"
    )
    change = f"mean Dice {_number(mean['old'], 3)} → {_number(mean['new'], 3)} ({_signed(mean['difference'], 3)})"
    spread = ""
    if mean["low"] is not None:
        level = round(100 * comparison.get("level", 0.95))
        spread = f", {level} % interval {_signed(mean['low'], 3)} to {_signed(mean['high'], 3)}"
    return f"{verdict}: {change}{spread}, {subjects}; better in {mean['better']}, worse in {mean['worse']}."


def case_rows(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[CaseRow]:
    """Pair the cases of two evaluations, the largest loss of Dice first."""
    before = {c["case_id"]: c for c in old["cases"]}
    rows = [
        CaseRow(
            case_id=c["case_id"],
            old_dice=_mean(before[c["case_id"]].get("dice")),
            new_dice=_mean(c.get("dice")),
            old_ef_error=(before[c["case_id"]].get("ef_error_points") or {}).get("LV"),
            new_ef_error=(c.get("ef_error_points") or {}).get("LV"),
        )
        for c in new["cases"]
        if c["case_id"] in before
    ]
    return sorted(rows, key=lambda r: (r.difference is None, r.difference or 0.0, r.case_id))


def _mean(values: Mapping[str, float | None] | None) -> float | None:
    present = [v for v in (values or {}).values() if v is not None]
    return sum(present) / len(present) if present else None


def _when(moment: datetime | str) -> str:
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def provenance(
    model: Model,
    card: Mapping[str, Any],
    events: Iterable[Mapping[str, Any]],
    decisions: Iterable[Decision],
) -> str:
    """Tell where a model comes from: order, parents, cases with the decisions behind them, and what became of it."""
    strategy, network = STRATEGIES.get(model.strategy), DEPLOYABLE.get(model.network)
    counts = Counter(role for _, role, _ in card.get("training_cases", ()))
    lines = [
        f"{model.id}: round {model.round}, {model.state.value}, made {_when(model.created_at)}",
        f"Strategy: {strategy.title if strategy else model.strategy}" + (f" ({strategy.paper})" if strategy else ""),
        f"Network: {network.title if network else model.network}",
        f"Started from: {card.get('started_from') or 'random weights'}",
        f"Models before it (weights or proposals that it learned from): {', '.join(model.parents) or 'none'}",
        f"Order: {model.spec_hash[:16]}, seed {card.get('seed', '–')}, device {card.get('device', '–')}, "
        f"{card.get('threads', '–')} thread(s), policy {card.get('policy', '–')}",
        f"Learned from {sum(counts.values())} cases: " + ", ".join(f"{n} {role}" for role, n in counts.items()),
    ]
    by_label = {(d.case_id, d.label_hash): d for d in decisions}
    for case_id, role, label_hash in card.get("training_cases", ()):
        decision = by_label.get((case_id, label_hash)) if role in ("accepted", "corrected") else None
        lines.append(f"  {case_id}  {role}{_decision_text(decision)}")
    parameters = ", ".join(f"{name}={value}" for name, value in card.get("parameters", {}).items())
    lines.append(f"Parameters: {parameters or '–'}")
    for event in events:
        lines.append(f"{_when(event['at'])}  {event['event'].replace('_', ' ')} by {event['by']}")
    return "\n".join(lines)


def _decision_text(decision: Decision | None) -> str:
    if decision is None:
        return ""
    model = f", proposed by {decision.model_id}" if decision.model_id else ""
    comment = f": {decision.comment}" if decision.comment else ""
    return f" by {decision.reader}, {_when(decision.decided_at)}{model}{comment}"
