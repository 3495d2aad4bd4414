"""Quality control in a study: evidence, training as a job, scores of proposals, commands."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from click.testing import CliRunner

from napari_ssl import __version__
from napari_ssl.cli import main
from napari_ssl.core.case import Split
from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.job import EventKind, JobState
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.model import Model, ModelState
from napari_ssl.core.quality import ExampleSource
from napari_ssl.core.rating import Rating
from napari_ssl.core.segmentation import Source
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import CheckpointError, SpecError, StudyError, UnknownCaseError
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.jobs.runner import run_here
from napari_ssl.measures.curves import volume_curves
from napari_ssl.rounds import StoppedByRequest, adopt, execute, prediction_spec, training_spec
from napari_ssl.rounds.evidence import Evidence, decided_examples, measured_examples, rated_examples
from napari_ssl.rounds.quality import against_ratings, qc_scoring_spec, qc_training_spec
from napari_ssl.study.study import Study

QUICK = {
    "width": 6, "n_points": 12, "epochs": 3, "folds": 2, "max_simulated": 16, "learning_rate": 0.02,
    "learning_curve": False,
}  # fmt: skip
N_CASES = 6
GEOMETRY = Geometry(size_xyz=(32, 32, 4), spacing_xyz=(1.5, 1.5, 8.0), is_4d=True)
N_FRAMES = 6


def quietly(event):
    pass


def never():
    return False


def labels_of(case, factor=1.0):
    y, x = np.mgrid[:32, :32]
    labels = np.zeros((N_FRAMES, 4, 32, 32), np.uint8)
    for t in range(N_FRAMES):
        for z in range(4):
            radius = (5.5 + 0.3 * case - 2 * math.sin(math.pi * t / N_FRAMES) - 0.5 * z) * factor
            distance = np.hypot(y - 16, x - 19)
            labels[t, z, np.hypot(y - 16, x - 9) < radius + 1] = 1
            labels[t, z, distance < radius + 3] = 2
            labels[t, z, distance < radius] = 3
    return labels


@pytest.fixture
def study(tmp_path):
    """Six training cases, the first with labels of all frames, and one test case."""
    items = []
    for n in range(N_CASES + 1):
        path = tmp_path / "images" / f"p{n}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        image = np.array([20, 160, 80, 220])[labels_of(n)] + np.random.default_rng(n).normal(
            0, 9, (N_FRAMES, 4, 32, 32)
        )
        write_volume(path, np.clip(image, 0, 255).astype(np.uint8), GEOMETRY)
        labels = ()
        if n == 0:
            write_volume(path.with_name("p0_gt.nii.gz"), labels_of(0), GEOMETRY)
            labels = ((None, path.with_name("p0_gt.nii.gz")),)
        split = Split.TEST if n == N_CASES else Split.TRAIN
        items.append(ImportItem(subject_id=f"s{n}", case_id=f"p{n}", image_path=path, label_paths=labels, split=split))
    made = Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"], preprocessing=Preprocessing(crop_yx=(32, 32)))
    with made:
        assert not made.add_cases(items).failed
        yield made


def propose(study, n, factor=1.0):
    labels = labels_of(n, factor)
    proposal = study.add_segmentation(f"p{n}", labels, source=Source.MODEL, frames=tuple(range(N_FRAMES)))
    curves = volume_curves(f"p{n}", labels, study.label_scheme, (8.0, 1.5, 1.5))
    study.set_measures(proposal.id, {"curves_ml": {k: c.volume_ml.tolist() for k, c in curves.items()}})
    return proposal


def rate(study, proposal, score, reader="ada"):
    study.add_rating(
        Rating(
            case_id=proposal.case_id, segmentation_id=proposal.id, reader=reader, score=score, seconds=5.0,
            rated_at=datetime.now(UTC), app_version=__version__,
        )
    )  # fmt: skip


def decide(study, segmentation, verdict, reader="ada", reason=""):
    return study.record(
        Decision(
            case_id=segmentation.case_id, verdict=verdict, reader=reader, decided_at=datetime.now(UTC), seconds=2.0,
            segmentation_id=segmentation.id, label_hash=segmentation.label_hash, reason=reason,
        )
    )  # fmt: skip


def correct(study, proposal, labels):
    corrected = study.add_segmentation(
        proposal.case_id, labels, source=Source.CORRECTED, frames=tuple(range(N_FRAMES)), parent_id=proposal.id,
        reader="ada",
    )  # fmt: skip
    decide(study, corrected, Verdict.CORRECT)


@pytest.fixture
def trained(study):
    run_here(study, qc_training_spec(study, overrides=QUICK), quietly, never)
    return study


def test_ratings_that_readers_agree_on_are_evidence(study):
    proposals = [propose(study, n) for n in range(1, 5)]
    for proposal, score in zip(proposals, (4, 1, 0, 3), strict=True):
        rate(study, proposal, score)
    rate(study, proposals[3], 2, reader="bob")
    found = {e.id: e for e in rated_examples(Evidence(study))}
    assert {name: e.good for name, e in found.items()} == {"p1-v1": True, "p2-v1": False}
    assert found["p1-v1"].source is ExampleSource.RATED
    assert set(found["p1-v1"].curves) == {"LV", "RV", "Myo"}


def test_decisions_are_evidence_with_a_weight_of_their_own(study):
    proposals = {n: propose(study, n) for n in range(1, 6)}
    decide(study, proposals[1], Verdict.ACCEPT)
    decide(study, proposals[2], Verdict.REJECT, reason="RV wrong")
    decide(study, proposals[3], Verdict.REJECT, reason="Image not readable")
    correct(study, proposals[4], labels_of(4, 0.5))
    small = labels_of(5)
    small[0, 0, 16, 16] = 0
    correct(study, proposals[5], small)
    found = {e.id: (e.good, e.weight) for e in decided_examples(Evidence(study), weight=0.5)}
    assert found == {"p1-v1": (True, 0.5), "p2-v1": (False, 0.5), "p4-v1": (False, 0.5), "p5-v1": (True, 0.5)}
    decide(study, proposals[1], Verdict.REJECT, reader="bob", reason="RV wrong")
    assert "p1-v1" not in {e.id for e in decided_examples(Evidence(study), weight=0.5)}


def test_a_rating_counts_before_a_decision_about_the_same_labels(study):
    proposal = propose(study, 1)
    decide(study, proposal, Verdict.ACCEPT)
    rate(study, proposal, 1)
    (only,) = qc_training_spec(study, overrides=QUICK).examples
    assert (only.good, only.source) == (False, ExampleSource.RATED)


def test_test_cases_and_subjects_that_the_model_has_learnt_from_never_teach(study, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"w")
    (folder / "card.json").write_text(
        json.dumps({"training_cases": [["p1", "labelled", "h"], ["p2", "unlabelled", None]]})
    )
    model = Model(
        id="m1", spec_hash="0", strategy="supervised", network="res-unet", round=1, parents=(), metrics={},
        state=ModelState.CANDIDATE, created_at=datetime.now(UTC),
    )  # fmt: skip
    study.register_model(model, folder)
    for n in (1, 2, N_CASES):
        labels = labels_of(n)
        proposal = study.add_segmentation(
            f"p{n}", labels, source=Source.MODEL, frames=tuple(range(N_FRAMES)), model_id="m1"
        )
        study.set_measures(proposal.id, {"curves_ml": {"LV": [9.0, 5.0, 4.0, 5.0, 6.0, 8.0]}})
        rate(study, proposal, 4)
    assert [e.id for e in rated_examples(Evidence(study))] == ["p2-v1"]


def test_what_a_model_began_with_counts_as_what_it_has_learnt_from(study, tmp_path):
    for name, began_with, case in (("m1", None, "p1"), ("m2", "m1", "p2")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"w")
        card = {"training_cases": [[case, "labelled", "h"]], "started_from": began_with}
        (folder / "card.json").write_text(json.dumps(card))
        study.register_model(
            Model(
                id=name, spec_hash=name, strategy="supervised", network="res-unet", round=1, parents=(), metrics={},
                state=ModelState.CANDIDATE, created_at=datetime.now(UTC),
            ),
            folder,
        )  # fmt: skip
    for n in (1, 2, 3):
        proposal = study.add_segmentation(
            f"p{n}", labels_of(n), source=Source.MODEL, frames=tuple(range(N_FRAMES)), model_id="m2"
        )
        study.set_measures(proposal.id, {"curves_ml": {"LV": [9.0, 5.0, 4.0, 5.0, 6.0, 8.0]}})
        rate(study, proposal, 4)
    assert [e.id for e in rated_examples(Evidence(study))] == ["p3-v1"]


def test_faults_are_simulated_in_full_cycles_that_a_person_stands_for(study):
    proposals = {n: propose(study, n) for n in (1, 2, 3)}
    decide(study, proposals[1], Verdict.ACCEPT)
    decide(study, proposals[2], Verdict.REJECT, reason="RV wrong")
    correct(study, proposals[3], labels_of(3, 0.9))
    spec = qc_training_spec(study, overrides=QUICK)
    assert {i.case_id: i.role.value for i in spec.cycles} == {"p0": "labelled", "p1": "accepted", "p3": "corrected"}
    assert spec.n_simulated == 16


def test_a_classifier_is_trained_as_a_job_and_says_what_it_learnt_from(study):
    rate(study, propose(study, 1), 4)
    events = []
    result = run_here(study, qc_training_spec(study, overrides=QUICK), events.append, never)
    classifier = study.classifier("short-axis")
    card = study.classifier_card(classifier.id)
    assert classifier.id == result["classifier_id"]
    assert card["evidence"] == {"rated": 1, "decided": 0, "measured": 0, "simulated": 16}
    assert card["simulated_from"]["study_cycles"] == 1
    assert card["metrics"]["all"]["n"] == 17
    assert card["threshold"] == classifier.threshold
    fractions = [e.data["fraction"] for e in events if e.kind is EventKind.PROGRESS]
    assert fractions == sorted(fractions)
    assert study.jobs()[-1].state is JobState.DONE


def test_a_training_that_was_stopped_goes_on_and_ends_with_the_same_weights(study, tmp_path):
    spec = qc_training_spec(study, overrides=QUICK)
    asked = iter([False] * 7)
    with pytest.raises(StoppedByRequest):
        execute(spec, tmp_path / "run", quietly, lambda: next(asked, True))
    resumed = execute(spec, tmp_path / "run", quietly, never)
    whole = execute(spec, tmp_path / "other", quietly, never)
    assert resumed["threshold"] == whole["threshold"]
    files = [tmp_path / f / "output" / "weights.safetensors" for f in ("run", "other")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_adopting_a_classifier_twice_changes_nothing_and_another_ones_card_is_refused(study, tmp_path):
    spec = qc_training_spec(study, overrides=QUICK)
    result = execute(spec, tmp_path / "run", quietly, never)
    for _ in range(2):
        adopt(study, spec, result, tmp_path / "run")
    assert len(study.classifiers()) == 1
    with pytest.raises(StudyError, match="another order"):
        adopt(study, dataclasses.replace(spec, seed=5), result, tmp_path / "run")


def test_stored_proposals_are_scored_and_explained(trained):
    proposals = [propose(trained, n) for n in (1, 2)]
    result = run_here(trained, qc_scoring_spec(trained), quietly, never)
    assert result["scored"] == 2
    scores = trained.scores()
    for proposal in proposals:
        assert 0 <= scores[proposal.id].probability_good <= 1
        explanation = trained.measures(proposal.id)["qc_explanation"]
        assert {len(v) for v in explanation["attribution"].values()} == {N_FRAMES}
        assert trained.measures(proposal.id)["curves_ml"]
    assert result["flagged"] == sum(s.is_flagged for s in scores.values())


def test_scores_are_compared_with_the_ratings(trained):
    classifier = trained.classifier("short-axis")
    assert against_ratings(trained, classifier.id) is None
    for n, (score, probability) in enumerate(((4, 1.0), (4, 0.0), (1, 0.0)), start=1):
        proposal = propose(trained, n)
        rate(trained, proposal, score)
        trained.add_score(proposal.id, classifier.id, probability)
    found = against_ratings(trained, classifier.id)
    assert (found["n"], found["sensitivity"], found["specificity"]) == (3, 1.0, 0.5)


def test_ratings_that_the_classifier_learnt_from_do_not_count_for_it(study):
    proposal = propose(study, 1)
    rate(study, proposal, 4)
    result = run_here(study, qc_training_spec(study, overrides=QUICK), quietly, never)
    study.add_score(proposal.id, result["classifier_id"], 1.0)
    assert "s1" in study.classifier_card(result["classifier_id"])["training_subjects"]
    assert against_ratings(study, result["classifier_id"]) is None


def test_new_proposals_are_scored_as_they_come(trained):
    short = {"duration": "2 iterations", "batch_size": 4}
    tiny = {"base_channels": 4, "levels": 3}
    run_here(
        trained, training_spec(trained, strategy="supervised", overrides=short, network_overrides=tiny), quietly, never
    )
    spec = prediction_spec(trained, cases=["p3", "p4"], crf=False)
    assert spec.qc.classifier_id == trained.classifier("short-axis").id
    run_here(trained, spec, quietly, never)
    scores = trained.scores()
    for case in ("p3", "p4"):
        proposal = trained.proposal(case)
        assert 0 <= scores[proposal.id].probability_good <= 1
        assert "qc_explanation" in trained.measures(proposal.id)


def test_a_classifier_whose_files_are_lost_does_not_keep_cases_from_being_labelled(trained):
    (trained.folder / "qc" / trained.classifier("short-axis").id / "weights.safetensors").unlink()
    run_here(
        trained,
        training_spec(
            trained, strategy="supervised", overrides={"duration": "1 iterations"}, network_overrides={"levels": 3}
        ),
        quietly,
        never,
    )
    assert prediction_spec(trained).qc is None
    with pytest.raises(CheckpointError, match="absent"):
        qc_scoring_spec(trained)


def test_orders_that_cannot_be_are_refused(study):
    with pytest.raises(UnknownCaseError, match="no short-axis classifier"):
        qc_scoring_spec(study)
    with pytest.raises(SpecError, match="good and erroneous"):
        qc_training_spec(study, overrides={"max_simulated": 0})


def command(*words):
    return CliRunner().invoke(main, [str(w) for w in words])


def test_every_command_of_quality_control_has_plain_text_and_json(study):
    propose(study, 1)
    folder = study.folder
    settings = [w for k, v in QUICK.items() for w in ("--set", f"{k}={v}")]
    for words in (
        ["qc", "classifiers", folder],
        ["qc", "train", folder, *settings],
        ["qc", "score", folder],
        ["qc", "evaluate", folder],
        ["qc", "classifiers", folder],
    ):
        plain, structured = command(*words), command(*words, "--json")
        for result in (plain, structured):
            assert result.exit_code == 0, (words, result.output, result.exception)
        assert plain.stdout.strip()
        json.loads(structured.stdout)
    name = study.classifier("short-axis").id
    assert "in use" in command("qc", "promote", folder, name, "--by", "ada").stdout
    missing = command("qc", "score", folder, "--classifier", "none")
    assert missing.exit_code == 1
    assert len(missing.stderr.strip().splitlines()) == 1


def test_proposals_of_cases_with_expert_labels_of_some_frames_are_measured(study, tmp_path):
    expert = study.segmentations("p0", source=Source.REFERENCE)[0]
    assert len(expert.frames) == N_FRAMES
    for factor in (1.0, 0.4):
        propose(study, 0, factor)
    propose(study, 1)  # nobody knows how good this is
    propose(study, N_CASES)  # a test case
    found = measured_examples(Evidence(study), weight=0.4, good_from=0.8)
    assert [(e.subject_id, e.good, e.weight) for e in found] == [("s0", True, 0.4), ("s0", False, 0.4)]
    assert {e.source for e in found} == {ExampleSource.MEASURED}
    assert all(e.good for e in measured_examples(Evidence(study), weight=0.4, good_from=0.05))


def test_measured_proposals_teach_unless_a_reader_has_rated_them_and_the_card_declares_them(study):
    first, second = propose(study, 0), propose(study, 0, 0.4)
    rate(study, first, 1)
    spec = qc_training_spec(study, overrides=QUICK)
    assert {e.id: (e.good, e.source) for e in spec.examples} == {
        f"p0-v{first.version}": (False, ExampleSource.RATED),
        f"p0-v{second.version}": (False, ExampleSource.MEASURED),
    }
    without = qc_training_spec(study, overrides={**QUICK, "measured_weight": 0.0})
    assert {e.source for e in without.examples} == {ExampleSource.RATED}
    run_here(study, spec, quietly, never)
    card = study.classifier_card(study.classifiers()[-1].id)
    assert card["evidence"] == {"rated": 1, "decided": 0, "measured": 1, "simulated": spec.n_simulated}


def test_proposals_of_a_model_that_learnt_from_the_expert_labels_are_not_measured(study, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"w")
    (folder / "card.json").write_text(json.dumps({"training_cases": [["p0", "labelled", "h"]]}))
    model = Model(
        id="m1", spec_hash="0", strategy="supervised", network="res-unet", round=1, parents=(), metrics={},
        state=ModelState.CANDIDATE, created_at=datetime.now(UTC),
    )  # fmt: skip
    study.register_model(model, folder)
    labels = labels_of(0)
    taught = study.add_segmentation("p0", labels, source=Source.MODEL, frames=tuple(range(N_FRAMES)), model_id="m1")
    study.set_measures(taught.id, {"curves_ml": {"LV": [9.0, 5.0, 4.0, 5.0, 6.0, 8.0]}})
    assert measured_examples(Evidence(study), weight=0.5, good_from=0.8) == []
