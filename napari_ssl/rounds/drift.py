"""The rounds of a study as the drift monitor sees them; alarms are kept with the model."""

from __future__ import annotations

from typing import Any

from napari_ssl.core.rating import Score
from napari_ssl.core.segmentation import Segmentation
from napari_ssl.errors import CheckpointError
from napari_ssl.measures.drift import DriftLimits, DriftReport, RoundRecord, monitor_drift
from napari_ssl.measures.flags import Severity
from napari_ssl.study.study import Study

__all__ = ["raise_alarms", "round_records", "study_drift"]


def study_drift(study: Study, limits: DriftLimits | None = None) -> DriftReport:
    """Compare the rounds of a study; one model a round and method, the newest where there are several."""
    return monitor_drift(round_records(study), limits)


def round_records(study: Study) -> list[RoundRecord]:
    """Gather what is known about every model of a study, in the order in which they were made.

    A proposal counts as flagged when the classifier in use scores it below its operating point or, by the rules, when
    no heart could look like it; a proposal that neither has judged does not count.
    """
    scores, consensus = study.scores(), study.consensus_ratings()
    flags = study.rule_flags()
    newest: dict[str, dict[str, Segmentation]] = {}
    for segmentation in study.segmentations():
        if segmentation.model_id is not None and segmentation.reader is None:
            newest.setdefault(segmentation.model_id, {})[segmentation.case_id] = segmentation
    records = []
    for model in study.models():
        proposals = newest.get(model.id, {})
        verdicts = {case_id: _is_flagged(scores.get(s.id), flags.get(s.id)) for case_id, s in proposals.items()}
        records.append(
            RoundRecord(
                round=model.round,
                model_id=model.id,
                method=f"{model.strategy}, {model.network}",
                validation_loss=_validation_loss(study, model.id),
                validation=model.metrics.get("validation"),
                flagged={case_id: verdict for case_id, verdict in verdicts.items() if verdict is not None},
                rated=tuple(
                    (scores[s.id].probability_good, consensus[s.id])
                    for s in proposals.values()
                    if s.id in scores and s.id in consensus
                ),
            )
        )
    return records


def raise_alarms(study: Study) -> tuple[str, ...]:
    """Keep alarms of a kind that a model has not had yet; return their sentences and, with any, the advice."""
    report = study_drift(study)
    new = [a for a in report.alarms if a.kind not in study.model_alarms(a.model_id)]
    for alarm in new:
        study.add_model_alarm(alarm.model_id, alarm.kind, alarm.message)
    return (*(a.message for a in new), report.advice) if new else ()


def _is_flagged(score: Score | None, flags: list[dict[str, Any]] | None) -> bool | None:
    if score is None and flags is None:
        return None
    impossible = any(flag["severity"] == Severity.IMPOSSIBLE for flag in flags or ())
    return impossible or (score is not None and score.is_flagged)


def _validation_loss(study: Study, model_id: str) -> float | None:
    try:
        loss = study.model_card(model_id).get("validation_loss")
    except CheckpointError:  # the card is lost: the round is judged by the rest
        return None
    return loss if isinstance(loss, int | float) else None
