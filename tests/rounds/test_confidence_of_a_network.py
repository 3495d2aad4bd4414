"""From the training of a confidence network to the map beside a proposal, in a tiny study and by command."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing, spec_from_dict
from napari_ssl.errors import CheckpointError, SpecError
from napari_ssl.inference.confidence import to_uint8
from napari_ssl.inference.confidence_network import load_confidence_network, network_confidence
from napari_ssl.inference.predict import iter_frames
from napari_ssl.io.images import read_image
from napari_ssl.io.layouts import scan
from napari_ssl.jobs.runner import run_here
from napari_ssl.networks import build_network, load_weights
from napari_ssl.rounds import prediction_spec, training_spec
from napari_ssl.rounds.orders import start_model
from napari_ssl.study.study import Study

TINY = {"base_channels": 4, "levels": 3}
SHORT = {"duration": "3 iterations", "batch_size": 4, "unlabelled_batch": 2, "discriminator_channels": 2}


def run(study, spec):
    return run_here(study, spec, lambda event: None, lambda: False)


def write(path, array):
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((1.5, 1.5, 8.0, 1.0)[: array.ndim])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """One labelled and one unlabelled patient, two models: ``supervised``, and ``asdnet`` with a confidence network."""
    folder = tmp_path_factory.mktemp("confidence")
    rng = np.random.default_rng(0)
    for n in (1, 2):
        labels = np.zeros((2, 2, 32, 32), np.uint8)
        labels[..., 8:24, 8:24], labels[..., 12:20, 12:20] = 2, 3
        name = f"patient{n:03d}"
        write(
            folder / "in" / name / f"{name}_4d.nii.gz", (60 * labels + rng.integers(0, 40, labels.shape)).astype("u1")
        )
        if n == 1:
            write(folder / "in" / name / f"{name}_frame01_gt.nii.gz", labels[0])
    (folder / "in" / "cases.csv").write_text(
        "patient,group,split,ed_frame,es_frame\npatient001,NOR,train,1,2\npatient002,NOR,train,1,2\n"
    )
    with Study.create(
        folder / "study", label_scheme=PRESETS["acdc"], preprocessing=Preprocessing(crop_yx=(32, 32))
    ) as made:
        assert not made.add_cases(scan(folder / "in", "acdc")).failed
        for strategy in ("supervised", "asdnet"):
            overrides = SHORT if strategy == "asdnet" else {"duration": "2 iterations", "batch_size": 4}
            run(made, training_spec(made, strategy=strategy, overrides=overrides, network_overrides=TINY))
        yield made


def by_strategy(study, strategy):
    return next(m.id for m in study.models() if m.strategy == strategy)


def test_the_confidence_network_lies_beside_the_weights_and_the_card_knows_it(study):
    model_id = by_strategy(study, "asdnet")
    start = start_model(study, model_id)
    network = load_confidence_network(start.confidence_path, start.confidence_hash)
    assert study.model_card(model_id)["confidence_hash"] == start.confidence_hash
    assert network.trunk[0].weight.shape[:2] == (2, 4)
    plain = start_model(study, by_strategy(study, "supervised"))
    assert (plain.confidence_path, plain.confidence_hash) == (None, None)


@pytest.mark.parametrize("asked", [None, "network"])
def test_proposals_of_such_a_model_carry_what_its_network_says(asked, study):
    model_id = by_strategy(study, "asdnet")
    spec = prediction_spec(study, model_id=model_id, crf=False, confidence=asked)
    assert spec.confidence == "network"
    run(study, spec)
    proposal = study.proposal("patient002")
    assert study.measures(proposal.id)["confidence"] == "network"
    start = spec.model
    segmenting = build_network("res-unet", n_classes=4, parameters=TINY)
    segmenting.load_state_dict(load_weights(start.weights_path)[0])
    judge = load_confidence_network(start.confidence_path, start.confidence_hash)
    case = study.case("patient002")
    for frame, p in iter_frames(
        segmenting, read_image(case.image_path), start.preprocessing, case.spacing_zyx_mm, batch_size=20
    ):
        expected = network_confidence(judge, p, preprocessing=start.preprocessing, spacing_zyx_mm=case.spacing_zyx_mm)
        np.testing.assert_array_equal(study.read_confidence(proposal)[frame], to_uint8(expected))


def test_a_model_without_one_gives_the_probability_and_says_so_when_asked_for_more(study):
    model_id = by_strategy(study, "supervised")
    assert prediction_spec(study, model_id=model_id).confidence == "probability"
    with pytest.raises(SpecError, match=f"model {model_id} has no confidence network; take the confidence probability"):
        prediction_spec(study, model_id=model_id, confidence="network")


def test_orders_keep_the_network_through_json_and_name_the_run_by_it(study):
    spec = prediction_spec(study, model_id=by_strategy(study, "asdnet"))
    again = spec_from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    other = dataclasses.replace(spec, model=dataclasses.replace(spec.model, confidence_hash="0" * 64))
    assert other.hash != spec.hash
    by_probability = dataclasses.replace(spec, confidence="probability")
    assert dataclasses.replace(other, confidence="probability").hash == by_probability.hash


def test_a_card_written_before_there_were_such_networks_is_read(study):
    document = prediction_spec(study, model_id=by_strategy(study, "supervised")).to_dict()
    for name in ("confidence_path", "confidence_hash"):
        document["model"].pop(name)
    assert spec_from_dict(json.loads(json.dumps(document))).model.confidence_path is None


def test_by_command(study):
    result = CliRunner().invoke(
        main,
        ["predict", str(study.folder), "--model", by_strategy(study, "asdnet"), "--confidence", "network", "--no-crf",
         "--cases", "patient001"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    refused = CliRunner().invoke(
        main, ["predict", str(study.folder), "--model", by_strategy(study, "supervised"), "--confidence", "network"]
    )
    assert refused.exit_code == 1
    assert "has no confidence network" in refused.output


def test_a_lost_or_changed_network_is_refused_before_anything_is_labelled(study, tmp_path):
    spec = prediction_spec(study, model_id=by_strategy(study, "asdnet"), cases=["patient001"])
    gone = dataclasses.replace(spec.model, confidence_path=str(tmp_path / "gone.safetensors"))
    for model in (gone, dataclasses.replace(spec.model, confidence_hash="0" * 64)):
        with pytest.raises(CheckpointError, match=r"no such weights file|not the confidence network"):
            run(study, dataclasses.replace(spec, model=model))


def test_weights_of_a_start_are_not_touched_by_the_network_beside_them(study):
    """A training may begin with such a model; its own confidence network begins anew."""
    study.promote(by_strategy(study, "asdnet"), by="tester")
    overrides = {**SHORT, "duration": "1 iterations", "warm_start": True, "learning_rate": 1e-7}
    spec = training_spec(study, strategy="asdnet", overrides=overrides, network_overrides=TINY, seed=1)
    assert spec.start is not None
    result = run(study, spec)
    before, after = start_model(study, spec.start.model_id), start_model(study, result["model_id"])
    assert before.confidence_hash != after.confidence_hash
    old, new = (load_weights(m.weights_path)[0] for m in (before, after))
    name = next(n for n in old if n.endswith("conv.weight"))
    assert torch.allclose(old[name], new[name], atol=1e-5)
