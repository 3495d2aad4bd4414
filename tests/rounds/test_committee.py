"""Two models label the same cases: what their disagreement predicts, from the order to the queue."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.job import EventKind
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing, spec_from_dict
from napari_ssl.io.layouts import scan
from napari_ssl.jobs.runner import run_here
from napari_ssl.qc.predicted_dice import DicePredictor
from napari_ssl.rounds import prediction_spec, training_spec
from napari_ssl.study.study import Study

TINY = {"base_channels": 4, "levels": 3}
SPLITS = {1: "train", 2: "train", **dict.fromkeys(range(3, 8), "val")}


def write(path, array):
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((1.5, 1.5, 8.0, 1.0)[: array.ndim])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def make_study(folder, splits):
    """Patient 1 is labelled for training, patient 2 is not, the others are what the committee is measured with."""
    rng = np.random.default_rng(0)
    rows = ["patient,group,split,ed_frame,es_frame"]
    for n, split in splits.items():
        labels = np.zeros((2, 2, 32, 32), np.uint8)
        edge = int(rng.integers(5, 9))
        labels[..., edge:24, 8:24], labels[..., 12:20, 12:20] = 2, 3
        name = f"patient{n:03d}"
        noise = rng.integers(0, 20 * n, labels.shape)  # the later ones are harder
        write(folder / "in" / name / f"{name}_4d.nii.gz", (60 * labels + noise).astype("u1"))
        if n != 2:
            write(folder / "in" / name / f"{name}_frame01_gt.nii.gz", labels[0])
        rows.append(f"{name},NOR,{split},1,2")
    (folder / "in" / "cases.csv").write_text("\n".join(rows) + "\n")
    study = Study.create(folder / "study", label_scheme=PRESETS["acdc"], preprocessing=Preprocessing(crop_yx=(32, 32)))
    assert not study.add_cases(scan(folder / "in", "acdc")).failed
    for seed in (0, 1):
        settings = {"duration": "25 iterations", "batch_size": 4, "learning_rate": 1e-2}
        spec = training_spec(study, strategy="supervised", overrides=settings, network_overrides=TINY, seed=seed)
        run_here(study, spec, lambda event: None, lambda: False)
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with make_study(tmp_path_factory.mktemp("committee"), SPLITS) as made:
        yield made


def order(study):
    first, second = (m.id for m in study.models())
    return prediction_spec(study, model_id=first, ensemble=(second,), crf=False)


def test_the_order_brings_the_labelled_validation_cases_and_survives_json(study):
    spec = order(study)
    assert [i.case_id for i in spec.calibration] == [f"patient{n:03d}" for n in range(3, 8)]
    assert {i.frames for i in spec.calibration} == {(0,)}
    again = spec_from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again.hash == spec.hash and again.calibration == spec.calibration
    assert prediction_spec(study, crf=False).calibration == ()


def test_a_proposal_has_a_predicted_dice_that_leads_in_the_queue(study):
    spec = order(study)
    result = run_here(study, spec, lambda event: None, lambda: False)
    predictor = DicePredictor.from_dict(result["committee"])
    assert (predictor.n_cases, predictor.n_subjects) == (5, 5)
    proposal = study.proposal("patient002")
    found = study.measures(proposal.id)["committee"]
    features = np.array([[found[k] for k in ("mean_pairwise_dice", "lowest_pairwise_dice", "volume_variation")]])
    assert found["predicted_dice"] == pytest.approx(float(predictor.predict(features)[0]))
    assert found["interval"][0] <= found["predicted_dice"] <= found["interval"][1]
    assert found["members"] == [m.id for m in study.models()]
    row = next(r for r in study.queue_rows() if r.case_id == "patient002")
    assert row.predicted_dice == pytest.approx(found["predicted_dice"])
    assert row.probability_good == pytest.approx(found["probability_good"])
    assert row.is_flagged is (found["probability_good"] < 0.5)


def test_the_committee_is_measured_on_what_the_first_model_says_of_validation_cases(study, tmp_path):
    from napari_ssl.measures.agreement import mean_dice
    from napari_ssl.rounds.execution import execute

    spec = order(study)
    execute(spec, tmp_path, lambda event: None, lambda: False)
    records = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "output" / "committee").glob("*.json")}
    assert set(records) == {i.case_id for i in spec.calibration}
    assert all(0 <= r["dice"] <= 1 and 0 <= r["mean_pairwise_dice"] <= 1 for r in records.values())
    case = "patient003"
    labelled = prediction_spec(study, model_id=spec.model.model_id, cases=[case], crf=False)
    run_here(study, labelled, lambda event: None, lambda: False)
    said = study.read_labels(study.proposal(case))[0]
    true = study.read_labels(study.reference(case))[0]
    assert records[case]["dice"] == pytest.approx(mean_dice(said, true, study.label_scheme))


def test_too_few_validation_subjects_are_told(tmp_path):
    with make_study(tmp_path, {1: "train", 2: "train", 3: "val"}) as study:
        events = []
        result = run_here(study, order(study), events.append, lambda: False)
        assert result["committee"] is None
        notices = [e.data["message"] for e in events if e.kind is EventKind.NOTICE]
        assert any("predicts no Dice" in n and "1 subjects" in n for n in notices)
        found = study.measures(study.proposal("patient002").id)["committee"]
        assert "predicted_dice" not in found and 0 <= found["mean_pairwise_dice"] <= 1
        row = next(r for r in study.queue_rows() if r.case_id == "patient002")
        assert row.predicted_dice is None and row.probability_good is None


def test_by_command(study):
    first, second = (m.id for m in study.models())
    words = ["predict", str(study.folder), "--model", first, "--ensemble", second, "--no-crf", "--json"]
    done = CliRunner().invoke(main, [*words, "--cases", "patient002"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cases"] == ["patient002"]
