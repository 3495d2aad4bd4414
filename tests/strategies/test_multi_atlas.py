"""The set of atlases keeps the promises that trained strategies make (test_strategy_contract)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from napari_ssl.core.catalogue import STRATEGIES, preset_values, why_not_together
from napari_ssl.core.job import EventKind
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import JobError, SpecError
from napari_ssl.inference.predict import iter_frames
from napari_ssl.io.images import hash_labels, read_header, read_image, write_volume
from napari_ssl.networks import build_network, load_weights
from napari_ssl.rounds import StoppedByRequest, execute
from napari_ssl.strategies.multi_atlas import fusion_settings

QUICK = {"finest_mm": 3.0, "iterations": 8, "selected": 3, "grid_mm": 16.0}


@pytest.fixture
def order(make_spec):
    def make(parameters=None, seed=3):
        values = preset_values(STRATEGIES["multi-atlas"], None, {**QUICK, **(parameters or {})})
        return dataclasses.replace(
            make_spec("supervised"),
            strategy="multi-atlas",
            network="multi-atlas",
            network_parameters={},
            parameters=values,
            seed=seed,
        )

    return make


def run(spec, folder, *, should_stop=lambda: False, events=None):
    result = execute(spec, folder, (lambda e: None) if events is None else events.append, should_stop)
    return result, load_weights(folder / "output" / "weights.safetensors")[0]


def test_atlases_find_the_rings_and_progress_rises_to_the_end(order, tmp_path):
    events = []
    result, state = run(order(), tmp_path, events=events)
    assert np.mean(list(result["metrics"]["validation"]["mean"]["dice"].values())) > 0.6
    assert len(state["shapes_zyx"]) == 4  # two cases, ED and ES
    fractions = [e.data["fraction"] for e in events if e.kind is EventKind.PROGRESS]
    assert fractions == sorted(fractions) and fractions[-1] > 0.9


def test_the_seed_alone_decides_which_cases_are_atlases(order, tmp_path):
    one = {"atlases": 1, "iterations": 1}
    _, first = run(order(one), tmp_path / "1")
    _, again = run(order(one), tmp_path / "2")
    assert len(first["shapes_zyx"]) == 2
    assert all(torch.equal(first[k], again[k]) for k in first)
    others = [run(order(one, seed=s), tmp_path / f"s{s}")[1] for s in (4, 5, 6)]
    assert any(not torch.equal(first["labels"], o["labels"]) for o in others)


def test_a_run_that_was_stopped_gathers_the_same_atlases(order, tmp_path):
    _, undisturbed = run(order(), tmp_path / "whole")
    asked = iter(range(100))
    with pytest.raises(StoppedByRequest):
        run(order(), tmp_path / "stopped", should_stop=lambda: next(asked) >= 1)
    _, resumed = run(order(), tmp_path / "stopped")
    assert all(torch.equal(undisturbed[k], resumed[k]) for k in undisturbed)


def test_the_state_says_how_the_atlases_are_used_and_loads_into_an_empty_set(order, tmp_path):
    spec = order({"gamma": 2.0, "fusion": "majority"})
    _, state = run(spec, tmp_path)
    network = build_network("multi-atlas", n_classes=4)
    network.load_state_dict(state)
    settings = network.fusion_settings()
    assert (settings.gamma, settings.fusion, settings.selected) == (2.0, "majority", 3)
    assert settings.registration.deform_mm == (4.5, 3.0)
    atlas = network.atlases()[0]
    assert atlas.volume.data.shape == atlas.labels.shape == (2, 32, 32)
    assert set(np.unique(atlas.labels)) <= {0, 1, 2, 3}


def test_prediction_gives_whole_volumes_to_the_atlases_and_repeats_itself(order, tmp_path, ring_files):
    _, state = run(order(), tmp_path)
    network = build_network("multi-atlas", n_classes=4, dimensions=3)
    network.load_state_dict(state)
    image = read_image(ring_files["v"][0]).data
    results = [
        dict(iter_frames(network, image, Preprocessing(crop_yx=(32, 32)), (8.0, 1.5, 1.5), frames=(2,)))
        for _ in range(2)
    ]
    assert results[0][2].shape == (2, 4, 32, 32)
    np.testing.assert_allclose(results[0][2].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(results[0][2], results[1][2])


def test_what_a_set_of_atlases_cannot_do_is_said():
    network = build_network("multi-atlas", n_classes=4)
    with pytest.raises(JobError, match="without atlases"):
        network.label_volume(np.zeros((2, 16, 16), np.float32), (8.0, 1.5, 1.5))
    with pytest.raises(JobError, match="whole volumes"):
        network(torch.zeros(1, 1, 16, 16))
    with pytest.raises(JobError, match="one channel"):
        build_network("multi-atlas", n_classes=4, in_channels=3)
    with pytest.raises(RuntimeError, match="Missing key"):
        network.load_state_dict({"x": torch.zeros(1)})


def test_strategy_and_network_belong_together():
    assert "leave the network out" in why_not_together(STRATEGIES["multi-atlas"], "res-unet")
    assert "cannot train multi-atlas" in why_not_together(STRATEGIES["supervised"], "multi-atlas")
    assert why_not_together(STRATEGIES["multi-atlas"], "multi-atlas") == ""
    assert why_not_together(STRATEGIES["supervised"], "fcn17") == ""


def test_presets_are_what_the_paper_and_a_hurry_need():
    entry = STRATEGIES["multi-atlas"]
    paper = fusion_settings(entry.parameters(**preset_values(entry, "paper", {})))
    quick = fusion_settings(entry.parameters(**preset_values(entry, "quick", {})))
    assert preset_values(entry, "paper", {})["atlases"] == 80 and paper.selected == 0
    assert quick.registration.iterations < paper.registration.iterations
    assert quick.registration.deform_mm[-1] > paper.registration.deform_mm[-1]


def test_labels_without_any_structure_are_no_atlas(order, tmp_path):
    item = order().items[0]
    empty = np.zeros((3, 2, 32, 32), np.uint8)
    write_volume(tmp_path / "empty.nii.gz", empty, read_header(item.image_path).geometry)
    blank = dataclasses.replace(item, label_path=str(tmp_path / "empty.nii.gz"), label_hash=hash_labels(empty))
    with pytest.raises(SpecError, match="no labelled frame"):
        run(dataclasses.replace(order(), items=(blank,)), tmp_path / "run")
