"""What runs out: the disk in the middle of a job, memory; said in words with the remedy, and gone on with."""

from __future__ import annotations

import pytest

from napari_ssl.core.job import EventKind, JobState
from napari_ssl.errors import JobError
from napari_ssl.jobs.control import clear_request
from napari_ssl.jobs.events import read_events
from napari_ssl.jobs.foreground import run_here
from napari_ssl.jobs.supervise import supervise


def resume(study, job) -> str:
    clear_request(study.job_folder(job.id))
    study.update_job(job.id, state=JobState.QUEUED)
    return supervise(str(study.folder), job.id)


def steps(study, job) -> list[int]:
    events = read_events(study.job_folder(job.id))
    return [e.data["iteration"] for e in events if e.kind is EventKind.CHECKPOINT]


def test_a_disk_that_is_full_at_a_checkpoint_is_told_and_the_job_goes_on_from_the_one_before(study, order):
    job = study.create_job("predict", order(count=6, step_s=0, full_at=4).to_dict())
    mark = study.job_folder(job.id) / "disk is full"
    mark.touch()
    assert supervise(str(study.folder), job.id) == "failed"
    message = study.job(job.id).message
    assert "The disk is full" in message and "make room, then resume the job" in message
    mark.unlink()
    assert resume(study, job) == "done"
    assert steps(study, job) == [1, 2, 3, 4, 5, 6]  # none twice, none lost


def test_a_disk_that_is_full_when_the_result_is_adopted_loses_no_result(study, order):
    job = study.create_job("predict", order(count=2, step_s=0, adopt_fails=True).to_dict())
    assert supervise(str(study.folder), job.id) == "failed"
    assert "The disk is full" in study.job(job.id).message
    assert read_events(study.job_folder(job.id))[-2].kind is EventKind.RESULT  # it is there to be taken again


def test_memory_that_runs_out_is_told_with_the_remedy_and_the_job_goes_on_when_resumed(study, order):
    job = study.create_job("predict", order(count=5, step_s=0, memory_at=3).to_dict())
    assert supervise(str(study.folder), job.id) == "failed"
    message = study.job(job.id).message
    assert "ran out of memory" in message and "smaller batch size or network" in message
    assert "CUDA" not in message  # the words are for people; the log has the rest
    told = read_events(study.job_folder(job.id))[-1]
    assert told.kind is EventKind.FAILED and "CUDA out of memory" in told.data["traceback"]
    assert resume(study, job) == "done" and steps(study, job) == [1, 2, 3, 4, 5]


def test_the_same_in_the_foreground(study, order):
    with pytest.raises(JobError, match="ran out of memory"):
        run_here(study, order(count=5, step_s=0, memory_at=3), lambda event: None, lambda: False)
    assert run_here(study, order(count=5, step_s=0, memory_at=3), lambda event: None, lambda: False)["n"] == 5
