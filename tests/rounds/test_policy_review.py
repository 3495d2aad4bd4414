"""Policies that stand in for the clinician between two rounds, on a study."""

from __future__ import annotations

import json

import numpy as np
import pytest
from comparison_study import discs, make_study, write

from napari_ssl.core.decision import Verdict
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import SpecError
from napari_ssl.rounds import review_by_policy

WAITING = ("patient003", "patient004", "patient005")


@pytest.fixture
def proposed(tmp_path):
    """Two labelled cases and three with a proposal each, the last of them empty."""
    with make_study(tmp_path, n_labelled=2) as study:
        for n, case_id in enumerate(WAITING, start=3):
            labels = discs(n)[1] if n < 5 else np.zeros_like(discs(n)[1])
            study.add_segmentation(case_id, labels, source=Source.MODEL, frames=(0, 1))
        yield study


def verdicts(study):
    return {case_id: d.verdict for case_id in WAITING if (d := study.review_state(case_id)[1]) is not None}


def scored(study, folder, probabilities):
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "card.json").write_text(json.dumps({"id": "q1", "kind": "short-axis", "threshold": 0.7}))
    study.register_classifier(folder)
    for case_id, probability in probabilities.items():
        study.add_score(study.proposal(case_id).id, "q1", probability)


def test_quality_control_accepts_from_the_classifiers_operating_point_on(proposed, tmp_path):
    scored(proposed, tmp_path / "q", {"patient003": 0.9, "patient004": 0.65, "patient005": 0.1})
    assert review_by_policy(proposed, "qc", {}) == {"accept": 1}
    assert verdicts(proposed) == {"patient003": Verdict.ACCEPT}
    assert review_by_policy(proposed, "qc", {"threshold": 0.5}) == {"accept": 1}  # the one that was left


def test_quality_control_without_a_classifier_is_refused(proposed):
    with pytest.raises(SpecError, match="qc train"):
        review_by_policy(proposed, "qc", {})


def test_random_leaves_what_it_did_not_draw_undecided(proposed):
    assert review_by_policy(proposed, "random", {"n": 2}) == {"accept": 2}
    assert len(verdicts(proposed)) == 2


def test_decisions_of_the_oracle_are_recorded_with_the_time_they_would_have_taken(proposed, tmp_path):
    references = {}
    for n, case_id in enumerate(WAITING, start=3):
        write(tmp_path / f"{case_id}.nii.gz", discs(n)[1])
        references[case_id] = {"path": str(tmp_path / f"{case_id}.nii.gz"), "frames": [0, 1]}
    values = {"correct_cases": 1, "seconds_accept": 10.0, "seconds_reject": 20.0, "seconds_slice": 30.0}
    assert review_by_policy(proposed, "oracle", values, references) == {"accept": 2, "correct": 1}
    seconds = {d.case_id: d.seconds for d in proposed.decisions()}
    assert seconds == {"patient003": 10, "patient004": 10, "patient005": 20 + 4 * 30}
