"""The same jobs without an engine, for the command line."""

from __future__ import annotations

import json

import pytest

from napari_ssl.core.job import EventKind, JobState
from napari_ssl.errors import ImageError, JobError
from napari_ssl.jobs import control
from napari_ssl.jobs.changes import FOREGROUND_MARK, recover
from napari_ssl.jobs.control import lease
from napari_ssl.jobs.events import read_events
from napari_ssl.jobs.foreground import run_here
from napari_ssl.jobs.runner import Runner
from napari_ssl.jobs.spec import kind_of


def test_a_job_in_the_foreground_is_recorded_told_and_adopted(study, order):
    heard = []
    result = run_here(study, order(count=3, step_s=0), heard.append, lambda: False)
    (job,) = study.jobs()
    assert (job.state, job.progress, job.attempts) == (JobState.DONE, 1.0, 1)
    assert json.loads((study.folder / f"adopted-{job.id}.json").read_text()) == result
    assert [e.kind for e in heard] == [e.kind for e in read_events(study.job_folder(job.id))]
    assert heard[-1].kind is EventKind.RESULT


def test_stopped_in_the_foreground_the_same_order_goes_on_in_the_same_run(study, order):
    seen = []
    with pytest.raises(KeyboardInterrupt):
        run_here(study, order(count=6, step_s=0), seen.append, lambda: len(seen) > 5)
    assert study.jobs()[0].state is JobState.PAUSED
    assert run_here(study, order(count=6, step_s=0), seen.append, lambda: False)["n"] == 6
    (job,) = study.jobs()
    assert (job.state, job.attempts) == (JobState.DONE, 2)
    counted = [e.data["iteration"] for e in seen if e.kind is EventKind.CHECKPOINT]
    assert counted == list(range(1, 7))


def test_ctrl_c_in_the_middle_leaves_a_job_that_can_go_on(study, order):
    def press(event):
        if event.kind is EventKind.CHECKPOINT:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_here(study, order(count=3, step_s=0), press, lambda: False)
    assert study.jobs()[0].state is JobState.PAUSED


def test_a_failure_is_recorded_and_raised(study, order):
    with pytest.raises(ImageError, match="truncated"):
        run_here(study, order(fail=True), lambda e: None, lambda: False)
    (job,) = study.jobs()
    assert (job.state, job.message) == (JobState.FAILED, "case p1: the image is truncated; copy it again")


def test_a_result_that_cannot_be_adopted_is_recorded_as_a_failure(study, order):
    with pytest.raises(OSError, match="No space"):
        run_here(study, order(count=1, step_s=0, adopt_fails=True), lambda e: None, lambda: False)
    assert "disk is full" in study.jobs()[0].message


def test_a_parked_run_says_what_to_do(study, order):
    with pytest.raises(JobError, match="waits for a clinician: 1 case waits"):
        run_here(study, order(park=True), lambda e: None, lambda: False)
    assert study.jobs()[0].state is JobState.PARKED


def test_an_order_that_another_process_is_working_on_is_not_touched(study, order):
    job = study.create_job("predict", order().to_dict())
    study.update_job(job.id, state=JobState.RUNNING)
    with lease(study.job_folder(job.id)):
        run_here(study, order(count=1, step_s=0), lambda e: None, lambda: False)
    assert len(study.jobs()) == 2
    assert study.job(job.id).state is JobState.RUNNING


def test_an_unfinished_run_whose_order_is_lost_is_in_nobodys_way(study, order):
    job = study.create_job("predict", order(count=1, step_s=0).to_dict())
    study.update_job(job.id, state=JobState.FAILED)
    (study.job_folder(job.id) / "spec.json").unlink()
    assert run_here(study, order(count=1, step_s=0), lambda e: None, lambda: False)
    assert study.job(job.id).state is JobState.FAILED


def test_an_unexpected_failure_is_told_in_words_with_the_place_of_its_record(study, order, monkeypatch, capsys):
    from napari_ssl.jobs.spec import program

    def execute(*_):
        raise ZeroDivisionError("1/0")

    spec = order(count=1, step_s=0)
    monkeypatch.setattr(program("predict"), "execute", execute)
    with pytest.raises(JobError, match=r"ZeroDivisionError.*events\.jsonl"):
        run_here(study, spec, lambda e: None, lambda: False)
    assert capsys.readouterr().err == ""


def test_a_command_that_was_killed_leaves_a_paused_run_that_no_engine_takes_up(study, order):
    """A window that is opened on the study must not train what somebody ran, and ended, in a terminal."""
    spec = order(count=3, step_s=0)
    job = study.create_job(kind_of(spec), spec.to_dict())
    study.update_job(job.id, state=JobState.RUNNING, attempts=1)
    (study.job_folder(job.id) / FOREGROUND_MARK).touch()
    assert recover(study) == []
    assert study.job(job.id).state is JobState.PAUSED
    assert "give the same command again" in study.job(job.id).message
    assert run_here(study, spec, lambda e: None, lambda: False)["n"] == 3
    assert not (study.job_folder(job.id) / FOREGROUND_MARK).exists()
    assert len(study.jobs()) == 1


@pytest.mark.parametrize(
    ("kind", "state", "error"),
    [("cancel", JobState.CANCELLED, JobError), ("pause", JobState.PAUSED, KeyboardInterrupt)],
)
def test_a_window_stops_and_pauses_what_a_command_runs(study, order, kind, state, error, monkeypatch):
    monkeypatch.setattr(control, "_LOOK_S", 0.0)

    def ask(event):
        if event.kind is EventKind.CHECKPOINT and event.data["iteration"] == 2:
            with Runner(study.folder) as runner:
                getattr(runner, kind)(study.jobs()[0].id)

    with pytest.raises(error) as ended:
        run_here(study, order(count=50, step_s=0), ask, lambda: False)
    (job,) = study.jobs()
    assert f"jobs resume {study.folder} {job.id}" in str(ended.value) or error is KeyboardInterrupt
    assert job.state is state and control.read_request(study.job_folder(job.id)) is None
    assert len([e for e in read_events(study.job_folder(job.id)) if e.kind is EventKind.CHECKPOINT]) < 50


def test_what_was_asked_of_an_earlier_run_does_not_stop_the_next(study, order):
    job = study.create_job("predict", order(count=2, step_s=0).to_dict())
    study.update_job(job.id, state=JobState.PAUSED)
    control.write_request(study.job_folder(job.id), control.Request(kind=control.RequestKind.PAUSE))
    assert run_here(study, order(count=2, step_s=0), lambda event: None, lambda: False)["n"] == 2


def test_an_alarm_that_comes_with_the_result_is_told_to_who_ordered_it(study, order):
    told = []
    result = run_here(study, order(count=1, step_s=0, alarm="Dice fell"), told.append, lambda: False)
    assert result["n"] == 1 and told[-1].data == {"message": "Dice fell", "alarm": True}
    assert read_events(study.job_folder(study.jobs()[0].id))[-1].data["message"] == "Dice fell"
