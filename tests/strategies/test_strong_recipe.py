"""The strong supervised recipe (Isensee et al. 2021): its parts, and that every strategy can start from it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from napari_ssl.core.catalogue import NETWORKS, STRATEGIES, preset_values
from napari_ssl.core.job import EventKind
from napari_ssl.core.training import StartModel
from napari_ssl.io.images import hash_file
from napari_ssl.networks import load_weights
from napari_ssl.rounds import execute
from napari_ssl.training.recipes import RECIPES

SUPERVISED = STRATEGIES["supervised"]
FOLLOWING = sorted(name for name, entry in STRATEGIES.items() if entry.uses_unlabelled)
DYN = {"base_channels": 4, "levels": 4}
COMMON = {"optimiser": "sgd", "momentum": 0.99, "schedule": "poly", "augmentation": "strong", "learning_rate": 1e-3}


def test_the_preset_is_rich_augmentation_dice_and_cross_entropy_deep_supervision_and_poly():
    values = preset_values(SUPERVISED, "strong", {})
    assert SUPERVISED.preset_network["strong"] == "dyn-unet"
    assert (values["loss"], values["schedule"], values["augmentation"]) == ("dice-cross-entropy", "poly", "strong")
    assert values["deep_supervision"] == 0.5
    assert (values["optimiser"], values["learning_rate"], values["momentum"]) == ("sgd", 0.01, 0.99)
    assert NETWORKS["dyn-unet"].parameters().deep_supervision
    recipe = dataclasses.asdict(RECIPES["strong"])
    used = {name for name, value in recipe.items() if value}
    assert {"rotation_sd_deg", "log_scale_sd", "elastic_p", "gamma_p", "contrast_p", "noise_p", "blur_p"} <= used
    assert not any(recipe[name] for name in ("mirror_x_p", "mirror_y_p"))


@pytest.fixture(scope="module")
def strong_model(tmp_path_factory):
    """A model of the strong recipe, made when it is first asked for."""
    made = []

    def get(make_spec):
        if not made:
            folder = tmp_path_factory.mktemp("strong")
            values = preset_values(SUPERVISED, "strong", {"duration": "2 iterations", "batch_size": 4})
            spec = make_spec("supervised", network="dyn-unet", network_parameters=DYN)
            execute(dataclasses.replace(spec, parameters=values), folder, lambda e: None, lambda: False)
            weights = folder / "output" / "weights.safetensors"
            made.append(
                StartModel(
                    model_id="strong",
                    weights_path=str(weights),
                    weights_hash=hash_file(weights),
                    network=spec.network,
                    network_parameters=spec.network_parameters,
                    preprocessing=spec.preprocessing,
                )
            )
        return made[0]

    return get


@pytest.mark.parametrize("name", FOLLOWING)
def test_every_strategy_goes_on_from_its_model_with_deep_supervision(name, make_spec, strong_model, tmp_path):
    start, events = strong_model(make_spec), []
    parameters = {**COMMON, "warm_start": True}
    if name == "self-labelling":  # else its model labels, and is then left behind as in the paper
        parameters["from_scratch"] = False
    spec = make_spec(name, network="dyn-unet", network_parameters=DYN, parameters=parameters, start=start)
    execute(spec, tmp_path, events.append, lambda: False)
    said = [e.data["message"] for e in events if e.kind is EventKind.NOTICE]
    assert not any("random weights" in message for message in said)
    before, after = load_weights(start.weights_path)[0], load_weights(tmp_path / "output" / "weights.safetensors")[0]
    moved = {k: float((after[k] - before[k]).norm() / before[k].norm().clamp_min(1e-6)) for k in before}
    assert all(torch.isfinite(w).all() for w in after.values())
    assert any(moved.values())
    # Random weights would be as far from the model's as these are long.
    assert moved["input_block.conv1.conv.weight"] < 0.5
