"""Whole runs of asdnet: every arm, three dimensions, kill and resume, and what is kept beside the weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from napari_ssl.core.catalogue import STRATEGIES, choose, preset_values
from napari_ssl.core.catalogue.asdnet import ARMS
from napari_ssl.core.catalogue.budget import split_budget
from napari_ssl.core.job import EventKind
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import CatalogueError
from napari_ssl.networks import load_weights
from napari_ssl.rounds import StoppedByRequest, execute

ENTRY = choose(STRATEGIES, "asdnet", "strategy")
SHOWN = ("attention+fcn", "semi-without-adversarial", "proposed")
"""Arms with a confidence network."""


def run(spec, folder, should_stop=lambda: False, events=None):
    execute(spec, folder, (lambda e: None) if events is None else events.append, should_stop)
    states = {}
    for name in ("weights", "confidence"):
        path = folder / "output" / f"{name}.safetensors"
        states[name] = load_weights(path)[0] if path.is_file() else None
    return states


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def arms_run(tmp_path_factory):
    """States of each arm after the same few steps; each is trained when it is first asked for."""
    kept = {}

    def get(arm, make_spec):
        if arm not in kept:
            events = []
            spec = make_spec("asdnet", parameters={"arm": arm, "alternations": 2, "duration": "8 iterations"})
            kept[arm] = (run(spec, tmp_path_factory.mktemp("arm"), events=events), events)
        return kept[arm]

    return get


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_runs_and_keeps_a_confidence_network_where_it_has_a_map(arm, make_spec, arms_run):
    states, events = arms_run(arm, make_spec)
    assert all(torch.isfinite(w).all() for w in states["weights"].values())
    assert (states["confidence"] is not None) == (arm in SHOWN)
    steps = {e.data["step"] for e in events if e.kind is EventKind.PROGRESS}
    assert any(("alternation" if arm == "semi-fcn" else arm) in s for s in steps)


def test_every_arm_ends_with_other_weights(make_spec, arms_run):
    weights = [arms_run(arm, make_spec)[0]["weights"] for arm in ARMS]
    assert not any(same(a, b) for n, a in enumerate(weights) for b in weights[:n])


def test_the_parts_of_the_loss_are_told(make_spec, arms_run):
    parts = [e.data["losses"] for e in arms_run("proposed", make_spec)[1] if e.data.get("losses")]
    assert set(parts[-1]) == {"segmentation", "adversarial", "semi-supervised", "confident share", "discriminator"}


@pytest.mark.parametrize("stops", [(5,), (1, 9)])
def test_a_killed_run_ends_with_the_same_discriminator_too(stops, make_spec, tmp_path):
    spec = make_spec("asdnet", parameters={"warm_up": 0.5})
    whole = run(spec, tmp_path / "whole")
    for after in stops:
        asked = iter(range(10**6))
        with pytest.raises(StoppedByRequest):
            run(spec, tmp_path / "stopped", lambda asked=asked, after=after: next(asked) >= after)
    resumed = run(spec, tmp_path / "stopped")
    assert same(whole["weights"], resumed["weights"])
    assert same(whole["confidence"], resumed["confidence"])


def test_weights_0_of_both_terms_are_attention_supervised_training_bit_by_bit(make_spec, tmp_path):
    """Also with a warm-up of 0, and whatever unlabelled cases there are."""
    nothing = make_spec("asdnet", parameters={"lambda_1": 0.0, "lambda_2": 0.0, "warm_up": 0.0})
    attention = make_spec("asdnet", parameters={"arm": "attention"})
    assert same(run(nothing, tmp_path / "0")["weights"], run(attention, tmp_path / "1")["weights"])


def test_without_unlabelled_cases_people_are_told(make_spec, tmp_path):
    spec = make_spec("asdnet", parameters={"duration": "2 iterations"})
    events = []
    items = tuple(i for i in spec.items if i.role.has_labels)
    run(dataclasses.replace(spec, items=items), tmp_path, events=events)
    assert any("no unlabelled case for arm proposed" in e.data.get("message", "") for e in events)


@pytest.mark.parametrize("arm", ["proposed", "semi-embed"])
def test_patches_of_volumes(arm, make_spec, tmp_path):
    """16×16×4 patches of the tiny volumes, with the paper's network."""
    spec = make_spec("asdnet", parameters={"arm": arm, "duration": "3 iterations", "warm_up": 0.0})
    spec = dataclasses.replace(
        spec,
        network="svnet",
        network_parameters={"base_channels": 2},
        preprocessing=Preprocessing(dimensions=3, crop_yx=(16, 16), patch_z=4),
    )
    states = run(spec, tmp_path)
    assert max(w.ndim for w in states["weights"].values()) == 5
    if arm == "proposed":
        assert states["confidence"]["trunk.0.weight"].ndim == 5


def test_semi_fcn_divides_one_length_of_training_among_its_stages(make_spec, tmp_path):
    events = []
    spec = make_spec("asdnet", parameters={"arm": "semi-fcn", "alternations": 2, "duration": "16 iterations"})
    run(spec, tmp_path, events=events)
    lengths = {e.data["step"]: e.data["iterations"] for e in events if "iterations" in e.data}
    assert lengths == {
        "supervised training": 10,
        "alternation 1 of 2: network": 3,
        "alternation 2 of 2: network": 3,
    }


def test_presets_are_valid_and_the_papers_has_its_network_and_patches():
    for preset in ENTRY.presets:
        assert preset_values(ENTRY, preset, {})["arm"] == "proposed"
    assert ENTRY.preset_network["paper"] == "svnet"
    assert Preprocessing(**ENTRY.preset_preprocessing["paper"]).patch_zyx == (16, 64, 64)
    paper = preset_values(ENTRY, "paper", {})
    assert (paper["beta"], paper["lambda_1"], paper["lambda_2"]) == (2.0, 0.03, 0.3)
    assert (paper["learning_rate"], paper["discriminator_learning_rate"]) == (1e-3, 1e-4)
    assert (paper["weight_decay"], paper["decay_epochs"]) == (1e-4, 3)


def test_a_budget_of_steps_is_the_length_of_any_arm():
    assert split_budget(ENTRY, preset_values(ENTRY, "quick", {}), 777) == {"duration": "777 iterations"}


def test_beta_above_the_papers_range_is_refused():
    with pytest.raises(CatalogueError, match=r"\[0, 5\]"):
        preset_values(ENTRY, None, {"beta": 5.5})
