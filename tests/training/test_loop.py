from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from napari_ssl.core.catalogue import SupervisedParameters
from napari_ssl.core.job import EventKind
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import CheckpointError, JobError, SpecError
from napari_ssl.networks import build_network
from napari_ssl.training import trainer
from napari_ssl.training.loop import Stopped, fit

SCHEME = LabelScheme.parse("1=Ring,2=Disc")


def make_network(dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(1)
    return build_network(
        "res-unet", n_classes=3, parameters={"base_channels": 4, "levels": 3, "residual_units": 1, "dropout": dropout}
    )


def run(store, folder, *, network=None, iterations=12, validation=None, stop_after=None, seed=0, events=None, **values):
    """Train; with `stop_after`, ask to stop after so many questions."""
    asked = 0

    def should_stop():
        nonlocal asked
        asked += 1
        return stop_after is not None and asked > stop_after

    settings = {"batch_size": 4, "validate_every": 5, "augmentation": "strong", **values}
    return fit(
        network or make_network(),
        store,
        parameters=SupervisedParameters(**settings),
        iterations=iterations,
        validation=validation,
        scheme=SCHEME,
        seed=seed,
        device="cpu",
        emit=(events if events is not None else []).append,
        should_stop=should_stop,
        checkpoint_folder=folder,
        step_name="step",
    )


def same(first, second) -> bool:
    return first.losses == second.losses and all(
        torch.equal(first.state_dict[k], second.state_dict[k]) for k in first.state_dict
    )


def test_training_learns(store, tmp_path):
    network = make_network(dropout=0.0)
    result = run(
        store, tmp_path, network=network, iterations=80, validation=store, learning_rate=5e-3, augmentation="none"
    )
    assert result.last_validation["validation_dice"]["Disc"] > 0.8
    assert sum(result.losses[-5:]) < 0.5 * sum(result.losses[:5])
    assert [h["iteration"] for h in result.history] == list(range(5, 81, 5))


def test_same_seed_same_losses_other_seed_others(store, tmp_path):
    first = run(store, tmp_path / "a")
    torch.rand(17)  # what happened before does not matter
    assert same(first, run(store, tmp_path / "b"))
    assert first.losses != run(store, tmp_path / "c", seed=1).losses


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_stopped_at_any_place_and_resumed_equals_uninterrupted(store, tmp_path, optimiser):
    arguments = {"optimiser": optimiser, "schedule": "poly", "validation": store, "patience": 5}
    whole = run(store, tmp_path / "whole", **arguments)
    n_stops = 0
    for stop_after in (3, 4, 6, 2, 5):  # also inside a validation: it asks once a batch
        try:
            result = run(store, tmp_path / "parts", stop_after=stop_after, **arguments)
        except Stopped:
            n_stops += 1
            torch.rand(5)
    result = run(store, tmp_path / "parts", **arguments)
    assert n_stops == 5
    assert same(whole, result)
    assert whole.history == result.history


def test_killed_between_checkpoints_equals_uninterrupted(store, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)  # one after every step
    whole = run(store, tmp_path / "whole")

    class Killed(BaseException):
        pass

    class Killer(list):
        def append(self, event):
            super().append(event)
            if event.kind is EventKind.CHECKPOINT and event.data["iteration"] == 7:
                raise Killed

    with pytest.raises(Killed):
        run(store, tmp_path / "parts", events=Killer())
    assert same(whole, run(store, tmp_path / "parts"))


def test_a_corrupt_newest_checkpoint_falls_back_to_the_one_before(store, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    whole = run(store, tmp_path / "whole")
    with pytest.raises(Stopped):
        run(store, tmp_path / "parts", stop_after=6)
    newest = sorted((tmp_path / "parts").glob("*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    assert same(whole, run(store, tmp_path / "parts"))


def test_a_finished_run_is_not_trained_again(store, tmp_path):
    first = run(store, tmp_path)
    events = []
    assert same(first, run(store, tmp_path, events=events, stop_after=0))
    assert [e.kind for e in events] == [EventKind.PROGRESS]


def test_a_checkpoint_of_another_run_is_refused(store, tmp_path):
    run(store, tmp_path, iterations=2)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        run(store, tmp_path, iterations=2, seed=1)


def test_weight_zero_equals_leaving_the_case_out(store, another_case, tmp_path):
    without = run(store, tmp_path / "a")
    store.add("unlabelled", *another_case, weight=0.0)
    assert same(without, run(store, tmp_path / "b"))


def test_weights_scale_what_a_case_contributes(store, tmp_path):
    full = run(store, tmp_path / "a", iterations=1, augmentation="none")
    store.weights.fill_(0.5)
    half = run(store, tmp_path / "b", iterations=1, augmentation="none")
    assert half.losses[0] == pytest.approx(full.losses[0] / 2, rel=1e-5)


class Hungry(nn.Module):
    """Runs out of memory above `limit` slices."""

    def __init__(self, limit: int, error: type[RuntimeError] = torch.OutOfMemoryError) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.limit, self.error = nn.Conv2d(1, 3, 3, padding=1), limit, error

    def forward(self, x):
        if len(x) > self.limit:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 TB\nmore")
        return self.inner(x)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_out_of_memory_makes_the_batch_smaller_and_keeps_its_gradient(store, tmp_path, error):
    arguments = {"batch_size": 9, "loss": "cross-entropy", "optimiser": "sgd"}
    events = []
    small = run(store, tmp_path / "small", network=Hungry(4, error), events=events, **arguments)
    large = run(store, tmp_path / "large", network=Hungry(1000), **arguments)
    assert small.slices_at_once == 4 and large.slices_at_once == 9
    assert small.losses == pytest.approx(large.losses, rel=1e-4)
    notices = [e.data["message"] for e in events if e.kind is EventKind.NOTICE]
    assert len(notices) == 1 and "4 at once" in notices[0] and "9" in notices[0]


def test_the_smaller_batch_survives_a_resume(store, tmp_path):
    with pytest.raises(Stopped):
        run(store, tmp_path, network=Hungry(3), batch_size=9, stop_after=2)
    events = []
    assert run(store, tmp_path, network=Hungry(3), batch_size=9, events=events).slices_at_once == 4
    assert not [e for e in events if e.kind is EventKind.NOTICE]


def test_no_memory_for_one_slice_is_said(store, tmp_path):
    with pytest.raises(JobError, match=r"single slice of \(32, 32\) pixels .*smaller crop"):
        run(store, tmp_path, network=Hungry(0))


def test_other_errors_are_not_taken_for_memory(store, tmp_path):
    class Broken(Hungry):
        def forward(self, x):
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run(store, tmp_path, network=Broken(1))


def test_a_loss_that_is_not_finite_names_the_iteration_and_the_remedy(store, tmp_path):
    class Diverging(Hungry):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return self.inner(x) * (math.nan if self.calls == 3 else 1)

    network = Diverging(1000)
    with pytest.raises(JobError, match=r"nan at iteration 3; lower the learning rate"):
        run(store, tmp_path, network=network)
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_empty_masks_train(store, tmp_path):
    store.classes.zero_()
    result = run(store, tmp_path, iterations=3, validation=store, validate_every=1)
    assert all(math.isfinite(v) for v in result.losses)


def test_progress_tells_where_the_run_stands(store, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "_PROGRESS_SECONDS", 0.0)
    events = []
    run(store, tmp_path, iterations=6, validation=store, events=events)
    progress = [dict(e.data) for e in events if e.kind is EventKind.PROGRESS]
    assert [p["fraction"] for p in progress] == sorted(p["fraction"] for p in progress)
    assert progress[-1]["fraction"] == 1.0
    first = progress[0]
    assert (first["iteration"], first["iterations"], first["epoch"], first["epochs"]) == (1, 6, 1, 3)
    assert first["step"] == "step" and first["seconds_left"] > 0 and first["learning_rate"] == 1e-3
    validated = [p for p in progress if "validation_dice" in p]
    assert [p["iteration"] for p in validated] == [5, 6]
    assert set(validated[0]["validation_dice"]) == {"Ring", "Disc"}
    json.dumps([e.to_dict() for e in events], allow_nan=False)


def test_early_stop_and_best_weights(store, tmp_path):
    # Without a learning rate to speak of nothing gets better.
    arguments = {"validation": store, "learning_rate": 1e-7, "validate_every": 1, "optimiser": "sgd"}
    frozen = {"iterations": 30, "patience": 2, "keep": "best", "network": Hungry(1000)}
    result = run(store, tmp_path, **arguments, **frozen)
    assert result.iterations < 30
    assert result.kept_iteration == result.iterations - 2
    again = run(store, tmp_path, **arguments, **{**frozen, "network": Hungry(1000)})
    assert same(result, again) and again.kept_iteration == result.kept_iteration


def test_contradictions_are_refused(store, tmp_path):
    with pytest.raises(SpecError, match="keep=best needs validation"):
        run(store, tmp_path, keep="best")
    with pytest.raises(SpecError, match="iterations"):
        run(store, tmp_path, iterations=-1)


def test_no_iterations_return_the_start(store, tmp_path):
    start = {k: v.clone() for k, v in make_network().state_dict().items()}
    result = run(store, tmp_path, iterations=0)
    assert all(torch.equal(start[k], result.state_dict[k]) for k in start)


def test_fcn17_trains_and_resumes_too(store, tmp_path):
    def network():
        torch.manual_seed(0)
        return build_network("fcn17", n_classes=3, parameters={"base_channels": 2})

    whole = run(store, tmp_path / "a", network=network(), iterations=5)
    with pytest.raises(Stopped):
        run(store, tmp_path / "b", network=network(), iterations=5, stop_after=2)
    assert same(whole, run(store, tmp_path / "b", network=network(), iterations=5))
