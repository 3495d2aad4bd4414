"""What there is to say about one round of a study: the document behind `napari-ssl report`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

from napari_ssl import __version__
from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.model import Model
from napari_ssl.core.quality import curve_kind
from napari_ssl.errors import CheckpointError, LabelError, SpecError, StudyError
from napari_ssl.measures.evaluation import compare
from napari_ssl.rounds.comparison_table import clinical_table, score_table
from napari_ssl.rounds.drift import study_drift
from napari_ssl.rounds.training_set import count_training_set
from napari_ssl.study.study import Study

__all__ = ["SPLITS", "summarise_round"]

SPLITS = ("test", "validation")
"""Splits that a model is judged on, the one that counts first."""


def summarise_round(study: Study, number: int | None = None) -> dict[str, Any]:
    """Gather a round, by default the newest that has a model.

    Returns
    -------
    dict
        ``study``, ``round``, ``created_at``, ``cohort``, ``models`` (of this round and the one to compare with),
        ``split``, ``arms``, ``baseline``, ``scores`` and ``clinical`` (as in `rounds.comparison_table`), ``change``
        (`measures.evaluation.compare`, null for the first round), ``readers``, ``quality``, ``ratings``, ``drift`` and
        ``examples`` (case ids, best, median and worst mean Dice, of the round's first arm).

    Raises
    ------
    StudyError
        The study has no model, or none of that round.
    """
    models = study.models()
    if not models:
        raise StudyError(f"study {study.name}: no model yet, so there is no round to report; train one first")
    rounds = sorted({m.round for m in models})
    number = rounds[-1] if number is None else number
    if number not in rounds:
        raise StudyError(f"study {study.name}: no model of round {number}; there are {', '.join(map(str, rounds))}")
    of_round = [m for m in models if m.round == number]
    before = _compared_with(study, models, number)
    split = next((s for s in SPLITS if all(s in m.metrics for m in of_round)), None)
    shown = [*([before] if before and split and split in before.metrics else []), *(of_round if split else [])]
    results = {m.id: [m.metrics[split]] for m in shown}
    structures = study.label_scheme.names
    start, end = _period(models, number)
    return {
        "study": study.name,
        "round": number,
        "rounds": rounds,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "napari_ssl": __version__,
        "cohort": _cohort(study),
        "models": [_model_document(study, m) for m in [*([before] if before else []), *of_round]],
        "before": before.id if before else None,
        "split": split,
        "arms": list(results),
        "baseline": next(iter(results), None),
        "scores": score_table(results, next(iter(results)), structures) if results else {},
        "clinical": clinical_table(results) if results else {},
        "change": _change(before, of_round[-1], split),
        "readers": _readers(study, start, end),
        "period": [start.isoformat() if start else None, end.isoformat() if end else None],
        "quality": _quality(study),
        "ratings": _ratings(study),
        "drift": study_drift(study).to_dict(),
        "examples": _examples(of_round[-1], split),
        "example_model": of_round[-1].id,
    }


def _compared_with(study: Study, models: Sequence[Model], number: int) -> Model | None:
    """The model that proposed labels before the round: promoted then, else the newest of an earlier round."""
    earlier = {m.id: m for m in models if m.round < number}
    if not earlier:
        return None
    promoted = [e["model_id"] for e in study.model_events() if e["event"] == "promoted" and e["model_id"] in earlier]
    return earlier[promoted[-1]] if promoted else max(earlier.values(), key=lambda m: m.created_at)


def _period(models: Sequence[Model], number: int) -> tuple[datetime | None, datetime | None]:
    """When the round's reviews were made: after the last model before, until its own; open for the newest."""
    earlier = [m.created_at for m in models if m.round < number]
    later = [m.created_at for m in models if m.round > number]
    own = max(m.created_at for m in models if m.round == number)
    return (max(earlier) if earlier else None), (own if later else None)


def _cohort(study: Study) -> dict[str, Any]:
    cases = study.cases()
    spacing = sorted({c.spacing_zyx_mm for c in cases})
    counts = count_training_set(study)
    return {
        "cases": len(cases),
        "subjects": len({c.subject_id for c in cases}),
        "by_split": dict(Counter(c.split.value for c in cases)),
        "by_group": dict(sorted(Counter(c.group or "not given" for c in cases).items())),
        "frames": [min((c.n_frames for c in cases), default=0), max((c.n_frames for c in cases), default=0)],
        "slices": [min((c.n_slices for c in cases), default=0), max((c.n_slices for c in cases), default=0)],
        "pixel_mm": [spacing[0][2], max(s[2] for s in spacing)] if spacing else [],
        "slice_mm": [min(s[0] for s in spacing), max(s[0] for s in spacing)] if spacing else [],
        "training_set": {
            "labelled": counts.labelled,
            "accepted": counts.accepted,
            "corrected": counts.corrected,
            "unlabelled": counts.unlabelled,
            "rejected, left out": counts.rejected_left_out,
        },
    }


def _model_document(study: Study, model: Model) -> dict[str, Any]:
    try:
        card: Mapping[str, Any] = study.model_card(model.id)
    except CheckpointError:
        card = {}
    return {
        "id": model.id,
        "round": model.round,
        "state": model.state.value,
        "strategy": model.strategy,
        "network": model.network,
        "policy": card.get("policy"),
        "parents": list(model.parents),
        "counts": dict(card.get("counts", {})),
        "device": card.get("device"),
        "selections": list(card.get("selections", [])),
        "evaluation": card.get("evaluation"),
        "created_at": model.created_at.isoformat(timespec="minutes"),
    }


def _change(before: Model | None, after: Model, split: str | None) -> dict[str, Any] | None:
    if before is None or split is None or split not in before.metrics:
        return None
    try:
        return compare(before.metrics[split], after.metrics[split])
    except LabelError:  # evaluated on other cases
        return None


def _readers(study: Study, start: datetime | None, end: datetime | None) -> list[dict[str, Any]]:
    """Verdicts and time of every reader in the period."""
    by_reader: dict[str, list[Decision]] = {}
    for decision in study.decisions():
        if (start is None or decision.decided_at > start) and (end is None or decision.decided_at <= end):
            by_reader.setdefault(decision.reader, []).append(decision)
    return [
        {
            "reader": reader,
            "verdicts": {v.value: sum(d.verdict is v for d in decisions) for v in Verdict},
            "cases": len({d.case_id for d in decisions}),
            "minutes": sum(d.seconds for d in decisions) / 60,
            "median_seconds": median(d.seconds for d in decisions),
            "reasons": dict(Counter(d.reason for d in decisions if d.verdict is Verdict.REJECT).most_common()),
        }
        for reader, decisions in sorted(by_reader.items())
    ]


def _quality(study: Study) -> dict[str, Any] | None:
    """The classifier of curves in use and what it says about the newest proposals."""
    try:
        classifier = study.classifier(curve_kind(study.label_scheme))
    except SpecError:  # neither ventricle nor aorta
        return None
    if classifier is None:
        return None
    try:
        card = study.classifier_card(classifier.id)
    except CheckpointError as error:  # the rest of the round can be told all the same
        return {"id": classifier.id, "problem": str(error)}
    scores = study.scores()
    newest: dict[str, int] = {}
    for segmentation in study.segmentations():
        if segmentation.model_id is not None and segmentation.reader is None:
            newest[segmentation.case_id] = segmentation.id
    known = [scores[i] for i in newest.values() if i in scores]
    return {
        "id": classifier.id,
        "kind": classifier.kind,
        "threshold": classifier.threshold,
        "evidence": card.get("evidence", {}),
        "metrics": card.get("metrics", {}),
        "scored": len(known),
        "flagged": sum(s.is_flagged for s in known),
        "probabilities": sorted(s.probability_good for s in known),
    }


def _ratings(study: Study) -> list[dict[str, Any]]:
    by_reader: dict[str, list[Any]] = {}
    for rating in study.ratings():
        if not rating.taken_back:
            by_reader.setdefault(rating.reader, []).append(rating)
    return [
        {
            "reader": reader,
            "n": len(ratings),
            "by_score": {str(k): n for k, n in sorted(Counter(r.score for r in ratings).items())},
            "median_seconds": median(r.seconds for r in ratings),
        }
        for reader, ratings in sorted(by_reader.items())
    ]


def _examples(model: Model, split: str | None) -> dict[str, str]:
    """Case ids of the best, median and worst mean Dice."""
    if split is None:
        return {}
    dice = {}
    for case in model.metrics[split]["cases"]:
        known = [d for d in case["dice"].values() if d is not None]
        if known:
            dice[case["case_id"]] = sum(known) / len(known)
    ordered = sorted(dice, key=lambda case_id: (-dice[case_id], case_id))
    if not ordered:
        return {}
    found = {"best": ordered[0], "median": ordered[len(ordered) // 2], "worst": ordered[-1]}
    return {name: c for n, (name, c) in enumerate(found.items()) if c not in list(found.values())[:n]}
