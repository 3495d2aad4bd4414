"""Which proposals quality control would let into a training by today's scores, explained before the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_ssl.core.case import Split
from napari_ssl.gui.queue_model import TO_DO
from napari_ssl.measures.selection import Selection, balanced, best_in_class, difficulty_classes, threshold
from napari_ssl.study.queue_rows import QueueRow

__all__ = ["SelectionRule", "explain", "rule_of"]


@dataclass(frozen=True, slots=True)
class SelectionRule:
    """How pseudo-labels are chosen: `kind` as in ``semi-qc-seg``, ``threshold`` or ``random``; `n` 0 means all."""

    kind: str
    n: int
    at_least: float = 0.0


def rule_of(strategy: Mapping[str, Any], policy: str, policy_values: Mapping[str, Any]) -> SelectionRule | None:
    """Return the rule that a form describes, None when quality control chooses nothing.

    Parameters
    ----------
    strategy : mapping
        The strategy's parameters; those of ``semi-qc-seg`` choose by themselves.
    policy : str
    policy_values : mapping
        The policy's parameters.
    """
    if strategy.get("arm") == "qc" and "n_cases" in strategy:
        return SelectionRule(str(strategy["selection"]), int(strategy["n_cases"]))
    if policy == "qc":
        return SelectionRule("threshold", int(policy_values["n_best"]), float(policy_values["threshold"]))
    return SelectionRule("random", int(policy_values["n"])) if policy == "random" else None


def explain(rows: Sequence[QueueRow], rule: SelectionRule, operating_point: float | None) -> tuple[str, str]:
    """Return the selection in a sentence, and the reasons of the chosen cases for a tooltip.

    Parameters
    ----------
    rows : sequence of QueueRow
        All cases; training cases that nobody labelled or decided take part.
    operating_point : float or None
        The classifier's, which a threshold of 0 stands for.
    """
    pool = [r for r in rows if r.split is Split.TRAIN and r.state in TO_DO and not r.has_reference]
    if rule.kind == "random":
        n = min(rule.n, len(pool))
        return f"{n} of {len(pool)} cases, drawn by chance.", ""
    scored = {r.case_id: r.probability_good for r in pool if r.probability_good is not None}
    if not scored:
        return (
            f"None of {len(pool)} cases is scored yet: “Score proposals” (tab Quality) shows which would be taken. "
            "The training scores its own pseudo-labels.",
            "",
        )
    selection = _select(scored, rule, operating_point, pool)
    what = "best in class" if rule.kind in ("best-in-class", "threshold") else rule.kind.replace("-", " ")
    lowest = min((scored[c] for c in selection.case_ids), default=None)
    ends = "" if lowest is None else f", lowest P(good) {lowest:.2f}"
    text = f"By today's scores: {len(selection)} of {len(scored)} {what}{ends}. {selection.summary}"
    unscored = len(pool) - len(scored)
    if unscored:
        text += f" {unscored} are not scored."
    reasons = [f"{case_id}: {selection.why[case_id]}" for case_id in selection.case_ids[:30]]
    return text, "\n".join(reasons)


def _select(
    scored: Mapping[str, float], rule: SelectionRule, operating_point: float | None, pool: Sequence[QueueRow]
) -> Selection:
    if rule.kind == "threshold":
        return threshold(scored, rule.at_least or operating_point or 0.0, rule.n or None)
    if rule.kind == "balanced-groups":
        return balanced(scored, rule.n, {r.case_id: r.group or "other" for r in pool})
    if rule.kind == "balanced-difficulty":
        known = {r.case_id: r.mean_confidence for r in pool if r.mean_confidence is not None}
        return balanced(scored, rule.n, difficulty_classes(known))
    return best_in_class(scored, rule.n)
