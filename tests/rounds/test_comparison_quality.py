"""A comparison tells when its classifier of curves has learnt from the subjects that it is to judge."""

from __future__ import annotations

import dataclasses

from comparison_study import QUICK, TINY, make_study

from napari_ssl.core.training import QcReference
from napari_ssl.report.comparison_page import _score_blocks
from napari_ssl.rounds.comparison import subjects_known_to_classifier
from napari_ssl.rounds.comparison_plan import ComparisonPlan, parse_arms
from napari_ssl.rounds.comparison_units import make_units


def with_classifier(unit, subjects):
    card = {"training_subjects": subjects, "threshold": 0.5}
    qc = QcReference(classifier_id="q", weights_path="w", weights_hash="h", card=card)
    return dataclasses.replace(unit, spec=dataclasses.replace(unit.spec, qc=qc))


def test_subjects_that_the_classifier_knows_are_told(tmp_path):
    with make_study(tmp_path) as study:
        arms = parse_arms(f"alternating-crf:alternations=1;crf=no;{TINY}")
        (unit,) = make_units(study, ComparisonPlan(arms=arms, labelled=("patient001", "patient002"), common=QUICK))
    assert subjects_known_to_classifier([unit]) == []
    learnt = with_classifier(unit, ["patient001", "patient002", "phantom00001"])
    assert subjects_known_to_classifier([learnt]) == []  # labelled ones are neither selected from nor tested on
    hidden = with_classifier(unit, ["patient001", "patient004", "patient006"])
    assert subjects_known_to_classifier([unit, hidden]) == ["patient004", "patient006"]


def test_the_page_warns_of_them(tmp_path):
    document = {"failed": {}, "steps_are_equal": True, "subjects": ["s"] * 50, "scores": {}}
    assert _score_blocks(document, tmp_path) == []
    (warning,) = _score_blocks({**document, "known_to_classifier": ["a", "b"]}, tmp_path)
    assert warning.is_warning and "learnt from 2 of the subjects" in warning.text
