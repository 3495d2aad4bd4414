"""The real thing, small: a training that is killed in the middle ends with the weights of one that was left alone."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from napari_ssl.core.job import EventKind, JobState
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing
from napari_ssl.io.layouts import scan
from napari_ssl.jobs.runner import Runner, run_here
from napari_ssl.jobs.spec import TEST_KINDS_VARIABLE
from napari_ssl.rounds import training_spec
from napari_ssl.study.study import Study

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"


@pytest.fixture
def make_study(tmp_path):
    """Make studies of the first two sample subjects, which are labelled."""
    pytest.importorskip("torch")
    for name in ("sample001", "sample002"):
        shutil.copytree(SAMPLE / name, tmp_path / "images" / name)
    opened = []

    def make(name: str) -> Study:
        study = Study.create(
            tmp_path / name, label_scheme=PRESETS["acdc"], preprocessing=Preprocessing(crop_yx=(32, 32))
        )
        study.add_cases(scan(tmp_path / "images", "acdc"), split="train")
        opened.append(study)
        return study

    yield make
    for study in opened:
        study.close()


@pytest.fixture
def real_kinds(jobs_environment, monkeypatch):
    """Let jobs run their real programs, in a new engine, because an engine keeps the environment of its start."""
    from napari_ssl.jobs.connection import stop_engine

    stop_engine()
    monkeypatch.setenv(TEST_KINDS_VARIABLE, "impatient_rounds")
    yield
    stop_engine()


def _spec(study):
    overrides = {"duration": "120 iterations", "batch_size": 2, "validate_every": 20}
    return training_spec(
        study, strategy="supervised", overrides=overrides, network_overrides={"base_channels": 2, "levels": 3}
    )


def _weights(study):
    (model,) = study.models()
    return study.model_weights(model.id).read_bytes()


def _first_iteration(events, attempt):
    started = next(n for n, e in enumerate(events) if e.data.get("attempt") == attempt and e.kind is EventKind.STARTED)
    return next(e.data["iteration"] for e in events[started:] if e.data.get("iteration"))


def test_a_killed_training_resumes_and_ends_with_the_same_weights(make_study, real_kinds, eventually, monkeypatch):
    undisturbed, killed = make_study("undisturbed"), make_study("killed")
    monkeypatch.setattr("napari_ssl.training.trainer.CHECKPOINT_SECONDS", 0.2)  # undone afterwards
    run_here(undisturbed, _spec(undisturbed), lambda event: None, lambda: False)
    with Runner(killed.folder) as runner:
        job = runner.submit(_spec(killed))

        def far_enough():
            events = runner.events(job.id)
            return any(e.kind is EventKind.CHECKPOINT for e in events) and events

        events = eventually(far_enough, 60)
        os.kill(next(e.data["pid"] for e in events if e.kind is EventKind.STARTED), signal.SIGKILL)
        job = eventually(lambda: (j := runner.job(job.id)).state.is_over and j, 60)
        assert (job.state, job.attempts) == (JobState.DONE, 2), job.message
        resumed_at = _first_iteration(runner.events(job.id), attempt=2)
        assert resumed_at > 1  # from a checkpoint, not from the beginning
        assert any("training process was killed" in e.data.get("message", "") for e in runner.events(job.id))
    assert _weights(killed) == _weights(undisturbed)
