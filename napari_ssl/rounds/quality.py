"""Quality control as a round sees it: orders from a study's evidence, and what becomes of their results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_ssl.core.parameters import from_mapping
from napari_ssl.core.quality import (
    CurveItem,
    QcParameters,
    QcScoringSpec,
    QcTrainingSpec,
    curve_kind,
    simulated_count,
)
from napari_ssl.core.rating import QcClassifier
from napari_ssl.errors import SpecError, StudyError, UnknownCaseError
from napari_ssl.io.documents import read_document
from napari_ssl.rounds.evidence import Evidence, decided_examples, full_cycles, measured_examples, rated_examples
from napari_ssl.study.study import Study

__all__ = [
    "adopt_quality",
    "against_ratings",
    "classifier_in_use",
    "keep_scores",
    "qc_scoring_spec",
    "qc_training_spec",
]


def qc_training_spec(
    study: Study,
    *,
    kind: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> QcTrainingSpec:
    """Make the order to train a classifier of curves from all that the study holds now.

    Parameters
    ----------
    kind : str, optional
        ``short-axis`` or ``aorta``; by default what the label scheme says.
    overrides : mapping, optional
        Values of `QcParameters`.

    Raises
    ------
    CatalogueError
        No such parameter, or a value outside its limits.
    SpecError
        Nothing to learn from, or a label scheme without ventricle and aorta.
    """
    parameters = from_mapping(QcParameters, dict(overrides or {}))
    evidence = Evidence(study)
    rated = rated_examples(evidence)
    known = {e.id for e in rated}
    decided = [e for e in decided_examples(evidence, weight=parameters.decision_weight) if e.id not in known]
    known |= {e.id for e in decided}
    measured = measured_examples(evidence, weight=parameters.measured_weight, good_from=parameters.measured_dice)
    measured = [e for e in measured if e.id not in known]
    examples = (*rated, *(e for e in (*decided, *measured) if e.weight > 0))
    n_simulated = simulated_count(examples, parameters)
    return QcTrainingSpec(
        curve_kind=kind or curve_kind(study.label_scheme),
        parameters={name: getattr(parameters, name) for name in parameters.__dataclass_fields__},
        label_scheme=study.label_scheme,
        examples=examples,
        cycles=full_cycles(evidence) if n_simulated else (),
        n_simulated=n_simulated,
        seed=seed,
    )


def classifier_in_use(study: Study) -> QcClassifier:
    """Return the classifier that suits the study and is in use; UnknownCaseError when none was trained yet."""
    kind = curve_kind(study.label_scheme)
    found = study.classifier(kind)
    if found is None:
        raise UnknownCaseError(
            f"study {study.name}: no {kind} classifier yet; train one first (napari-ssl qc train {study.folder})"
        )
    return found


def against_ratings(study: Study, classifier_id: str) -> dict[str, Any] | None:
    """Compare the stored scores of a classifier with what readers agree on; None where nothing has both.

    Only proposals of subjects that the classifier has not learnt from count: ratings that came later.

    Returns
    -------
    dict
        ``n``, ``sensitivity`` for erroneous and ``specificity`` (null without a rating of that verdict), and the
        ``confusion``: ``erroneous_flagged``, ``erroneous_passed``, ``good_flagged``, ``good_passed``.
    """
    known = set(study.classifier_card(classifier_id).get("training_subjects", ()))
    unseen = {case.id for case in study.cases() if case.subject_id not in known}
    versions = {s.id for s in study.segmentations() if s.case_id in unseen}
    scores = {n: s for n, s in study.scores(versions).items() if s.classifier_id == classifier_id}
    pairs = [(good, scores[n].is_flagged) for n, good in study.consensus_ratings().items() if n in scores]
    if not pairs:
        return None
    counts = {
        f"{verdict}_{outcome}": sum(g is good and f is flagged for g, f in pairs)
        for verdict, good in (("erroneous", False), ("good", True))
        for outcome, flagged in (("flagged", True), ("passed", False))
    }

    def share(hit: str, missed: str) -> float | None:
        total = counts[hit] + counts[missed]
        return counts[hit] / total if total else None

    return {
        "n": len(pairs),
        "sensitivity": share("erroneous_flagged", "erroneous_passed"),
        "specificity": share("good_passed", "good_flagged"),
        "confusion": counts,
    }


def qc_scoring_spec(
    study: Study, *, classifier_id: str | None = None, cases: Sequence[str] | None = None
) -> QcScoringSpec:
    """Make the order to score the newest proposal of some cases, or of all that have one, by their stored curves.

    Raises
    ------
    UnknownCaseError
        No such classifier, none trained yet, or no such case.
    SpecError
        None of the cases has a proposal with curves.
    """
    classifier_id = classifier_id or classifier_in_use(study).id
    folder = study.classifier_folder(classifier_id)
    card = study.classifier_card(classifier_id)
    wanted: Iterable[str] = [case.id for case in study.cases()] if cases is None else cases
    items = []
    for case_id in wanted:
        segmentation = study.proposal(study.case(case_id).id)
        curves = None if segmentation is None else (study.measures(segmentation.id) or {}).get("curves_ml")
        if curves and all(len(values) > 1 for values in curves.values()):
            items.append(CurveItem(segmentation_id=segmentation.id, case_id=case_id, curves=curves))
    if not items:
        raise SpecError("no proposal with curves to score; label some cases first (napari-ssl predict)")
    return QcScoringSpec(
        classifier_id=classifier_id,
        weights_path=str(folder / "weights.safetensors"),
        weights_hash=next(c.weights_hash for c in study.classifiers() if c.id == classifier_id),
        card=card,
        label_scheme=study.label_scheme,
        items=tuple(items),
    )


def adopt_quality(
    study: Study, spec: QcTrainingSpec | QcScoringSpec, result: Mapping[str, Any], run_folder: Path
) -> None:
    """Register the classifier, or keep the scores and explanations, that `execute` returned; twice changes nothing.

    Raises
    ------
    StudyError
        The result does not belong to the order or its files are missing.
    """
    if isinstance(spec, QcTrainingSpec):
        card = read_document(run_folder / "output" / "card.json")
        if card is None or card.get("spec_hash") != spec.hash:
            raise StudyError(f"{run_folder}: the card is missing or of another order; train the classifier again")
        study.register_classifier(run_folder / "output")
        return
    document = read_document(run_folder / "output" / "scores.json")
    if document is None or document.get("spec_hash") != spec.hash:
        raise StudyError(f"{run_folder}: the scores are missing or of another order; score again")
    keep_scores(study, spec.classifier_id, {int(n): s for n, s in document["scores"].items()})


def keep_scores(study: Study, classifier_id: str, scores: Mapping[int, Mapping[str, Any]]) -> None:
    """Keep probabilities of label versions, and with their measures what explains them."""
    study.add_scores(classifier_id, {number: score["probability_good"] for number, score in scores.items()})
    for number, score in scores.items():
        if "explanation" in score:
            explanation = {"classifier_id": classifier_id, **score["explanation"]}
            study.set_measures(number, {**(study.measures(number) or {}), "qc_explanation": explanation})
