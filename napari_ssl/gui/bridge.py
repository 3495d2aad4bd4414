"""Between the window and the background jobs: events become queued Qt signals, orders go out from threads.

Nothing here waits in the window's thread. One thread watches (the states of the study's jobs and the events of the job
that is on show), a small pool carries out orders. Both end with `JobBridge.close`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_ssl.core.job import Job
from napari_ssl.errors import NapariSslError
from napari_ssl.gui.background import in_words
from napari_ssl.jobs.events import EventReader
from napari_ssl.jobs.spec import Spec

__all__ = ["JobBridge"]

_log = logging.getLogger(__name__)

EVENTS_EVERY_S = 0.15
STATES_EVERY_S = 0.6
_CLOSE_S = 1.0


def _make_runner(study_folder: Path) -> Any:
    from napari_ssl.jobs.runner import Runner

    return Runner(study_folder)


class JobBridge(QObject):
    """Submits and controls the jobs of one study and tells what becomes of them.

    Signals
    -------
    jobs_changed(list of Job)
        All jobs of the study, oldest first, after every change.
    events_arrived(str, list of Event)
        Job id and its new events; `watch` sends the whole history first.
    submitted(Job)
    refused(str, str)
        The action (``submit``, ``cancel``, ``pause``, ``resume``, ``watch``) and why it failed, in words.
    """

    jobs_changed = Signal(list)
    events_arrived = Signal(str, list)
    submitted = Signal(object)
    refused = Signal(str, str)

    def __init__(
        self,
        study_folder: Path,
        parent: QObject | None = None,
        *,
        make_runner: Callable[[Path], Any] = _make_runner,
    ) -> None:
        super().__init__(parent)
        self._folder = Path(study_folder)
        self._make_runner = make_runner
        self._runner: Any = None
        self._runner_lock = threading.Lock()
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._reader: tuple[str, EventReader] | None = None
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="napari-ssl orders")
        self._watcher = threading.Thread(target=self._watch_loop, name="napari-ssl job watcher", daemon=True)
        self._watcher.start()

    # -- orders --------------------------------------------------------------------------------------------------

    def submit(self, make_spec: Callable[[], Spec]) -> None:
        """Make an order in a thread and submit it; `submitted` or `refused` follows."""

        def work() -> None:
            job = self._get_runner().submit(make_spec())
            self._wake.set()
            self._emit(self.submitted, job)

        self._order("submit", work)

    def cancel(self, job_id: str, *, force: bool = False) -> None:
        """Stop a job for good, with a checkpoint; with `force` at once, keeping the last checkpoint."""
        self._order("cancel", lambda: self._get_runner().cancel(job_id, force=force))

    def pause(self, job_id: str) -> None:
        """Stop a job with a checkpoint until it is resumed."""
        self._order("pause", lambda: self._get_runner().pause(job_id))

    def resume(self, job_id: str) -> None:
        """Go on from the last checkpoint."""
        self._order("resume", lambda: self._get_runner().resume(job_id))

    def watch(self, job_id: str | None) -> None:
        """Follow a job's events from the first one on; None follows nothing."""
        self._reader = None if job_id is None else (job_id, EventReader(self._folder / "runs" / job_id))
        self._wake.set()

    def close(self) -> None:
        """End the threads; jobs go on and what was ordered is handed over. Nothing is emitted afterwards."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        self._watcher.join(_CLOSE_S)
        # A runner that is starting the engine takes seconds to close: the window does not wait for that.
        closing = threading.Thread(target=self._close_runner, name="napari-ssl closing", daemon=False)
        closing.start()
        closing.join(_CLOSE_S)

    def _close_runner(self) -> None:
        self._pool.shutdown(wait=True)
        if self._runner is not None:
            self._runner.close()

    # -- threads -------------------------------------------------------------------------------------------------

    def _get_runner(self) -> Any:
        with self._runner_lock:
            if self._runner is None:
                self._runner = self._make_runner(self._folder)
            return self._runner

    def _order(self, action: str, work: Callable[[], Any]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # the border of the window: whatever it is, it is shown
                self._refuse(action, error)
            self._wake.set()

        if not self._closing.is_set():
            self._pool.submit(guarded)

    def _refuse(self, action: str, error: Exception) -> None:
        if not isinstance(error, NapariSslError):
            _log.error("%s failed", action, exc_info=error)
        self._emit(self.refused, action, in_words(error))

    def _watch_loop(self) -> None:
        known: list[Job] = []
        due = 0.0
        complained = ""
        while not self._closing.is_set():
            self._wake.wait(EVENTS_EVERY_S)
            asked = self._wake.is_set()
            self._wake.clear()
            try:
                self._read_events()
                if asked or time.monotonic() >= due:
                    jobs = list(self._get_runner().jobs())
                    due = time.monotonic() + STATES_EVERY_S
                    # Events first: a job that is over has told everything when its state changes on screen.
                    self._read_events()
                    if jobs != known:
                        known = jobs
                        self._emit(self.jobs_changed, jobs)
                    complained = ""
            except Exception as error:  # the watcher goes on: a network drive may come back
                due = time.monotonic() + STATES_EVERY_S
                if in_words(error) != complained:
                    complained = in_words(error)
                    self._refuse("watch", error)

    def _read_events(self) -> None:
        watched = self._reader
        if watched is None:
            return
        events = watched[1].read_new()
        if events and watched is self._reader:
            self._emit(self.events_arrived, watched[0], events)

    def _emit(self, signal: Any, *values: Any) -> None:
        if self._closing.is_set():
            return
        try:
            signal.emit(*values)
        except RuntimeError:  # the panel was deleted without being closed
            self._closing.set()
