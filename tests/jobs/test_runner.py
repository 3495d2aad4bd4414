"""Jobs end to end: a real engine, a real child, a kind of job that only counts."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from napari_ssl.core.job import EventKind, JobState
from napari_ssl.errors import JobError
from napari_ssl.jobs.runner import Runner


def _kinds(runner, job):
    return [e.kind for e in runner.events(job.id)]


def _pid(runner, job):
    return [e.data["pid"] for e in runner.events(job.id) if e.kind is EventKind.STARTED][-1]


def _over(runner, job, eventually):
    return eventually(lambda: (j := runner.job(job.id)).state.is_over and j, 30)


def _counting(runner, job, eventually, n=1):
    eventually(lambda: _kinds(runner, job).count(EventKind.PROGRESS) >= n, 30)


def _adopted(study, job):
    return json.loads((study.folder / f"adopted-{job.id}.json").read_text())


def _sum(count):
    total = 0
    for n in range(count):
        total = total * 3 % 10007 + n
    return total


def test_submission_is_acknowledged_at_once_and_ends_done_with_its_result_adopted(runner, study, order, eventually):
    began = time.monotonic()
    job = runner.submit(order(count=5))
    assert time.monotonic() - began < 1
    assert job.state is JobState.QUEUED
    job = _over(runner, job, eventually)
    assert (job.state, job.progress, job.attempts) == (JobState.DONE, 1.0, 1)
    assert _adopted(study, job) == {"kind": "predict", "n": 5, "sum": _sum(5)}
    kinds = _kinds(runner, job)
    assert kinds[0] is EventKind.STARTED
    assert kinds[-1] is EventKind.RESULT
    assert [s["state"] for s in study.job_states(job.id)] == ["queued", "running", "done"]


def test_followers_hear_everything_once_and_in_order_and_the_end_last(runner, order):
    job = runner.submit(order(count=4))
    heard = []
    following = runner.follow(job.id, lambda e: heard.append(e.kind), on_job=lambda j: heard.append(j.state))
    assert following.join(20)
    assert heard[-1] is JobState.DONE
    assert [k for k in heard if isinstance(k, EventKind)] == _kinds(runner, job)


def test_a_window_that_is_opened_later_finds_the_job_with_its_history(study, order, eventually):
    with Runner(study.folder) as first:
        job = first.submit(order(count=30, step_s=0.05))
        _counting(first, job, eventually)
    with Runner(study.folder) as second:
        heard = []
        assert second.job(job.id).state is JobState.RUNNING
        assert second.follow(job.id, heard.append).join(20)
        assert heard[0].kind is EventKind.STARTED
        assert sum(e.kind is EventKind.PROGRESS for e in heard) == 30
        assert second.job(job.id).attempts == 1


def test_cancel_is_acknowledged_at_once_and_ends_within_3_s_with_a_checkpoint(runner, study, order, eventually):
    job = runner.submit(order(count=1000, step_s=0.1))
    _counting(runner, job, eventually, 2)
    began = time.monotonic()
    runner.cancel(job.id)
    assert time.monotonic() - began < 1
    assert _over(runner, job, eventually).state is JobState.CANCELLED
    assert time.monotonic() - began < 3
    assert json.loads((study.job_folder(job.id) / "count.json").read_text())["n"] >= 2
    assert _kinds(runner, job)[-1] is EventKind.STOPPED
    with pytest.raises(JobError, match="cancelled already"):
        runner.cancel(job.id)


def test_force_ends_a_process_that_does_not_listen_at_once(runner, order, eventually):
    job = runner.submit(order(deaf=True))
    _counting(runner, job, eventually)
    pid = _pid(runner, job)
    began = time.monotonic()
    runner.cancel(job.id, force=True)
    assert _over(runner, job, eventually).state is JobState.CANCELLED
    assert time.monotonic() - began < 1
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert _kinds(runner, job)[-1] is EventKind.STOPPED


def test_a_cancelled_process_that_does_not_listen_is_ended_within_3_s(runner, order, eventually):
    job = runner.submit(order(deaf=True))
    _counting(runner, job, eventually)
    began = time.monotonic()
    runner.cancel(job.id)
    assert _over(runner, job, eventually).state is JobState.CANCELLED
    assert time.monotonic() - began < 3.5


def test_a_paused_job_goes_on_from_its_checkpoint_and_gives_the_same_result(runner, study, order, eventually):
    job = runner.submit(order(count=20, step_s=0.05))
    _counting(runner, job, eventually, 3)
    runner.pause(job.id)
    eventually(lambda: runner.job(job.id).state is JobState.PAUSED)
    with pytest.raises(JobError, match="paused; only a job that waits or runs"):
        runner.pause(job.id)
    assert runner.resume(job.id).state is JobState.QUEUED
    assert _over(runner, job, eventually).state is JobState.DONE
    assert _adopted(study, job)["sum"] == _sum(20)
    counted = [e.data["iteration"] for e in runner.events(job.id) if e.kind is EventKind.CHECKPOINT]
    assert counted == list(range(1, 21))


def test_a_killed_child_is_told_resumed_and_ends_with_the_result_of_an_undisturbed_run(
    runner, study, order, eventually
):
    job = runner.submit(order(count=20, step_s=0.05))
    _counting(runner, job, eventually, 5)
    os.kill(_pid(runner, job), signal.SIGKILL)
    eventually(lambda: runner.job(job.id).state is JobState.INTERRUPTED)
    job = _over(runner, job, eventually)
    assert (job.state, job.attempts) == (JobState.DONE, 2)
    assert _adopted(study, job) == {"kind": "predict", "n": 20, "sum": _sum(20)}
    notice = next(e for e in runner.events(job.id) if e.kind is EventKind.NOTICE)
    assert "The prediction process was killed (signal SIGKILL)" in notice.data["message"]
    assert notice.data["interrupted"] is True


def test_a_process_that_is_lost_three_times_at_one_place_fails_and_can_be_resumed(runner, study, order, eventually):
    job = runner.submit(order(count=5, dies_before=1, times=3))
    job = _over(runner, job, eventually)
    assert (job.state, job.attempts) == (JobState.FAILED, 3)
    assert "lost 3 times in a row without getting any further" in job.message
    runner.resume(job.id)
    eventually(lambda: runner.job(job.id).state is JobState.DONE)
    assert _adopted(study, job)["sum"] == _sum(5)


def test_failures_are_told_in_words_with_class_and_traceback_in_the_log(runner, study, order, eventually):
    job = _over(runner, runner.submit(order(fail=True)), eventually)
    assert job.state is JobState.FAILED
    assert job.message == "case p1: the image is truncated; copy it again"
    event = runner.events(job.id)[-1]
    assert (event.kind, event.data["error"]) == (EventKind.FAILED, "ImageError")
    assert "Traceback" in (study.job_folder(job.id) / "log.txt").read_text()


def test_a_child_that_ends_by_itself_without_a_word_has_failed(runner, order, eventually):
    job = _over(runner, runner.submit(order(crash=True)), eventually)
    assert (job.state, job.attempts) == (JobState.FAILED, 1)
    assert "exit status 9" in job.message


def test_a_result_that_cannot_be_adopted_is_a_failure_and_the_engine_goes_on(runner, order, eventually):
    job = _over(runner, runner.submit(order(adopt_fails=True)), eventually)
    assert job.state is JobState.FAILED
    assert "disk is full" in job.message
    assert _kinds(runner, job)[-1] is EventKind.FAILED


def test_a_parked_job_waits_for_decisions_and_goes_on_with_them(runner, study, order, eventually):
    job = runner.submit(order(count=3, park=True))
    eventually(lambda: runner.job(job.id).state is JobState.PARKED)
    assert (study.folder / f"parked-{job.id}").exists()
    assert runner.events(job.id)[-1].data["case_ids"] == ["p1"]
    runner.resume(job.id)
    assert _over(runner, job, eventually).state is JobState.DONE


def test_jobs_wait_for_each_other_and_a_waiting_one_can_be_cancelled(runner, study, order, eventually):
    first = runner.submit(order(count=20, step_s=0.05))
    second = runner.submit(order(count=2))
    _counting(runner, first, eventually)
    assert runner.job(second.id).state is JobState.QUEUED
    runner.cancel(second.id)
    eventually(lambda: runner.job(second.id).state is JobState.CANCELLED, 2)
    assert _over(runner, first, eventually).state is JobState.DONE
    assert not (study.folder / f"adopted-{second.id}.json").exists()


def test_a_job_that_does_not_exist_is_an_error_in_words(runner):
    with pytest.raises(JobError, match="no job"):
        runner.resume("no-such-job")
