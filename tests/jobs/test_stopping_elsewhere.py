"""Stopping what runs at a server for a command or a cohort: the case that is under way is not waited for."""

from __future__ import annotations

import dataclasses

import pytest
from server_threads import Serving

from napari_ssl.core.job import JobState
from napari_ssl.jobs import elsewhere, place, supervise
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE
from napari_ssl.jobs.control import RequestKind, read_request
from napari_ssl.jobs.foreground import run_here


@pytest.fixture
def server(jobs_environment, tmp_path, monkeypatch):
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "home"))
    serving = Serving(tmp_path / "server")
    place.use_server(place.read_line(serving.line))
    yield serving
    serving.close()


@pytest.fixture
def with_image(order, tmp_path):
    """An order whose files there are, so that they can be sent."""

    def make(**behaviour):
        spec = order(**behaviour)
        image, weights = tmp_path / "p1.nii.gz", tmp_path / "m1"
        image.write_bytes(b"image")
        weights.write_bytes(b"weights")
        item = dataclasses.replace(spec.items[0], image_path=str(image))
        return dataclasses.replace(
            spec, items=(item,), model=dataclasses.replace(spec.model, weights_path=str(weights))
        )

    return make


def test_a_case_that_takes_long_is_ended_and_not_waited_for(server, study, with_image, monkeypatch):
    monkeypatch.setattr(elsewhere, "_CASE_GRACE_S", 0.2)
    monkeypatch.setitem(supervise._GRACE_S, RequestKind.PAUSE, 1000.0)  # so that force alone can end it
    seen = []
    with pytest.raises(KeyboardInterrupt):
        run_here(study, with_image(deaf=True), seen.append, lambda: len(seen) >= 2)
    (job,) = study.jobs()
    assert job.state is JobState.PAUSED and read_request(study.job_folder(job.id)) is None


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.PAUSED])
def test_a_command_that_is_given_again_after_it_was_given_up_or_stopped_tries_three_times_more(
    server, study, with_image, state
):
    spec = with_image(count=2, step_s=0)
    job = study.create_job("predict", spec.to_dict())
    study.update_job(job.id, state=state, attempts=3)
    assert run_here(study, spec, lambda event: None, lambda: False)["n"] == 2
    assert study.job(job.id).attempts == 1


def test_an_alarm_after_the_result_does_not_hide_it(server, study, with_image):
    told = []
    assert run_here(study, with_image(count=1, step_s=0, alarm="Dice fell"), told.append, lambda: False)["n"] == 1
    assert told[-1].data["message"] == "Dice fell"
