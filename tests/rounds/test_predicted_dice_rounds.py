"""Predicted Dice in a study: stored with the measures, durable case by case, said on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from napari_ssl.atlas.registration import RegistrationSettings
from napari_ssl.cli import main
from napari_ssl.core.case import Split
from napari_ssl.core.job import EventKind
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import SpecError, UnknownCaseError
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.rounds.predicted_dice import METHOD, predict_dice
from napari_ssl.study import Study

FAST = RegistrationSettings(affine_mm=(6.0,), deform_mm=(4.0,), iterations=8)
SHAPE = (2, 2, 40, 40)


def _heart(radius: float) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:40, :40]
    labels = np.zeros(SHAPE, np.uint8)
    for t in range(2):
        r = np.hypot(y - 20, x - 23)
        labels[t, :, np.hypot(y - 20, x - 10) < 0.7 * radius] = 1
        labels[t, :, r < radius - t] = 2
        labels[t, :, r < 0.6 * radius - t] = 3
    image = np.array([30, 200, 90, 220])[labels] + np.random.default_rng(int(radius * 10)).normal(0, 4, SHAPE)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def _make(tmp_path, split: Split) -> Study:
    geometry = Geometry(size_xyz=(40, 40, 2), spacing_xyz=(1.5, 1.5, 8.0), origin_xyz=(0.0, 0.0, 0.0), is_4d=True)
    made = Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"])
    items = []
    for name, radius in (("a", 9.0), ("b", 10.0), ("good", 9.5), ("bad", 9.2)):
        image, labels = _heart(radius)
        write_volume(tmp_path / f"{name}.nii.gz", image, geometry)
        write_volume(tmp_path / f"{name}_gt.nii.gz", labels, geometry)
        known = ((None, tmp_path / f"{name}_gt.nii.gz"),) if name in "ab" else ()
        items.append(
            ImportItem(
                subject_id=name,
                case_id=name,
                image_path=tmp_path / f"{name}.nii.gz",
                label_paths=known,
                split=split,
            )
        )
    assert not made.add_cases(items).failed
    for name, shift in (("good", 0), ("bad", 7)):
        labels = np.roll(_heart({"good": 9.5, "bad": 9.2}[name])[1], shift, axis=2)
        made.add_segmentation(name, labels, source=Source.MODEL, frames=(0, 1))
    return made


@pytest.fixture
def study(tmp_path):
    with _make(tmp_path, Split.TRAIN) as made:
        yield made


def test_a_good_proposal_is_predicted_better_and_a_second_call_does_nothing_again(study, monkeypatch):
    events = []
    study.set_measures(study.proposal("good").id, {"mean_confidence": 0.5})
    result = predict_dice(study, settings=FAST, emit=events.append, should_stop=lambda: False)
    assert set(result["cases"]) == {"bad", "good"}
    stored = study.measures(study.proposal("good").id)
    assert stored["mean_confidence"] == 0.5
    good, bad = stored["predicted_dice"], study.measures(study.proposal("bad").id)["predicted_dice"]
    assert good["method"] == METHOD and set(good["frames"]) == {"0", "1"}
    assert all(good[name] > bad[name] + 0.1 for name in PRESETS["acdc"].names)
    assert [e.data["fraction"] for e in events if e.kind is EventKind.PROGRESS] == [0.5, 1.0]

    monkeypatch.setattr("napari_ssl.rounds.predicted_dice.register_to_references", None)  # nothing is registered
    again = predict_dice(study, settings=FAST, emit=events.append, should_stop=lambda: False)
    assert again["cases"] == result["cases"]


def test_work_that_is_stopped_keeps_the_cases_that_are_done(study):
    asked = iter(range(10))
    result = predict_dice(
        study, cases=["good", "bad"], settings=FAST, emit=lambda e: None, should_stop=lambda: next(asked) >= 1
    )
    assert result["stopped"] and list(result["cases"]) == ["good"]
    assert "predicted_dice" in study.measures(study.proposal("good").id)


def test_what_is_missing_is_named(study):
    calm = {"emit": lambda e: None, "should_stop": lambda: False, "settings": FAST}
    with pytest.raises(UnknownCaseError):
        predict_dice(study, cases=["nobody"], **calm)
    assert "no proposal" in predict_dice(study, cases=["a"], **calm)["failed"]["a"]


def test_cases_outside_the_training_set_are_no_references(tmp_path):
    with _make(tmp_path, Split.TEST) as study, pytest.raises(SpecError, match="labelled training cases"):
        predict_dice(study, settings=FAST, emit=lambda e: None, should_stop=lambda: False)


def test_the_command_prints_one_json_document(study):
    words = ["qc", "predict-dice", str(study.folder), "--cases", "good", "--references", "1", "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["references"] == ["a"] and document["cases"]["good"]["LV"] > 0.7


def test_atlases_are_gathered_predict_and_are_evaluated_on_the_command_line(study):
    def call(*words):
        result = CliRunner().invoke(main, [*words, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    folder = str(study.folder)
    few = [w for text in ("finest_mm=4", "iterations=6", "selected=2") for w in ("--set", text)]
    model = call("train", folder, "--strategy", "multi-atlas", *few)["model_id"]
    assert study.promoted().network == "multi-atlas"
    predicted = call("predict", folder, "--cases", "good", "--no-crf")
    assert predicted["model_id"] == model and predicted["cases"] == ["good"]
    assert np.mean(list(call("evaluate", folder, "--split", "train")["summary"]["mean"]["dice"].values())) > 0.7
    refused = CliRunner().invoke(main, ["train", folder, "--strategy", "multi-atlas", "--network", "res-unet"])
    assert refused.exit_code == 1 and "leave the network out" in refused.output
