"""What the window orders is what the command orders, for every strategy and preset, and it trains."""

from __future__ import annotations

import dataclasses

import pytest
from panel_fakes import make_study

from napari_ssl import rounds
from napari_ssl.core.catalogue import NETWORKS, STRATEGIES
from napari_ssl.core.catalogue.budget import duration_parameters
from napari_ssl.core.job import EventKind
from napari_ssl.gui.training_setup import TrainingSetup

PRESETS = [(name, preset) for name, entry in STRATEGIES.items() for preset in (*entry.presets, None)]
WITHOUT_CLASSIFIER = {"semi-qc-seg": {"arm": "without-qc", "n_cases": 1}}
SMALL = {
    "batch_size": 2, "unlabelled_batch": 2, "discriminator_channels": 2, "folds": 2, "best": 1, "alternations": 1,
    "frames_per_case": 2, "iterations": 1, "finest_mm": 6.0, "validate_every": 50,
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with make_study(tmp_path_factory.mktemp("orders"), labelled=2, unlabelled=1) as made:
        yield made


@pytest.fixture
def setup(qtbot):
    made = TrainingSetup()
    qtbot.addWidget(made)
    return made


def choose(combo, value):
    combo.setCurrentIndex(combo.findData(value))
    assert combo.currentData() == value


def ordered(study, setup):
    """The order as the panel hands it over."""
    order = setup.order()
    return rounds.training_spec(study, **{f.name: getattr(order, f.name) for f in dataclasses.fields(order)})


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_an_untouched_form_orders_what_the_command_orders(study, setup, name, preset):
    choose(setup.strategy, name)
    choose(setup.preset, preset)
    assert dict(setup.order().overrides) == {}
    by_command = rounds.training_spec(study, strategy=name, preset=preset)
    assert ordered(study, setup).hash == by_command.hash


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_trains_from_the_windows_order(study, setup, name, tmp_path):
    entry = STRATEGIES[name]
    choose(setup.strategy, name)
    choose(setup.preset, "quick")
    fields = entry.parameters.__dataclass_fields__
    wanted = {k: v for k, v in {**SMALL, **WITHOUT_CLASSIFIER.get(name, {})}.items() if k in fields}
    wanted |= dict.fromkeys(duration_parameters(entry), "1 iterations")
    if "folds" in fields:
        wanted["teacher_duration"] = "2 iterations"
    for parameter, value in wanted.items():
        setup.form.editor(parameter).set_value(value)
    if entry.network in NETWORKS:
        setup.network_form.editor("base_channels").set_value(2)
        setup.network_form.editor("levels").set_value(3)
    assert not setup.form.errors() and not setup.network_form.errors()
    spec = ordered(study, setup)
    assert all(spec.parameters[k] == v for k, v in wanted.items())
    spec = dataclasses.replace(
        spec, device="cpu", crf=False, preprocessing=dataclasses.replace(spec.preprocessing, crop_yx=(16, 16))
    )
    events = []
    result = rounds.execute(spec, tmp_path / "run", events.append, lambda: False)
    assert result["metrics"]["test"]["mean"]["dice"]
    assert (tmp_path / "run" / "output" / "weights.safetensors").is_file()
    assert any(e.kind is EventKind.PROGRESS for e in events)
