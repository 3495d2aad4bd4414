"""The life of one job, in the engine's worker: start the child, watch it, resume it when it is lost, adopt its result.

The supervisor holds the lease of the run from beginning to end and is the only one to change the job's row meanwhile.
It never raises: whatever happens ends in a state of the job and an event in words.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from pathlib import Path

from napari_ssl.core.job import Event, EventKind, JobState
from napari_ssl.errors import JobError, NapariSslError
from napari_ssl.jobs.attempts import MAX_ATTEMPTS, Furthest, keep_fruitful, n_fruitless
from napari_ssl.jobs.changes import adopt_parked, adopt_result, end_on_request, tell_lost
from napari_ssl.jobs.children import LOG_FILE, Child, start_child
from napari_ssl.jobs.control import Request, RequestKind, lease, read_request
from napari_ssl.jobs.events import EventReader, EventWriter, read_events
from napari_ssl.jobs.failures import failure_data
from napari_ssl.jobs.place import place_in_use
from napari_ssl.jobs.process import lower_priority, signal_name
from napari_ssl.jobs.spec import NOUNS
from napari_ssl.study.study import Study

__all__ = ["LOG_FILE", "supervise"]

_POLL_S = 0.1
_ROW_EVERY_S = 0.5
_RESTART_AFTER_S = 1.0
_GRACE_S = {RequestKind.CANCEL: 2.7, RequestKind.PAUSE: 10.0}
_LEASE_WAIT_S = 10.0
_RUNNABLE = (JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED)
_ENDS = {
    EventKind.RESULT: JobState.DONE,
    EventKind.FAILED: JobState.FAILED,
    EventKind.STOPPED: JobState.PAUSED,
    EventKind.PARKED: JobState.PARKED,
}

_log = logging.getLogger(__name__)


def supervise(study_folder: str, job_id: str, away: bool | None = None) -> str:
    """Carry out one job of a study; the function that the engine runs.

    Safe to submit twice: a job that is over, or that another supervisor holds, is left alone.

    Parameters
    ----------
    away : bool, optional
        Whether it was handed over to run elsewhere. Where the user has chosen another place since, the job is left
        for the next to hand it over, because this computer has fewer places than there are supervisors.

    Returns
    -------
    str
        The state that the job is in afterwards, or the reason why it was not touched.
    """
    lower_priority()
    try:
        if away is not None and away != (place_in_use() is not None):
            return "another place was chosen since; it is handed over again"
        with Study.open(Path(study_folder)) as study:
            run_folder = study.job_folder(job_id)
            with lease(run_folder, timeout_s=_LEASE_WAIT_S):
                return _Supervisor(study, job_id, run_folder).run().value
    except NapariSslError as error:
        _log.error("job %s of %s: %s", job_id, study_folder, error)
        return str(error)


class _Supervisor:
    """One job while its lease is held."""

    def __init__(self, study: Study, job_id: str, run_folder: Path) -> None:
        self._study = study
        self._job_id = job_id
        self._folder = run_folder
        self._writer = EventWriter(run_folder)
        self._noun = "background"
        self._furthest = Furthest()

    def run(self) -> JobState:
        try:
            return self._run()
        except Exception as error:  # the border of the job: whatever it is, it is told
            _log.exception("job %s failed", self._job_id)
            with suppress(NapariSslError):
                self._writer.append(Event(kind=EventKind.FAILED, data=failure_data(error)))
            return self._enter(JobState.FAILED, failure_data(error)["message"])

    def _run(self) -> JobState:
        job = self._study.job(self._job_id)
        if job.state not in _RUNNABLE:
            return job.state
        self._noun = NOUNS[job.kind]
        attempt = job.attempts
        if job.state is JobState.RUNNING:
            tell_lost(self._study, job, self._folder, "The background engine was lost")
        self._furthest = Furthest(read_events(self._folder))
        while n_fruitless(self._folder, attempt) < MAX_ATTEMPTS:
            if request := read_request(self._folder):
                return self._end_on_request(request)
            attempt += 1
            self._study.update_job(self._job_id, state=JobState.RUNNING, attempts=attempt, message="Starting")
            state, message = self._attempt(attempt)
            request = read_request(self._folder)
            if request and state not in (JobState.DONE, JobState.FAILED):
                return self._end_on_request(request)
            if state is not JobState.INTERRUPTED:
                return self._enter(state, message)
            tell_lost(self._study, self._study.job(self._job_id), self._folder, message)
            self._wait_for_restart()
        return self._give_up()

    def _attempt(self, attempt: int) -> tuple[JobState, str]:
        """Run the child once; return the state it leaves the job in and a message, INTERRUPTED when it was lost."""
        reader = EventReader(self._folder, from_end=True)
        child = start_child(self._folder, attempt)
        try:
            last = self._watch(child, reader, attempt)
        finally:
            child.kill()
            child.close()
        return self._conclude(child, last)

    def _watch(self, child: Child, reader: EventReader, attempt: int) -> Event | None:
        """Follow the child until it ends, pass on what is asked of it; return the last event that ends a job."""
        last: Event | None = None
        asked_at: float | None = None
        told_at, waiting_for, is_fruitful = 0.0, "", False
        while True:
            running = child.poll() is None
            if child.waiting_for != waiting_for:
                waiting_for = child.waiting_for
                self._study.update_job(self._job_id, message=waiting_for or "Starting")
            for event in reader.read_new():
                last = event if event.kind in _ENDS else last
                if self._furthest.take(event) and not is_fruitful:
                    is_fruitful = True
                    keep_fruitful(self._folder, attempt)
                if event.kind is EventKind.PROGRESS and time.monotonic() - told_at > _ROW_EVERY_S:
                    told_at = time.monotonic()
                    self._tell_progress(event)
            if not running:
                return last
            if request := read_request(self._folder):
                if asked_at is None:
                    asked_at = time.monotonic()
                    child.ask_to_stop()
                if request.force or time.monotonic() - asked_at > _GRACE_S[request.kind]:
                    child.kill()
                    continue
            time.sleep(_POLL_S)

    def _tell_progress(self, event: Event) -> None:
        self._study.update_job(
            self._job_id,
            progress=min(1.0, max(0.0, float(event.data.get("fraction") or 0.0))),
            message=str(event.data.get("step", "")),
        )

    def _conclude(self, child: Child, last: Event | None) -> tuple[JobState, str]:
        if last is None and child.returncode > 0 and sys.platform != "win32":  # there a killed process looks the same
            error = JobError(f"The process ended by itself ({signal_name(child.returncode)}): {self._end_of_log()}")
            self._writer.append(Event(kind=EventKind.FAILED, data={**failure_data(error), "traceback": ""}))
            return JobState.FAILED, str(error)
        if last is None or (last.kind is EventKind.STOPPED and read_request(self._folder) is None):
            return JobState.INTERRUPTED, f"The {self._noun} process was killed ({signal_name(child.returncode)})"
        state = _ENDS[last.kind]
        if state is JobState.DONE:
            self._study.update_job(self._job_id, message="Taking the result into the study")
            adopt_result(self._study, self._folder, dict(last.data))
            return state, "Done"
        if state is JobState.PARKED:
            adopt_parked(self._study, self._folder)
        return state, str(last.data.get("message", ""))

    def _end_of_log(self) -> str:
        lines = (self._folder / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"{LOG_FILE} is empty"

    def _wait_for_restart(self) -> None:
        """Leave a person the time to read, and to say no."""
        until = time.monotonic() + _RESTART_AFTER_S
        while time.monotonic() < until and read_request(self._folder) is None:
            time.sleep(_POLL_S)

    def _end_on_request(self, request: Request) -> JobState:
        return end_on_request(self._study, self._job_id, self._folder, request)

    def _give_up(self) -> JobState:
        error = JobError(
            f"The {self._noun} process was lost {MAX_ATTEMPTS} times in a row without getting any further, perhaps for "
            "want of memory, or because the time that a cluster gives it is shorter than that between two checkpoints. "
            "Its last checkpoint is kept: free some memory, or choose a smaller batch size or network, then resume."
        )
        self._writer.append(Event(kind=EventKind.FAILED, data={**failure_data(error), "traceback": ""}))
        return self._enter(JobState.FAILED, str(error))

    def _enter(self, state: JobState, message: str) -> JobState:
        progress = 1.0 if state is JobState.DONE else None
        self._study.update_job(self._job_id, state=state, message=message, progress=progress)
        return state
