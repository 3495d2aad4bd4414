"""The loop on a tiny study: import, train, propose, decide, retrain, compare, promote, relabel; also by command."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.case import Split
from napari_ssl.core.decision import Decision, ReviewState, Verdict
from napari_ssl.core.job import EventKind
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.segmentation import Source
from napari_ssl.core.training import Preprocessing, Role
from napari_ssl.errors import SpecError, UnknownCaseError
from napari_ssl.io.layouts import scan
from napari_ssl.jobs.runner import run_here
from napari_ssl.rounds import (
    adopt,
    count_training_set,
    evaluation_spec,
    execute,
    hand_in_decisions,
    prediction_spec,
    review_by_policy,
    training_spec,
)
from napari_ssl.study.study import Study

QUICK = {"duration": "6 iterations", "batch_size": 4, "validate_every": 6}
TINY = {"base_channels": 4, "levels": 3}


def quietly(event):
    pass


def never():
    return False


def discs(seed, n_frames=3):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    labels = np.zeros((n_frames, 2, 32, 32), np.uint8)
    for t in range(n_frames):
        r = np.hypot(y - 16 - rng.integers(-2, 3), x - 18)
        labels[t, :, np.hypot(y - 16, x - 5) < 4] = 1
        labels[t, :, r < 9] = 2
        labels[t, :, r < 6 - t] = 3
    image = np.array([20, 160, 80, 220])[labels] + rng.normal(0, 10, labels.shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def write(path, array):
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((1.5, 1.5, 8.0, 1.0)[: array.ndim])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


@pytest.fixture
def images(tmp_path):
    """ACDC layout: two labelled, three unlabelled, one validation, one test patient, and a folder of truth."""
    folder = tmp_path / "images"
    rows = ["patient,group,split,ed_frame,es_frame"]
    splits = ["train"] * 5 + ["val", "test"]
    for n, split in enumerate(splits, start=1):
        name = f"patient{n:03d}"
        image, labels = discs(n)
        write(folder / name / f"{name}_4d.nii.gz", image)
        if n in (1, 2, 6, 7):
            for frame in (0, 2):
                write(folder / name / f"{name}_frame{frame + 1:02d}_gt.nii.gz", labels[frame])
        else:
            write(tmp_path / "truth" / f"{name}.nii.gz", labels)
        rows.append(f"{name},NOR,{split},1,3")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def study(images, tmp_path):
    made = Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"], preprocessing=Preprocessing(crop_yx=(32, 32)))
    with made:
        report = made.add_cases(scan(images, "acdc"))
        assert not report.failed
        yield made


@pytest.fixture
def proposed(study):
    """The study after its first training and prediction."""
    run_here(
        study, training_spec(study, strategy="supervised", overrides=QUICK, network_overrides=TINY), quietly, never
    )
    run_here(study, prediction_spec(study), quietly, never)
    return study


def decide(study, case_id, verdict, segmentation=None, **fields):
    segmentation = segmentation or study.proposal(case_id)
    return study.record(
        Decision(
            case_id=case_id, verdict=verdict, reader="anna", decided_at=datetime.now(UTC), seconds=2.0,
            segmentation_id=segmentation.id, label_hash=segmentation.label_hash, **fields,
        )
    )  # fmt: skip


def roles(spec):
    return {i.case_id: i.role for i in spec.items}


def test_splits_follow_the_folder_and_labels_are_found(study):
    assert [len(study.cases(split=s)) for s in Split] == [5, 1, 1]
    assert count_training_set(study) == dataclasses.replace(
        count_training_set(study), labelled=2, unlabelled=3, validation=1, test=1, accepted=0, corrected=0
    )
    assert study.reference("patient001").frames == (0, 2)


def test_the_first_model_is_promoted_and_proposes_labels_with_confidence_and_curves(proposed):
    assert proposed.promoted().metrics["test"]["n"] == 1
    for case in ("patient003", "patient004", "patient005"):
        proposal = proposed.proposal(case)
        assert proposal.source is Source.REFINED
        assert proposal.frames == (0, 1, 2)
        assert proposed.read_confidence(proposal).shape == (3, 2, 32, 32)
        measures = proposed.measures(proposal.id)
        assert isinstance(measures["flags"], list)  # what the plausibility rules say
        assert len(measures["curves_ml"]["LV"]) == 3
    assert proposed.proposal("patient001") is None


def test_decisions_decide_what_enters_the_next_training(proposed):
    decide(proposed, "patient003", Verdict.ACCEPT)
    decide(proposed, "patient004", Verdict.REJECT, reason="RV wrong")
    spec = training_spec(proposed, strategy="alternating-crf", network_overrides=TINY)
    assert roles(spec) == {
        "patient001": Role.LABELLED, "patient002": Role.LABELLED, "patient003": Role.ACCEPTED,
        "patient005": Role.UNLABELLED,
    }  # fmt: skip
    assert (
        next(i for i in spec.items if i.case_id == "patient003").label_hash
        == proposed.proposal("patient003").label_hash
    )
    supervised = training_spec(proposed, strategy="supervised", network_overrides=TINY)
    assert set(roles(supervised)) == {"patient001", "patient002", "patient003"}
    assert count_training_set(proposed).rejected_left_out == 1


def test_a_correction_enters_with_the_frames_that_were_corrected(proposed):
    proposal = proposed.proposal("patient003")
    labels = proposed.read_labels(proposal)
    labels[1] = 0
    corrected = proposed.add_segmentation(
        "patient003", labels, source=Source.CORRECTED, frames=(0, 2), parent_id=proposal.id, reader="anna"
    )
    decide(proposed, "patient003", Verdict.CORRECT, corrected)
    items = {i.case_id: i for i in training_spec(proposed, strategy="supervised", network_overrides=TINY).items}
    assert (items["patient003"].role, items["patient003"].frames) == (Role.CORRECTED, (0, 2))


def test_a_decision_that_was_taken_back_counts_no_more(proposed):
    accepted = decide(proposed, "patient003", Verdict.ACCEPT)
    proposed.take_back(accepted.id, reader="anna")
    assert roles(training_spec(proposed, strategy="alternating-crf"))["patient003"] is Role.UNLABELLED


def test_the_whole_loop_with_an_oracle(proposed, tmp_path):
    references = {
        f"patient{n:03d}": {"path": str(tmp_path / "truth" / f"patient{n:03d}.nii.gz"), "frames": [0, 1, 2]}
        for n in (3, 4, 5)
    }
    counts = review_by_policy(proposed, "oracle", {"accept_dice": 1.0, "correct_cases": 1}, references)
    assert counts == {"correct": 1, "reject": 2}
    assert review_by_policy(proposed, "oracle", {}, references) == {}
    overrides = {"per_alternation": "4 iterations", "alternations": 1, "batch_size": 4, "warm_start": True}
    spec = training_spec(proposed, strategy="alternating-crf", overrides=overrides, network_overrides=TINY)
    assert spec.start is not None
    first = proposed.promoted().id
    result = run_here(proposed, spec, quietly, never)
    assert proposed.promoted().id == first
    assert proposed.model(result["model_id"]).parents == (first,)
    adopt(proposed, spec, result, proposed.job_folder(proposed.jobs()[-1].id))
    assert len(proposed.models()) == 2
    proposed.promote(result["model_id"], by="anna")
    run_here(proposed, prediction_spec(proposed), quietly, never)
    back = [c for c in references if proposed.review_state(c, "policy:oracle")[0] is ReviewState.SUPERSEDED]
    assert len(back) == 2
    assert all(proposed.measures(proposed.proposal(c).id)["disagreement"] >= 0 for c in back)
    assert proposed.rollback(by="anna").id == first


def test_a_parked_run_shows_its_labels_and_takes_the_decisions(proposed):
    overrides = {"per_alternation": "2 iterations", "alternations": 1, "batch_size": 4, "warm_start": True}
    spec = training_spec(
        proposed, strategy="alternating-crf", overrides=overrides, network_overrides=TINY, policy="clinician"
    )
    with pytest.raises(Exception, match="wait"):
        run_here(proposed, spec, quietly, never)
    job = proposed.jobs()[-1]
    assert job.state.value == "parked"
    decide(proposed, "patient003", Verdict.ACCEPT)
    decide(proposed, "patient004", Verdict.REJECT, reason="RV wrong")
    assert hand_in_decisions(proposed, proposed.job_folder(job.id)) == 1


def test_a_model_names_those_it_began_with_or_learnt_proposals_of_and_no_others(proposed):
    """A training from random weights on the expert's labels alone owes nothing to the promoted model."""
    short = {"initial": "2 iterations", "per_alternation": "2 iterations", "alternations": 1, "batch_size": 4}
    first = proposed.promoted().id

    def parents():
        spec = training_spec(proposed, strategy="alternating-crf", overrides=short, network_overrides=TINY)
        return proposed.model(run_here(proposed, spec, quietly, never)["model_id"]).parents

    assert parents() == ()
    decide(proposed, "patient003", Verdict.ACCEPT)
    assert parents() == (first,)


def test_a_correction_remembers_who_proposed_what_it_began_with(proposed):
    proposal = proposed.proposal("patient003")
    labels = proposed.read_labels(proposal)
    corrected = proposed.add_segmentation(
        "patient003", labels, source=Source.CORRECTED, frames=(0, 1, 2), parent_id=proposal.id, reader="anna"
    )
    decide(proposed, "patient003", Verdict.CORRECT, corrected)
    items = {i.case_id: i for i in training_spec(proposed, strategy="supervised", network_overrides=TINY).items}
    assert items["patient003"].proposed_by == proposed.promoted().id
    assert items["patient001"].proposed_by is None


def test_labels_of_a_parked_run_are_not_told_to_be_the_promoted_models(proposed):
    """They come from the network in training."""
    overrides = {"initial": "2 iterations", "per_alternation": "2 iterations", "alternations": 1, "batch_size": 4}
    spec = training_spec(
        proposed, strategy="alternating-crf", overrides=overrides, network_overrides=TINY, policy="clinician"
    )
    with pytest.raises(Exception, match="wait"):
        run_here(proposed, spec, quietly, never)
    assert proposed.proposal("patient003").model_id is None


def test_adopting_after_a_crash_in_the_middle_makes_up_for_what_was_missed(study, tmp_path, monkeypatch):
    spec = training_spec(study, strategy="supervised", overrides=QUICK, network_overrides=TINY)
    result = execute(spec, tmp_path / "run", quietly, never)

    def crash(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Study, "promote", crash)
        adopt(study, spec, result, tmp_path / "run")
    adopt(study, spec, result, tmp_path / "run")
    assert study.promoted().id == result["model_id"]

    spec = prediction_spec(study)
    result = execute(spec, tmp_path / "prediction", quietly, never)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("napari_ssl.study.proposals._record", crash)
        adopt(study, spec, result, tmp_path / "prediction")
    adopt(study, spec, result, tmp_path / "prediction")
    for case in result["cases"]:
        assert study.measures(study.proposal(case).id)["mean_confidence"] > 0


def test_a_policy_leaves_alone_what_a_person_has_decided_or_labelled(proposed, tmp_path):
    decide(proposed, "patient003", Verdict.REJECT, reason="RV wrong")
    run_here(proposed, prediction_spec(proposed, cases=["patient001", "patient004"]), quietly, never)
    assert review_by_policy(proposed, "accept-all", {}) == {"accept": 2}
    assert roles(training_spec(proposed, strategy="supervised"))["patient001"] is Role.LABELLED
    assert "patient003" not in roles(training_spec(proposed, strategy="alternating-crf"))


def test_an_evaluation_filters_components_when_the_order_says_so(proposed, tmp_path, monkeypatch):
    """A filter that leaves nothing shows where it was at work."""
    monkeypatch.setattr(
        "napari_ssl.inference.labelling.keep_largest_component", lambda classes, n_classes: np.zeros_like(classes)
    )
    spec = dataclasses.replace(evaluation_spec(proposed), keep_largest_component=True)
    summary = execute(spec, tmp_path / "run", quietly, never)["summary"]
    assert summary["postprocessing"]["largest_component"] is True
    plain = execute(evaluation_spec(proposed), tmp_path / "plain", quietly, never)["summary"]
    assert plain["postprocessing"]["largest_component"] is False
    assert summary["mean"]["mean_dice"] == 0 < plain["mean"]["mean_dice"]


def test_figures_of_an_interrupted_evaluation_count_only_for_the_same_postprocessing(proposed, tmp_path):
    """The program that refines may be another one when the run is resumed."""
    spec = evaluation_spec(proposed)
    first = execute(spec, tmp_path / "run", quietly, never)["summary"]
    again = execute(dataclasses.replace(spec, crf=None), tmp_path / "run", quietly, never)["summary"]
    alone = execute(dataclasses.replace(spec, crf=None), tmp_path / "alone", quietly, never)["summary"]
    for summary in (again, alone):
        assert summary.pop("efficiency")["mean_seconds"] > 0  # time is not the same twice
    assert again == alone
    assert again["mean"] != first["mean"]


def test_time_left_counts_only_cases_that_were_labelled_now(proposed, tmp_path, monkeypatch):
    """One case was done before: it says nothing about how long the two others take."""
    spec = prediction_spec(proposed)
    execute(spec, tmp_path, quietly, never)
    for case_id in ("patient004", "patient005"):
        (tmp_path / "output" / f"{case_id}.json").unlink()
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr("napari_ssl.rounds.case_tally.time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    events = []
    execute(spec, tmp_path, events.append, never)
    told = [e.data for e in events if e.kind is EventKind.PROGRESS]
    assert [(data["n_done"], data["seconds_left"]) for data in told] == [(2, 10.0), (3, 0.0)]


def test_an_evaluation_is_stored_with_the_model(proposed):
    result = run_here(proposed, evaluation_spec(proposed, split="validation"), quietly, never)
    assert result["summary"]["postprocessing"]["backend"] in ("pydensecrf", "torch")
    assert proposed.promoted().metrics["validation"]["mean"] == result["summary"]["mean"]


def test_a_case_that_breaks_is_told_and_the_rest_go_on(proposed):
    from pathlib import Path

    Path(proposed.case("patient004").image_path).write_bytes(b"no image any more")
    result = run_here(proposed, prediction_spec(proposed), quietly, never)
    assert result["cases"] == ["patient003", "patient005"]
    assert "patient004" in result["failed"]["patient004"]
    assert "has changed since it was imported" in result["failed"]["patient004"]


def test_orders_that_cannot_be_are_refused(study):
    with pytest.raises(UnknownCaseError, match="no model is promoted"):
        prediction_spec(study)
    with pytest.raises(SpecError, match="patient005: not a labelled training case"):
        training_spec(study, strategy="supervised", labelled_only=["patient005"])


def test_labelled_only_turns_the_other_labelled_cases_into_unlabelled_ones(study):
    spec = training_spec(study, strategy="alternating-crf", labelled_only=["patient002"])
    assert roles(spec)["patient001"] is Role.UNLABELLED
    assert next(i for i in spec.items if i.case_id == "patient001").frames == (0, 1, 2)


def test_labelled_only_leaves_out_what_was_accepted_too(proposed):
    """The model that proposed it may have been taught with the labels that the experiment hides."""
    decide(proposed, "patient003", Verdict.ACCEPT)
    assert roles(training_spec(proposed, strategy="alternating-crf"))["patient003"] is Role.ACCEPTED
    spec = training_spec(proposed, strategy="alternating-crf", labelled_only=["patient002"])
    assert roles(spec)["patient003"] is Role.UNLABELLED


def test_an_experiment_with_fewer_labels_does_not_begin_with_a_model_that_knows_the_others(proposed):
    overrides = {"warm_start": True, "alternations": 1, "per_alternation": "2 iterations", "batch_size": 4}
    order = {"strategy": "alternating-crf", "overrides": overrides, "network_overrides": TINY}
    assert training_spec(proposed, **order).start is not None
    assert training_spec(proposed, **order, labelled_only=["patient002"]).start is None
    both = ["patient001", "patient002"]
    first = training_spec(proposed, **order, labelled_only=both).start
    assert first is not None  # it was taught with these two, and no more
    run_here(proposed, training_spec(proposed, **order, labelled_only=both), quietly, never)
    proposed.promote(proposed.models()[-1].id, by="anna")
    assert training_spec(proposed, **order, labelled_only=both).start.model_id != first.model_id
    assert training_spec(proposed, **order, labelled_only=["patient001"]).start is None


def command(*words):
    result = CliRunner().invoke(main, [str(w) for w in words])
    return result


def test_the_loop_by_command_prints_one_json_document_each(images, tmp_path):
    folder = tmp_path / "by_command"
    short = ["--set", "duration=3 iterations", "--set", "batch_size=4", "--network-set", "base_channels=4"]
    for words in (
        ["study", "new", folder, "--labels", "acdc", "--crop", 32, 32],
        ["study", "import", folder, images],
        ["study", "status", folder],
        ["study", "check", folder],
        ["train", folder, "--strategy", "supervised", *short, "--network-set", "levels=3"],
        ["predict", folder],
        ["evaluate", folder],
        ["models", "list", folder],
        ["jobs", "list", folder],
        ["export", folder, "--format", "nifti", "--out", tmp_path / "out", "--state", "unreviewed"],
        ["export", folder, "--format", "csv", "--out", tmp_path / "out", "--state", "unreviewed"],
        ["strategies"],
        ["networks"],
    ):
        result = command(*words, "--json")
        assert result.exit_code == 0, (words, result.output, result.exception)
        json.loads(result.stdout)
    assert (tmp_path / "out").is_dir()


def test_wrong_usage_is_status_2_and_a_wrong_study_status_1_with_one_line(tmp_path):
    assert command("train").exit_code == 2
    result = command("study", "status", tmp_path / "nothing")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_confidence_map_holds_the_probability_or_the_entropy(proposed):
    sure = proposed.read_confidence(proposed.proposal("patient003"))
    run_here(proposed, prediction_spec(proposed, cases=["patient003"], confidence="entropy"), quietly, never)
    proposal = proposed.proposal("patient003")
    by_entropy = proposed.read_confidence(proposal)
    assert not np.array_equal(sure, by_entropy)
    assert proposed.measures(proposal.id)["confidence"] == "entropy"
    with pytest.raises(SpecError, match="probability, entropy"):
        prediction_spec(proposed, confidence="magic")


def test_without_the_crf_a_training_and_an_evaluation_judge_the_plain_labels(proposed, tmp_path):
    spec = training_spec(
        proposed, strategy="supervised", overrides=QUICK, network_overrides=TINY, device="cpu", crf=False
    )
    metrics = execute(spec, tmp_path / "train", quietly, never)["metrics"]["test"]
    assert metrics["postprocessing"]["crf"] is None
    summary = execute(evaluation_spec(proposed, crf=False), tmp_path / "run", quietly, never)["summary"]
    assert summary["postprocessing"]["crf"] is None
    assert training_spec(proposed, strategy="supervised", overrides=QUICK, device="cpu").hash != spec.hash
