from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from curve_sets import examples

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import SpecError
from napari_ssl.qc.classifier import new_classifier
from napari_ssl.qc.data import augment, balanced, folds_by_subject, gather
from napari_ssl.qc.evaluate import area_under_curve
from napari_ssl.qc.fitting import fit, logits_of
from napari_ssl.qc.learning import learning_curve
from napari_ssl.qc.train import cross_validate, train
from napari_ssl.training.loop import Stopped

ACDC = PRESETS["acdc"]


@pytest.fixture(scope="module")
def data(parameters):
    torch.set_num_threads(1)
    return gather(examples(), ACDC, "short-axis", parameters)


@pytest.fixture
def quick(parameters):
    return dataclasses.replace(parameters, epochs=3, learning_curve=False)


def test_one_dense_layer_comes_before_three_of_lstm(parameters):
    network = new_classifier(9, 8, 16, 0)
    assert isinstance(network.dense, torch.nn.Linear)
    assert network.lstm.num_layers == 3
    assert network(torch.zeros(4, 16, 9)).shape == (4,)


def test_what_stands_behind_the_end_of_a_cycle_has_no_influence():
    network = new_classifier(3, 8, 16, 0).eval()
    curves = torch.rand(2, 20, 3)
    lengths = torch.tensor([12, 20])
    other = curves.clone()
    other[0, 12:] = 99.0
    torch.testing.assert_close(network(curves, lengths), network(other, lengths))
    torch.testing.assert_close(network(curves, lengths)[0], network(curves[:1, :12])[0])


def test_class_weights_balance_the_verdicts():
    good = np.array([True, True, True, False])
    weight = balanced(good, np.array([1.0, 0.5, 0.5, 1.0]))
    assert weight[good].sum() == pytest.approx(weight[~good].sum())
    assert weight.mean() == pytest.approx(1.0)
    assert weight[0] == pytest.approx(2 * weight[1])


def test_no_subject_is_in_two_folds_and_folds_are_alike(data):
    folds = folds_by_subject(data, 5, 0)
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(data)))
    seen = [set(data.subjects[f]) for f in folds]
    assert not any(a & b for i, a in enumerate(seen) for b in seen[:i])
    assert {round(float(data.good[f].mean()), 1) for f in folds} == {0.5}


def test_too_few_subjects_for_the_folds_are_told(parameters):
    few = gather(examples(4), ACDC, "short-axis", parameters)
    with pytest.raises(SpecError, match="too few for 5 folds"):
        folds_by_subject(few, 5, 0)


def test_augmentation_turns_cycles_and_leaves_out_structures_but_the_first(data):
    generator = torch.Generator().manual_seed(0)
    made = augment(data.inputs, data.lengths, generator)
    torch.testing.assert_close(made[..., 0].sort(dim=1).values, data.inputs[..., 0].sort(dim=1).values)
    absent = (made[..., 7] == 0).all(dim=1)
    assert 0 < absent.sum() < len(data) / 2
    assert not made[absent][..., [1, 4]].any()


def test_held_out_subjects_are_told_apart_after_training(data, parameters):
    logits, epochs, _ = cross_validate(data, parameters, 0)
    assert area_under_curve(logits, data.good) > 0.9
    assert len(epochs) == parameters.folds


def test_the_same_seed_gives_the_same_weights_and_another_one_others(data, quick):
    first, second, third = (train(data, quick, seed) for seed in (1, 1, 2))
    for name, tensor in first.network.state_dict().items():
        torch.testing.assert_close(tensor, second.network.state_dict()[name], rtol=0, atol=0)
    assert first.metrics == second.metrics
    assert not torch.equal(first.network.dense.weight, third.network.dense.weight)


def test_a_run_that_was_stopped_goes_on_with_the_folds_it_has_and_ends_alike(data, quick, tmp_path):
    whole = train(data, quick, 0)

    def after_the_first_fold():
        return (tmp_path / "fold-0.json").exists()

    with pytest.raises(Stopped):
        train(data, quick, 0, folder=tmp_path, should_stop=after_the_first_fold)
    assert not (tmp_path / "fold-1.json").exists()
    stamp = (tmp_path / "fold-0.json").stat().st_mtime_ns
    resumed = train(data, quick, 0, folder=tmp_path)
    assert (tmp_path / "fold-0.json").stat().st_mtime_ns == stamp
    assert resumed.threshold == whole.threshold
    torch.testing.assert_close(resumed.network.output.weight, whole.network.output.weight, rtol=0, atol=0)


def test_training_ends_early_and_keeps_the_best_epoch(data, parameters):
    impatient = dataclasses.replace(parameters, patience=1, learning_rate=0.5, epochs=50)
    rows = np.arange(40)
    network, best, history = fit(data, rows, np.arange(40, 60), impatient, seed=0, epochs=50)
    losses = [h["validation_loss"] for h in history]
    assert len(history) < 50
    assert losses[best - 1] == min(losses)
    assert np.isfinite(logits_of(network, data.inputs)).all()


def test_operating_point_and_calibration_come_from_people_where_they_suffice(quick):
    mixed = [*examples(40), *[dataclasses.replace(e, id=f"x{e.id}") for e in examples(8, 1, source="simulated")]]
    data = gather(mixed, ACDC, "short-axis", quick)
    metrics = train(data, quick, 0).metrics
    assert metrics["decided_on"] == "people"
    assert metrics["rated"]["n"] == 40
    assert metrics["simulated"]["n"] == 8
    only = gather(examples(20, source="simulated"), ACDC, "short-axis", quick)
    assert train(only, quick, 0).metrics["decided_on"] == "all"


def test_learning_curve_grows_to_all_that_there_is(data, quick):
    told = []
    points = learning_curve(
        data, quick, 0, epochs=1, sizes=(10, 20, 500), progress=lambda done, of: told.append((done, of))
    )
    assert told == [(n, len(points)) for n in range(len(points))]
    assert [p["n"] for p in points] == [10, 20, 30]
    assert all(0 <= p["auc"] <= 1 and 0 <= p["sensitivity_at_80"] <= 1 for p in points)


def test_the_baseline_is_the_mean_of_the_good_curves(data, quick):
    network = train(data, quick, 0).network
    torch.testing.assert_close(network.baseline, data.inputs[torch.from_numpy(data.good)].mean(dim=0))
