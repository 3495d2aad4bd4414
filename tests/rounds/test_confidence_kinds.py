"""Confidence of every kind beside one proposal: asked for by command, stored, read, checked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing, spec_from_dict
from napari_ssl.errors import LabelError, SpecError
from napari_ssl.inference.confidence import MemberVotes, normalised_entropy, to_uint8
from napari_ssl.inference.predict import iter_frames
from napari_ssl.io.images import read_image
from napari_ssl.io.layouts import scan
from napari_ssl.jobs.runner import run_here
from napari_ssl.networks import build_network, load_weights
from napari_ssl.rounds import prediction_spec, training_spec
from napari_ssl.rounds.orders import start_model
from napari_ssl.study.confidence_maps import confidence_kinds, read_confidence_map
from napari_ssl.study.study import Study

TINY = {"base_channels": 4, "levels": 3}


def write(path, array):
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((1.5, 1.5, 8.0, 1.0)[: array.ndim])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """One labelled and one unlabelled patient, and two models of other seeds."""
    folder = tmp_path_factory.mktemp("kinds")
    rng = np.random.default_rng(0)
    for n in (1, 2):
        labels = np.zeros((2, 2, 32, 32), np.uint8)
        labels[..., 8:24, 8:24], labels[..., 12:20, 12:20] = 2, 3
        name = f"patient{n:03d}"
        grey = (60 * labels + rng.integers(0, 40, labels.shape)).astype("u1")
        write(folder / "in" / name / f"{name}_4d.nii.gz", grey)
        if n == 1:
            write(folder / "in" / name / f"{name}_frame01_gt.nii.gz", labels[0])
    (folder / "in" / "cases.csv").write_text(
        "patient,group,split,ed_frame,es_frame\npatient001,NOR,train,1,2\npatient002,NOR,train,1,2\n"
    )
    with Study.create(
        folder / "study", label_scheme=PRESETS["acdc"], preprocessing=Preprocessing(crop_yx=(32, 32))
    ) as made:
        assert not made.add_cases(scan(folder / "in", "acdc")).failed
        for seed in (0, 1):
            spec = training_spec(
                made,
                strategy="supervised",
                overrides={"duration": "2 iterations", "batch_size": 4},
                network_overrides=TINY,
                seed=seed,
            )
            run_here(made, spec, lambda event: None, lambda: False)
        yield made


@pytest.fixture(scope="module")
def models(study):
    return [m.id for m in study.models()]


def softmax(study, model_id):
    """Softmax of all frames ``(T, Z, K, Y, X)``."""
    model = start_model(study, model_id)
    network = build_network(model.network, n_classes=4, parameters=model.network_parameters)
    network.load_state_dict(load_weights(model.weights_path)[0])
    case = study.case("patient002")
    image = read_image(case.image_path).data
    frames = iter_frames(network.eval(), image, model.preprocessing, case.spacing_zyx_mm, device=torch.device("cpu"))
    return np.stack([p for _, p in frames])


def test_all_that_the_models_give_is_stored_by_command_and_is_what_its_name_says(study, models):
    done = CliRunner().invoke(
        main,
        ["predict", str(study.folder), "--model", models[0], "--ensemble", models[1], "--no-crf", "--json"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cases"] == ["patient002"]
    proposal = study.proposal("patient002")
    assert confidence_kinds(study, proposal) == ("probability", "entropy", "variance")
    first, second = (softmax(study, m) for m in models)
    votes = [MemberVotes() for _ in first]
    for frame, v in enumerate(votes):
        v.add(first[frame])
        v.add(second[frame])
    expected = {
        "probability": first.max(axis=2),
        "entropy": 1 - np.stack([normalised_entropy(p) for p in first]),
        "variance": 1 - np.stack([v.variance() for v in votes]),
    }
    for kind, values in expected.items():
        stored = read_confidence_map(study, proposal, kind)
        np.testing.assert_allclose(stored.astype(int), to_uint8(values), atol=1)
    assert len({read_confidence_map(study, proposal, k).tobytes() for k in expected}) == 3
    assert not [f for f in study.check() if "confidence" in str(f.path)]


def test_a_kind_that_is_not_stored_is_named_with_those_that_are(study, models):
    proposal = study.proposal("patient002")
    with pytest.raises(LabelError, match=r"'network' is stored .* there is: probability, entropy, variance"):
        read_confidence_map(study, proposal, "network")


def test_orders_say_what_they_ask_of_whom_and_keep_it_through_a_file(study, models):
    alone = prediction_spec(study, model_id=models[0], cases=["patient002"])
    assert (alone.confidence, alone.also, alone.members) == ("probability", ("entropy",), ())
    spec = prediction_spec(
        study, model_id=models[0], cases=["patient002"], confidence=("variance", "entropy"), ensemble=models[1:]
    )
    assert (spec.confidence, spec.also) == ("variance", ("entropy",))
    assert spec_from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    twice = prediction_spec(study, model_id=models[0], cases=["patient002"], confidence=("entropy", "entropy"))
    assert (twice.confidence, twice.also) == ("entropy", ())
    assert len({alone.hash, spec.hash, prediction_spec(study, cases=["patient002"], confidence="entropy").hash}) == 3


@pytest.mark.parametrize(
    ("kinds", "use_other", "message"),
    [
        (("variance",), False, "name them"),
        (("entropy",), True, "not the confidence variance"),
        (("certainty",), False, "must be one of"),
    ],
)
def test_orders_that_contradict_themselves_are_refused(study, models, kinds, use_other, message):
    with pytest.raises(SpecError, match=message):
        prediction_spec(
            study,
            model_id=models[0],
            cases=["patient002"],
            confidence=kinds,
            ensemble=models[1:] if use_other else (),
        )


def test_a_model_is_no_ensemble_with_itself(study, models):
    with pytest.raises(SpecError, match="name another"):
        prediction_spec(study, model_id=models[0], cases=["patient002"], ensemble=models[:1])
