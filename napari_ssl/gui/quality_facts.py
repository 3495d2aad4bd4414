"""What the quality panel shows about a study, read in a thread; free of Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from napari_ssl.core.quality import curve_kind
from napari_ssl.core.rating import QcClassifier, standing_ratings
from napari_ssl.errors import CheckpointError, SpecError
from napari_ssl.measures.reader_agreement import rating_agreement
from napari_ssl.rounds.drift import study_drift
from napari_ssl.study.study import Study

__all__ = ["QualityFacts", "agreement_text", "classifier_text", "ratings_text", "read_quality"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFacts:
    """Ratings, the classifier in use with its card, and how many proposals it has scored.

    `alarm` says that the newest round made things worse, or that readers no longer agree with the classifier.
    `obstacle` says why nothing can be judged at all, `problem` why the classifier's card cannot be read.
    """

    verdicts: Mapping[bool | None, int] = field(default_factory=dict)
    mean_seconds: float | None = None
    agreement: Mapping[str, Any] = field(default_factory=dict)
    classifier: QcClassifier | None = None
    card: Mapping[str, Any] | None = None
    n_proposals: int = 0
    n_scored: int = 0
    n_flagged: int = 0
    alarm: str = ""
    obstacle: str = ""
    problem: str = ""


def read_quality(study: Study) -> QualityFacts:
    """Read it all; some 0.1 s for 10,000 cases."""
    try:
        kind = curve_kind(study.label_scheme)
    except SpecError as error:
        return QualityFacts(obstacle=str(error))
    ratings = study.ratings()
    standing = [r for r in standing_ratings(ratings) if not r.is_adjudication]
    timed = [r.seconds for r in standing if r.seconds > 0]
    classifier = study.classifier(kind)
    card, problem = None, ""
    if classifier is not None:
        try:
            card = study.classifier_card(classifier.id)
        except CheckpointError as error:
            problem = str(error)
    rows = [r for r in study.queue_rows() if r.proposal_id is not None]
    scores = study.scores([r.proposal_id for r in rows])
    mine = [s for s in scores.values() if classifier is not None and s.classifier_id == classifier.id]
    return QualityFacts(
        verdicts=Counter(r.is_good for r in standing),
        mean_seconds=fmean(timed) if timed else None,
        agreement=rating_agreement(ratings),
        classifier=classifier,
        card=card,
        n_proposals=len(rows),
        n_scored=len(mine),
        n_flagged=sum(s.is_flagged for s in mine),
        alarm=_alarm(study),
        problem=problem,
    )


def _alarm(study: Study) -> str:
    """Return what got worse with the newest round and what to do, empty when nothing did."""
    report = study_drift(study)
    newest = [a.message for a in report.alarms if a.model_id == report.rounds[-1].model_id]
    return " ".join([*newest, report.advice]) if newest else ""


def ratings_text(facts: QualityFacts) -> str:
    """Return how many ratings there are, by verdict and reader."""
    n = sum(facts.verdicts.values())
    if not n:
        return "No ratings yet. Rate curves in the tab Rate; until then the classifier learns from simulated faults."
    readers = facts.agreement["readers"]
    by_reader = ", ".join(f"{name} {count}" for name, count in readers.items())
    text = (
        f"{n} rating{'s' if n != 1 else ''}: {facts.verdicts.get(True, 0)} good, {facts.verdicts.get(False, 0)} "
        f"erroneous, {facts.verdicts.get(None, 0)} not readable ({by_reader})"
    )
    return f"{text}, {facts.mean_seconds:.0f} s each." if facts.mean_seconds else f"{text}."


def agreement_text(facts: QualityFacts) -> str:
    """Return how well the readers agree, empty with one reader."""
    agreement = facts.agreement
    if len(agreement.get("readers", ())) < 2:
        return ""
    if not agreement["n_shared"]:
        return "Agreement: no curve was rated by two readers yet."
    kappa = agreement["good"]["value"]
    value = "not defined (one verdict only)" if kappa is None else f"κ {kappa:.2f}"
    n_tied = len(agreement["to_settle"])
    tied = f"; {n_tied} to settle (napari-ssl qc adjudicate)" if n_tied else ""
    return f"Agreement on good or erroneous: {value} over {agreement['n_shared']} curves{tied}."


def classifier_text(facts: QualityFacts) -> str:
    """Return what the classifier is, what it learned from and how good it is on subjects it had not seen."""
    if facts.obstacle or facts.problem:
        return facts.obstacle or facts.problem
    if facts.classifier is None or facts.card is None:
        return "No classifier yet."
    evidence, metrics = facts.card.get("evidence", {}), facts.card.get("metrics", {}).get("all", {})
    measured = f", {evidence['measured']} measured" if evidence.get("measured") else ""
    lines = [
        f"{facts.classifier.id}, of {facts.classifier.created_at.astimezone():%d %b %Y %H:%M}",
        f"Learned from {evidence.get('rated', 0)} rated, {evidence.get('decided', 0)} decided{measured} and "
        f"{evidence.get('simulated', 0)} simulated curve sets.",
    ]
    if metrics:
        lines += [
            f"AUC {_with_interval(metrics, 'auc')}",
            f"Operating point: flagged below P(good) {facts.classifier.threshold:.2f}",
            f"finds {_with_interval(metrics, 'sensitivity', percent=True)} of the erroneous, "
            f"passes {_with_interval(metrics, 'specificity', percent=True)} of the good",
        ]
    if not evidence.get("rated"):
        lines.append("No rating is behind these figures: they hold for simulated faults and decisions.")
    return "\n".join(lines)


def _with_interval(metrics: Mapping[str, Any], name: str, *, percent: bool = False) -> str:
    def number(value: float) -> str:
        return f"{100 * value:.0f} %" if percent else f"{value:.3f}"

    low, high = (metrics.get("intervals") or {}).get(name, (None, None))
    interval = "" if low is None else f" ({number(low)} to {number(high)})"
    return f"{number(metrics[name])}{interval}"
