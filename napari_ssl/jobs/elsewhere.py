"""Jobs of the command line whose process runs elsewhere: watched from this process instead of the engine."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from napari_ssl.core.job import Emit, Event, EventKind, JobKind, JobState, ShouldStop
from napari_ssl.errors import JobError
from napari_ssl.jobs.attempts import forget_attempts
from napari_ssl.jobs.control import Request, RequestKind, clear_request, write_request
from napari_ssl.jobs.events import EventReader
from napari_ssl.study.study import Study

__all__ = ["run_elsewhere"]

_POLL_S = 0.1
_CASE_GRACE_S = 1.8
"""A labelling's checkpoints are its cases: the one that is under way is not waited for longer."""


def run_elsewhere(study: Study, job_id: str, emit: Emit, should_stop: ShouldStop) -> Event | None:
    """Carry out a queued job where the user has chosen, adopt its result, return the event that told its end.

    Raises
    ------
    KeyboardInterrupt
        It was stopped, by `should_stop` or Ctrl-C, with a checkpoint.
    JobError
        It failed; the message is the job's.
    """
    from napari_ssl.jobs.supervise import supervise

    run_folder = study.job_folder(job_id)
    clear_request(run_folder)
    anew = study.job(job_id).state in (JobState.FAILED, JobState.PAUSED)
    if anew:  # the same command again is a person's wish for new attempts; those that were stopped were not lost
        forget_attempts(run_folder)
    study.update_job(job_id, state=JobState.QUEUED, message="Handed over", attempts=0 if anew else None)
    reader = EventReader(run_folder, from_end=True)
    thread = threading.Thread(target=supervise, args=(str(study.folder), job_id), name=f"supervise {job_id}")
    thread.start()
    last: Event | None = None
    asked_at: float | None = None
    waiting_for = ""
    in_cases = study.job(job_id).kind is JobKind.PREDICT
    try:
        while thread.is_alive():
            thread.join(_POLL_S)
            last = _pass_on(reader, emit) or last
            waiting_for = _tell_waiting(study, job_id, emit, waiting_for)
            if asked_at is None and should_stop():
                asked_at = time.monotonic()
                write_request(run_folder, Request(kind=RequestKind.PAUSE))
            if in_cases and asked_at is not None and time.monotonic() - asked_at > _CASE_GRACE_S:
                in_cases = False  # once is enough
                write_request(run_folder, Request(kind=RequestKind.PAUSE, force=True))
    except BaseException:
        _stop(run_folder, thread)
        raise
    last = _pass_on(reader, emit) or last
    job = study.job(job_id)
    if job.state is JobState.PAUSED:
        raise KeyboardInterrupt(job.message)
    if job.state not in (JobState.DONE, JobState.PARKED):
        raise JobError(job.message or f"job {job_id} was not carried out; look at: napari-ssl jobs show")
    return last


def _pass_on(reader: EventReader, emit: Emit) -> Event | None:
    """Pass on what was told; return the last that is no notice: those of the adoption come after the end."""
    last = None
    for event in reader.read_new():
        emit(event)
        last = last if event.kind is EventKind.NOTICE else event
    return last


def _tell_waiting(study: Study, job_id: str, emit: Emit, before: str) -> str:
    """Say in the terminal what the job waits for, when that changes."""
    message = study.job(job_id).message
    if message != before and message.startswith("Waits"):
        emit(Event(kind=EventKind.NOTICE, data={"message": message}))
    return message


def _stop(run_folder: Path, thread: threading.Thread) -> None:
    """Ctrl-C: leave no supervisor behind that nobody watches."""
    write_request(run_folder, Request(kind=RequestKind.PAUSE))
    thread.join()
