"""Policies inside a run: which pseudo-labels come back, and how a run waits for a clinician."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from napari_ssl.core.catalogue import POLICIES, CRFParameters
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Role, StartModel
from napari_ssl.errors import CatalogueError, CheckpointError, ImageError, LabelError, SpecError
from napari_ssl.io.images import hash_file
from napari_ssl.networks import save_weights
from napari_ssl.rounds import ParkedForReview, execute
from napari_ssl.strategies.frames import spread_frames
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.lab import Lab
from napari_ssl.strategies.policies import Proposal, make_policy
from napari_ssl.strategies.theta import Theta


@pytest.fixture
def lab_with_labels(make_spec, tmp_path):
    def make(**changes):
        events = []
        spec = make_spec("alternating-crf", **changes)
        lab = Lab(spec, tmp_path, torch.device("cpu"), events.append, lambda: False)
        theta = lab.fit(
            lab.labelled, duration="2 iterations", parameters=_parameters(spec), step="a little supervised training"
        )
        return lab, lab.refine(lab.predict(theta, lab.unlabelled), crf=CRFParameters(), step="labels")

    return make


def _parameters(spec):
    from napari_ssl.core.catalogue import STRATEGIES
    from napari_ssl.core.parameters import from_mapping

    return from_mapping(STRATEGIES[spec.strategy].parameters, spec.parameters)


def test_accept_all_uses_every_pseudo_label(lab_with_labels):
    lab, labels = lab_with_labels()
    assert [i.case_id for i in lab.review(labels, step="review")] == ["c", "d"]
    assert all(i.role is Role.PSEUDO for i in labels)


def test_oracle_corrects_the_worst_and_rejects_the_rest(lab_with_labels, ring_files):
    references = {n: {"path": str(ring_files[n][1]), "frames": [0, 1, 2]} for n in ("c", "d")}
    lab, labels = lab_with_labels(
        policy="oracle", policy_parameters={"accept_dice": 1.0, "correct_cases": 1, "references": references}
    )
    kept = list(lab.review(labels, step="review"))
    assert [(i.role, i.frames) for i in kept] == [(Role.CORRECTED, (0, 2))]
    corrected = sitk.GetArrayFromImage(sitk.ReadImage(kept[0].label_path))
    truth = sitk.GetArrayFromImage(sitk.ReadImage(references[kept[0].case_id]["path"]))
    np.testing.assert_array_equal(corrected[[0, 2]], truth[[0, 2]])
    assert not corrected[1].any()


def test_oracle_without_references_is_refused():
    with pytest.raises(SpecError, match="--references"):
        make_policy("oracle", {}, scheme=PRESETS["acdc"])


def test_oracle_leaves_cases_without_reference_undecided():
    policy = make_policy("oracle", {}, scheme=PRESETS["acdc"], reference_of=lambda case: None)
    labels = np.zeros((1, 1, 4, 4), np.uint8)
    assert policy.judge([Proposal(case_id="x", labels=labels, frames=(0,))]) == {}


def test_every_policy_of_the_catalogue_can_be_made():
    for name in POLICIES:
        make_policy(name, {}, scheme=PRESETS["acdc"], reference_of=lambda case: None, score_of=lambda cases: {})
    with pytest.raises(CatalogueError, match="accept-all"):
        make_policy("nobody", {}, scheme=PRESETS["acdc"])


def test_a_run_with_a_clinician_parks_and_goes_on_with_what_was_decided(make_spec, tmp_path):
    spec = make_spec("alternating-crf", policy="clinician", parameters={"alternations": 1})
    with pytest.raises(ParkedForReview) as parked:
        execute(spec, tmp_path, lambda e: None, lambda: False)
    assert parked.value.case_ids == ("c", "d")
    waiting = json.loads((tmp_path / "parked.json").read_text())
    decided = {"c": {"verdict": "accept"}, "d": {"verdict": "reject"}}
    (tmp_path / "decisions.json").write_text(json.dumps({waiting["key"]: decided}))
    events = []
    execute(spec, tmp_path, events.append, lambda: False)
    assert any("1 of 2 pseudo-labels" in e.data.get("message", "") for e in events)


def test_an_image_that_changed_since_import_is_refused(make_spec, tmp_path, ring_files):
    spec = make_spec("supervised")
    items = (dataclasses.replace(spec.items[0], image_hash="0" * 64), *spec.items[1:])
    with pytest.raises(ImageError, match="has changed since it was imported"):
        execute(dataclasses.replace(spec, items=items), tmp_path, lambda e: None, lambda: False)


@pytest.mark.parametrize(
    ("n", "ed", "es", "expected"),
    [
        (2, 0, 4, (0, 4)),
        (2, None, None, (0, 3)),
        (0, 0, 4, tuple(range(10))),
        (20, 0, 4, tuple(range(10))),
        (1, 2, 4, (2,)),
    ],
)
def test_frames_are_chosen_ed_and_es_first(n, ed, es, expected):
    assert spread_frames(tuple(range(10)), n, ed, es) == expected


def test_spread_frames_gives_as_many_as_asked_for():
    assert all(len(spread_frames(tuple(range(17)), n, 3, 9)) == n for n in range(1, 17))


def test_an_epoch_counts_only_slices_that_weigh_something(lab_with_labels):
    """Else λ = 0 would train longer than supervised training over the same number of epochs."""
    lab, labels = lab_with_labels()
    alone = lab.iterations(lab.labelled, "3 epochs", 4)
    assert lab.iterations(lab.labelled + 0.0 * labels, "3 epochs", 4) == alone
    assert lab.iterations(lab.labelled + labels, "3 epochs", 4) > alone


def test_labels_that_changed_under_an_order_are_refused(make_spec, tmp_path, ring_files):
    spec = make_spec("supervised")
    items = (dataclasses.replace(spec.items[0], label_hash="0" * 64), *spec.items[1:])
    with pytest.raises(LabelError, match=r"case a: .*not the labels of the order"):
        execute(dataclasses.replace(spec, items=items), tmp_path, lambda e: None, lambda: False)


def test_a_reference_that_changed_under_an_order_is_refused(make_spec, tmp_path):
    spec = make_spec("supervised", parameters={"duration": "1 iterations"})
    test = dataclasses.replace(spec.validation[0], subject_id="t", case_id="t", label_hash="0" * 64)
    with pytest.raises(LabelError, match=r"case t: .*not the labels of the order"):
        execute(dataclasses.replace(spec, evaluation=(test,)), tmp_path, lambda e: None, lambda: False)


def test_a_pseudo_label_file_that_is_gone_or_damaged_is_made_again(lab_with_labels):
    lab, labels = lab_with_labels()
    gone, damaged = (Path(i.label_path) for i in labels)
    before = damaged.read_bytes()
    gone.unlink()
    damaged.write_bytes(before[: len(before) // 2])
    lab._n_fits = 0
    theta = lab.fit(lab.labelled, duration="2 iterations", parameters=_parameters(lab.spec), step="again")
    again = lab.refine(lab.predict(theta, lab.unlabelled), crf=CRFParameters(), step="labels")
    assert [i.label_hash for i in again] == [i.label_hash for i in labels]
    assert gone.is_file()
    assert damaged.read_bytes() == before


def test_labels_that_another_program_refined_are_not_taken_for_this_ones(lab_with_labels, monkeypatch):
    """A run that is resumed where the CRF's program has changed does not mix both in one step."""
    lab, labels = lab_with_labels()
    soft = lab.predict(Theta(path=lab.folder / "gone", hash="0"), lab.unlabelled)
    with pytest.raises(CheckpointError):
        lab.refine(soft, crf=CRFParameters(), step="another network")
    theta = next(lab.folder.glob("steps/*/weights.safetensors"))
    soft = lab.predict(Theta(path=theta, hash=hash_file(theta)), lab.unlabelled)
    same = lab.refine(soft, crf=CRFParameters(), step="labels")
    assert [i.label_path for i in same] == [i.label_path for i in labels]
    monkeypatch.setattr("napari_ssl.strategies.lab_labels.which_backend", lambda crf: "another")
    other = lab.refine(soft, crf=CRFParameters(), step="labels")
    assert not {i.label_path for i in other} & {i.label_path for i in labels}


def test_a_clinician_is_not_asked_about_nothing(lab_with_labels):
    lab, _ = lab_with_labels(policy="clinician")
    assert len(lab.review(ItemSet(), step="review")) == 0


@pytest.mark.parametrize(
    ("strategy", "parameters"), [("supervised", {"from_scratch": False}), ("alternating-crf", {"warm_start": True})]
)
def test_a_start_that_was_asked_for_and_is_not_there_is_told(strategy, parameters, make_spec, tmp_path):
    events = []
    execute(make_spec(strategy, parameters=parameters), tmp_path, events.append, lambda: False)
    assert any("random weights" in e.data.get("message", "") for e in events)


def test_weights_that_changed_under_an_order_are_refused(make_spec, tmp_path):
    spec = make_spec("supervised", parameters={"duration": "1 iterations", "from_scratch": False})
    save_weights({"x": torch.zeros(1)}, tmp_path / "w.safetensors", {})
    start = StartModel(
        model_id="m1", weights_path=str(tmp_path / "w.safetensors"), weights_hash="0" * 64, network=spec.network,
        network_parameters=spec.network_parameters, preprocessing=spec.preprocessing,
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="not the weights"):
        execute(dataclasses.replace(spec, start=start), tmp_path / "run", lambda e: None, lambda: False)


def test_the_oracle_refuses_a_reference_of_another_shape():
    truth = np.zeros((2, 1, 4, 4), np.uint8)
    policy = make_policy("oracle", {}, scheme=PRESETS["acdc"], reference_of=lambda case: (truth, (0, 1)))
    with pytest.raises(LabelError, match=r"case x: .*\(2, 1, 4, 4\)"):
        policy.judge([Proposal(case_id="x", labels=np.zeros((2, 1, 5, 4), np.uint8), frames=(0, 1))])
