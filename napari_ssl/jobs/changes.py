"""Changes of a job's state, each with its event in words; made only by the holder of the run's lease."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_ssl.core.job import Emit, Event, EventKind, Job, JobKind, JobState
from napari_ssl.errors import JobError, StorageError
from napari_ssl.jobs.attempts import MAX_ATTEMPTS, n_fruitless
from napari_ssl.jobs.control import Request, RequestKind, clear_request, lease, read_request
from napari_ssl.jobs.events import EventWriter, read_events
from napari_ssl.jobs.spec import is_batch, kind_of, program, read_spec
from napari_ssl.study.study import Study

__all__ = ["adopt_parked", "adopt_result", "end_on_request", "recover", "settle", "tell_lost"]

_IN_TRANSIT_S = 5.0
_UNDER_WAY = (JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED)


def adopt_result(study: Study, run_folder: Path, result: dict[str, Any], tell: Emit | None = None) -> None:
    """Take what the run has made into the study, and tell what has got worse with it, `tell` writing it down."""
    spec = read_spec(run_folder)
    tell = tell or EventWriter(run_folder).append
    for message in program(kind_of(spec)).adopt(study, spec, result, run_folder) or ():
        with suppress(StorageError):  # the disk is full: the study has it
            tell(Event(kind=EventKind.NOTICE, data={"message": message, "alarm": True}))


def adopt_parked(study: Study, run_folder: Path) -> None:
    """Put what the run waits for on the clinician's table."""
    spec = read_spec(run_folder)
    program(kind_of(spec)).adopt_parked(study, spec, run_folder)


def end_on_request(study: Study, job_id: str, run_folder: Path, request: Request) -> JobState:
    """Bring a job that no longer runs into the state that a person asked for."""
    clear_request(run_folder)
    if request.kind is RequestKind.PAUSE:
        state, message = JobState.PAUSED, "Paused; resume goes on from the last checkpoint"
    else:
        state, message = JobState.CANCELLED, "Stopped; the last checkpoint is kept"
    told = read_events(run_folder)
    if not told or told[-1].kind is not EventKind.STOPPED:  # it was ended by force, or never began
        with suppress(StorageError):  # the disk is full: the row still tells
            EventWriter(run_folder).append(Event(kind=EventKind.STOPPED, data={"message": message}))
    study.update_job(job_id, state=state, message=message)
    return state


def tell_lost(study: Study, job: Job, run_folder: Path, what: str) -> None:
    """Say that the process of a running job is gone; the job becomes INTERRUPTED."""
    message = f"{what}; the last checkpoint is kept."
    n = n_fruitless(run_folder, job.attempts)
    if n == 0 and job.attempts:
        message += " The job got further than before, and resumes from it by itself."
    elif n < MAX_ATTEMPTS:
        message += f" The job resumes from it by itself (attempt {n + 1} of {MAX_ATTEMPTS})."
    with suppress(StorageError):
        EventWriter(run_folder).append(
            Event(kind=EventKind.NOTICE, data={"message": message, "interrupted": True, "attempt": job.attempts})
        )
    study.update_job(job.id, state=JobState.INTERRUPTED, message=message)


def settle(study: Study, job_id: str) -> bool:
    """Carry out what was asked of a job that nobody runs; return whether the job needs no supervisor to end it."""
    run_folder = study.job_folder(job_id)
    try:
        with lease(run_folder):
            request = read_request(run_folder)
            if request is None or study.job(job_id).state.is_over:
                clear_request(run_folder)
            else:
                end_on_request(study, job_id, run_folder, request)
            return True
    except JobError:
        return False


FOREGROUND_MARK = "foreground"
"""Lies in the folder of a run that a command works on; left behind when the command is killed."""


def _pause_foreground(study: Study, job: Job, run_folder: Path) -> bool:
    """Pause a run whose command is gone: what a person ran in a terminal does not go on in the background by itself.

    Nor does a batch of a cohort, which would be labelled twice: its cohort finds it and goes on with it.
    """
    mark, part = run_folder / FOREGROUND_MARK, job.kind is JobKind.PREDICT and is_batch(run_folder)
    if not part and not (mark.exists() and job.state is JobState.RUNNING):
        return False
    message = "The command that ran it has ended; resume it here, or give the same command again."
    if part:
        message = "What labelled the cohort has ended; the cohort's job, or the same command, goes on with this batch."
    with suppress(StorageError):
        EventWriter(run_folder).append(Event(kind=EventKind.NOTICE, data={"message": message}))
    study.update_job(job.id, state=JobState.PAUSED, message=message)
    mark.unlink(missing_ok=True)
    return True


def recover(study: Study) -> list[Job]:
    """Mark running jobs whose processes are gone as interrupted; return the jobs that should be handed to an engine.

    A running job's supervisor holds its lease, and leaves the state RUNNING before it lets go: a running job with a
    free lease has lost its supervisor.
    """
    waiting: list[Job] = []
    for job in study.jobs():
        if job.state not in _UNDER_WAY:
            continue
        age_s = (datetime.now(UTC) - job.updated_at).total_seconds()
        if job.state is JobState.QUEUED and 0 <= age_s < _IN_TRANSIT_S:  # below 0 where the clock was set back
            continue  # somebody is handing it over
        run_folder = study.job_folder(job.id)
        try:
            with lease(run_folder):
                job = study.job(job.id)
                request = read_request(run_folder)
                if job.state in _UNDER_WAY and _pause_foreground(study, job, run_folder):
                    continue
                if job.state is JobState.RUNNING:
                    tell_lost(study, job, run_folder, "The background engine or the computer was shut down")
                if request is not None and not job.state.is_over:
                    end_on_request(study, job.id, run_folder, request)
                elif job.state in _UNDER_WAY:
                    waiting.append(study.job(job.id))
        except JobError:
            continue  # it has a supervisor
    return waiting
