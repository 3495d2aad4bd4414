"""Submit, control and follow the background jobs of one study, from a window or a command line.

Nothing here waits for the engine: orders are written down at once (a row, a small file) and a thread hands them over,
starting the engine when there is none. The same thread looks after jobs whose engine was lost: they are marked
interrupted and handed to the next engine, which resumes them from their checkpoints.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from napari_ssl.core.job import Event, EventKind, Job, JobKind, JobState
from napari_ssl.errors import EngineError, JobError, NapariSslError, SpecError
from napari_ssl.jobs.attempts import forget_attempts
from napari_ssl.jobs.changes import recover, settle
from napari_ssl.jobs.connection import engine_folder, read_credentials
from napari_ssl.jobs.control import Request, RequestKind, clear_request, lease, read_request, write_request
from napari_ssl.jobs.events import POLL_S, EventReader, EventWriter, read_events
from napari_ssl.jobs.failures import failure_data
from napari_ssl.jobs.foreground import run_here
from napari_ssl.jobs.handing import NoWorkerError, hand_over
from napari_ssl.jobs.place import place_in_use, place_name
from napari_ssl.jobs.spec import Spec, is_batch, kind_of, program, read_spec
from napari_ssl.study.study import Study

__all__ = ["Following", "Runner", "run_here"]

_WATCH_EVERY_S = 2.0
_RETRY_S = 15.0
_NOBODY = "nobody"
"""In the place of an engine's address: no worker has what the job needs."""
_RESUMABLE = (JobState.PAUSED, JobState.PARKED, JobState.INTERRUPTED, JobState.FAILED, JobState.CANCELLED)
_PAUSABLE = (JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED)

_log = logging.getLogger(__name__)


class Runner:
    """The jobs of one study; a context manager. Closing it leaves the jobs running.

    Every method but `close` returns within milliseconds and may be called from any thread.
    """

    def __init__(self, study_folder: str | Path) -> None:
        self._study = Study.open(study_folder)
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._handed: dict[str, tuple[str, float, str]] = {}
        self._followings: list[Following] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="napari-ssl runner", daemon=True)
        self._thread.start()

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self, *, timeout_s: float = 20.0) -> None:
        """Hand over what was ordered, end the threads and let go of the study; jobs go on."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._orders.put(None)
        self._thread.join(timeout_s)
        for following in self._followings:
            following.stop()
        if not self._thread.is_alive():
            self._study.close()

    # -- orders --------------------------------------------------------------------------------------------------

    def submit(self, spec: Spec) -> Job:
        """Record `spec` as a queued job and return it; the engine comes up and takes it by itself.

        A cohort that is ordered while the same order is queued, running or paused is that job, which goes on.

        Raises
        ------
        SpecError
            `spec` is not of a registered kind.
        StudyReadOnlyError, StorageError
            The study cannot be written.
        """
        kind = kind_of(spec)
        if kind is JobKind.COHORT and (same := self._same_order(spec)) is not None:
            return self.resume(same.id) if same.state is JobState.PAUSED else same
        job = self._study.create_job(kind, spec.to_dict())
        self._orders.put(lambda: self._hand_over(job.id))
        return job

    def _same_order(self, spec: Spec) -> Job | None:
        """Return the job that does this work already: two windows do not label a cohort twice."""
        for job in reversed(self._study.jobs()):
            if job.kind is kind_of(spec) and job.state in (*_PAUSABLE, JobState.PAUSED):
                run_folder = self._study.job_folder(job.id)
                with suppress(SpecError):
                    if read_request(run_folder) is None and read_spec(run_folder).hash == spec.hash:
                        return job
        return None

    def cancel(self, job_id: str, *, force: bool = False) -> None:
        """Stop a job for good; a running one writes a checkpoint first and ends within seconds, with `force` at once.

        Raises
        ------
        JobError
            No such job, or it is over already.
        """
        job = self._study.job(job_id)
        if job.state.is_over:
            raise JobError(f"job {job_id} is {job.state} already; there is nothing to stop")
        self._refuse_batch(job)
        self._ask(job_id, Request(kind=RequestKind.CANCEL, force=force))

    def pause(self, job_id: str) -> None:
        """Stop a job with a checkpoint until `resume`.

        Raises
        ------
        JobError
            No such job, or it neither waits nor runs.
        """
        job = self._study.job(job_id)
        if job.state not in _PAUSABLE:
            raise JobError(f"job {job_id} is {job.state}; only a job that waits or runs can be paused")
        self._refuse_batch(job)
        self._ask(job_id, Request(kind=RequestKind.PAUSE))

    def resume(self, job_id: str) -> Job:
        """Queue a stopped job again; it goes on from its last checkpoint, with three new attempts.

        Raises
        ------
        JobError
            No such job, or it is queued, running or done.
        """
        job = self._study.job(job_id)
        if job.state not in _RESUMABLE:
            raise JobError(f"job {job_id} is {job.state}; only a stopped or failed job can be resumed")
        self._refuse_batch(job)
        run_folder = self._study.job_folder(job_id)
        if job.state is JobState.PARKED:
            program(job.kind).hand_in_decisions(self._study, run_folder)
        clear_request(run_folder)
        forget_attempts(run_folder)
        job = self._study.update_job(job_id, state=JobState.QUEUED, attempts=0, message="Waiting to go on")
        self._orders.put(lambda: self._hand_over(job_id))
        return job

    def _refuse_batch(self, job: Job) -> None:
        """A batch of a cohort is begun, stopped and gone on with by what labels the cohort."""
        if job.kind is JobKind.PREDICT and is_batch(self._study.job_folder(job.id)):
            raise JobError(
                f"job {job.id} is a batch of a cohort; stop or resume the cohort's job ({JobKind.COHORT}), or the "
                "command that labels it"
            )

    def _ask(self, job_id: str, request: Request) -> None:
        write_request(self._study.job_folder(job_id), request)
        self._orders.put(lambda: self._settle(job_id))

    # -- what there is to see ------------------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """Return all jobs of the study, oldest first."""
        return self._study.jobs()

    def job(self, job_id: str) -> Job:
        """Return one job; JobError when there is none of that name."""
        return self._study.job(job_id)

    def events(self, job_id: str) -> list[Event]:
        """Return everything that a job has told so far, oldest first."""
        return read_events(self._study.job_folder(job_id))

    def follow(
        self, job_id: str, callback: Callable[[Event], None], *, on_job: Callable[[Job], None] | None = None
    ) -> Following:
        """Call `callback` from a thread with every event of a job, past ones first, until the job is over.

        `on_job` is called with the job whenever its row has changed; the last call comes after the last event.
        """
        following = Following(self._study, job_id, callback, on_job)
        self._followings.append(following)
        return following

    # -- the thread ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        due = 0.0
        while True:
            try:
                order = self._orders.get(timeout=max(0.01, due - time.monotonic()))
                if order is None:
                    return
            except queue.Empty:
                due = time.monotonic() + _WATCH_EVERY_S
                order = self._recover
            try:
                order()
            except NapariSslError as error:
                _log.warning("study %s: %s", self._study.folder, error)
            except Exception:  # the border of the thread: the next order may go well
                _log.exception("an order of study %s failed", self._study.folder)

    def _settle(self, job_id: str) -> None:
        """End a job that nobody runs; one that somebody runs is ended by its supervisor."""
        settle(self._study, job_id)

    def _recover(self) -> None:
        """Hand over again what an engine that is gone had taken."""
        if self._study.read_only or self._closed.is_set():
            return
        waiting = recover(self._study)
        if not waiting:
            return
        credentials, place = read_credentials(engine_folder()), place_name(place_in_use())
        for job in waiting:
            address, at, handed_for = self._handed.get(job.id, ("", 0.0, ""))
            has_it = credentials is not None and credentials.address == address
            is_due = time.monotonic() - at > _RETRY_S
            if handed_for == place and address == _NOBODY and not is_due:
                continue  # nothing has changed since nobody could serve it
            # An engine retries what its worker has lost, but not for ever; handing over twice does no harm.
            if not has_it or handed_for != place or (job.state is JobState.INTERRUPTED and is_due):
                self._hand_over(job.id)

    def _hand_over(self, job_id: str) -> None:
        run_folder = self._study.job_folder(job_id)
        try:
            place = place_name(place_in_use())
            address = hand_over(self._study.folder, run_folder)
            self._handed[job_id] = (address, time.monotonic(), place)
        except NoWorkerError as error:
            self._handed[job_id] = (_NOBODY, time.monotonic(), place)
            self._tell_waiting(job_id, str(error))
        except (EngineError, SpecError) as error:
            with suppress(JobError), lease(run_folder):  # held: an engine has it after all
                EventWriter(run_folder).append(Event(kind=EventKind.FAILED, data=failure_data(error)))
                self._study.update_job(job_id, state=JobState.FAILED, message=str(error))

    def _tell_waiting(self, job_id: str, message: str) -> None:
        """Say once in the job's row and story why nobody takes it."""
        run_folder = self._study.job_folder(job_id)
        with suppress(JobError), lease(run_folder):
            if self._study.job(job_id).message != message:
                EventWriter(run_folder).append(Event(kind=EventKind.NOTICE, data={"message": message}))
                self._study.update_job(job_id, message=message)


class Following:
    """A thread that passes on a job's events; ends when the job is over, or with `stop`."""

    def __init__(
        self,
        study: Study,
        job_id: str,
        callback: Callable[[Event], None],
        on_job: Callable[[Job], None] | None,
    ) -> None:
        self._study = study
        self._job_id = job_id
        self._callback = callback
        self._on_job = on_job
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"follow {job_id}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; no callback is under way when this returns (unless a callback itself calls it)."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def join(self, timeout_s: float) -> bool:
        """Wait until the job is over; return whether it is."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _follow(self) -> None:
        reader = EventReader(self._study.job_folder(self._job_id))
        known: Job | None = None
        while not self._stop.is_set():
            job = self._study.job(self._job_id)  # before the events: an end is told before the row changes
            for event in reader.read_new():
                self._callback(event)
            if job != known and self._on_job is not None:
                self._on_job(job)
            known = job
            if job.state.is_over:
                return
            self._stop.wait(POLL_S)
