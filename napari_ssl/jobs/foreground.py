"""Jobs in the foreground, for the command line: the same code as in the background, in this process, without engine.

Where the user has chosen a server or a cluster, the process runs there and this one watches it.
"""

from __future__ import annotations

from typing import Any

from napari_ssl.core.job import Emit, Event, EventKind, Job, JobState, ShouldStop
from napari_ssl.errors import JobError, NapariSslError, SpecError
from napari_ssl.jobs.changes import FOREGROUND_MARK, adopt_parked, adopt_result, end_on_request
from napari_ssl.jobs.child import Outcome, perform
from napari_ssl.jobs.control import RequestKind, RequestWatch, clear_request, lease, read_request
from napari_ssl.jobs.elsewhere import run_elsewhere
from napari_ssl.jobs.events import EVENTS_FILE, EventWriter
from napari_ssl.jobs.failures import describe
from napari_ssl.jobs.place import place_in_use
from napari_ssl.jobs.spec import Spec, kind_of, read_spec
from napari_ssl.study.study import Study

__all__ = ["run_here"]

_RESUMABLE = (JobState.PAUSED, JobState.INTERRUPTED, JobState.RUNNING, JobState.FAILED)

_LEASE_WAIT_S = 1.0  # a window may be looking whether the run has a holder


def run_here(study: Study, spec: Spec, emit: Emit, should_stop: ShouldStop) -> dict[str, Any]:
    """Carry out `spec` in this process, or where the user has chosen, adopt the result in the study and return it.

    The run is recorded like any job. An earlier run of the same order that was stopped, killed or failed is resumed.

    Parameters
    ----------
    emit : callable
        Called with every event, after it was written to the run's folder.
    should_stop : callable
        Asked often; when it says yes, the run stops with a checkpoint.

    Raises
    ------
    KeyboardInterrupt
        It was stopped, by `should_stop` or Ctrl-C; the same call goes on from the checkpoint.
    JobError
        The run is parked for review, was cancelled in a window, or is at work in another process.
    NapariSslError
        Whatever went wrong, in words.
    """
    job = _resumable(study, spec) or study.create_job(kind_of(spec), spec.to_dict())
    run_folder = study.job_folder(job.id)
    if place_in_use() is not None:
        return _elsewhere(study, job, emit, should_stop)
    writer = EventWriter(run_folder)

    def tell(event: Event) -> None:
        writer.append(event)
        emit(event)
        if event.kind is EventKind.CHECKPOINT or (event.kind is EventKind.PROGRESS and "validation_dice" in event.data):
            _record_progress(study, job.id, event)

    def asked_from_anywhere() -> bool:
        """Ctrl-C at the command, or a window's Stop or Pause."""
        return should_stop() or requests.is_there()

    requests = RequestWatch(run_folder)
    with lease(run_folder, timeout_s=_LEASE_WAIT_S), lease(run_folder, "child"):
        clear_request(run_folder)
        study.update_job(job.id, state=JobState.RUNNING, attempts=job.attempts + 1, message="In the foreground")
        mark = run_folder / FOREGROUND_MARK
        mark.touch()
        try:
            outcome = perform(spec, run_folder, tell, asked_from_anywhere, attempt=job.attempts + 1)
            return _conclude(study, job, outcome, tell)
        except KeyboardInterrupt:
            if (request := read_request(run_folder)) is not None:
                end_on_request(study, job.id, run_folder, request)
                if request.kind is RequestKind.CANCEL:  # the same order begins anew
                    raise _cancelled(study, job) from None
            else:
                message = "Stopped; the same order goes on from the last checkpoint"
                study.update_job(job.id, state=JobState.PAUSED, message=message)
            raise
        except Exception as error:
            if study.job(job.id).state is JobState.RUNNING:
                study.update_job(job.id, state=JobState.FAILED, message=describe(error))
            raise
        finally:
            mark.unlink(missing_ok=True)


def _elsewhere(study: Study, job: Job, emit: Emit, should_stop: ShouldStop) -> dict[str, Any]:
    """Have the job done where the user has chosen; the mark says that a command watches it."""
    mark = study.job_folder(job.id) / FOREGROUND_MARK
    mark.touch()
    try:
        told = run_elsewhere(study, job.id, emit, should_stop)
    finally:
        mark.unlink(missing_ok=True)
    if told is not None and told.kind is EventKind.RESULT:
        return dict(told.data)
    if study.job(job.id).state is JobState.PARKED:
        raise _parked(study, job, study.job(job.id).message)
    raise JobError(f"job {job.id} ended without a result; look at: napari-ssl jobs show {study.folder} {job.id}")


def _parked(study: Study, job: Job, why: object) -> JobError:
    return JobError(
        f"job {job.id} waits for a clinician: {why}. Decide with 'napari-ssl review {study.folder}', "
        f"then 'napari-ssl jobs resume {study.folder} {job.id}'"
    )


def _cancelled(study: Study, job: Job) -> JobError:
    return JobError(
        f"job {job.id} was stopped for good, in a window or with 'napari-ssl jobs cancel'; "
        f"'napari-ssl jobs resume {study.folder} {job.id}' goes on from its last checkpoint"
    )


def _conclude(study: Study, job: Job, outcome: Outcome, tell: Emit) -> dict[str, Any]:
    """Return the result of a run that is done; record and raise any other end."""
    run_folder = study.job_folder(job.id)
    if outcome.state is JobState.DONE and outcome.result is not None:
        adopt_result(study, run_folder, outcome.result, tell)
        study.update_job(job.id, state=JobState.DONE, progress=1.0, message="Done")
        return outcome.result
    if outcome.state is JobState.PAUSED:
        raise KeyboardInterrupt(str(outcome.error))
    if outcome.state is JobState.PARKED:
        adopt_parked(study, run_folder)
        study.update_job(job.id, state=JobState.PARKED, message=str(outcome.error))
        raise _parked(study, job, outcome.error)
    if outcome.error is None:
        raise JobError(f"job {job.id} ended without a result")
    if not isinstance(outcome.error, NapariSslError):
        raise JobError(f"job {job.id}: {describe(outcome.error)} ({run_folder / EVENTS_FILE})") from outcome.error
    raise outcome.error


def _resumable(study: Study, spec: Spec) -> Job | None:
    """Return the newest unfinished run of the same order that nobody is working on.

    A batch of a cohort that waits was left by a process that ended before it began: no engine takes batches.
    """
    is_part = getattr(spec, "part", None) is not None
    states = (*_RESUMABLE, JobState.QUEUED) if is_part else _RESUMABLE
    for job in reversed(study.jobs()):
        if job.kind is kind_of(spec) and job.state in states:
            try:
                with lease(study.job_folder(job.id), timeout_s=_LEASE_WAIT_S):
                    if read_spec(study.job_folder(job.id)).hash == spec.hash:
                        return job
            except (JobError, SpecError):  # somebody is at work on it, or its order is lost: begin anew
                continue
    return None


def _record_progress(study: Study, job_id: str, event: Event) -> None:
    fraction = event.data.get("fraction")
    if fraction is not None:
        study.update_job(job_id, progress=min(1.0, max(0.0, float(fraction))), message=str(event.data.get("step", "")))
