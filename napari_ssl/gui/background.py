"""Work that would stall the window runs in a thread; its outcome comes back as queued signals."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_ssl.errors import NapariSslError

__all__ = ["BackgroundTask", "in_words", "sentence"]

_log = logging.getLogger(__name__)


def sentence(text: str) -> str:
    """Return text that another sentence may follow."""
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else f"{text}."


def in_words(error: BaseException) -> str:
    """Return an error as a sentence for people; unexpected ones keep their class name."""
    text = str(error).strip()
    if isinstance(error, NapariSslError) and text:
        return text[0].upper() + text[1:]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class BackgroundTask(QObject):
    """Runs one function at a time in a thread.

    `start` calls ``function(run)`` with a `BackgroundRun`, whose `report` and `should_stop` the function may use.
    Exactly one of `done` and `failed` follows each start, in the thread of the window, unless the task was closed or
    started anew meanwhile.
    """

    done = Signal(object)
    failed = Signal(str)
    progress = Signal(int, int, str)
    _outcome = Signal(int, bool, object)
    _step = Signal(int, int, int, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._generation = 0
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._running = False
        self._outcome.connect(self._deliver)
        self._step.connect(self._deliver_step)

    @property
    def running(self) -> bool:
        """Whether an outcome is still to come."""
        return self._running

    def start(self, function: Callable[[BackgroundRun], Any]) -> None:
        """Run `function` in a thread; an earlier run is told to stop and its outcome is dropped."""
        self.cancel()
        self._generation += 1
        self._stop = threading.Event()
        self._running = True
        run = BackgroundRun(self, self._generation, self._stop)
        thread = threading.Thread(target=run.execute, args=(function,), name="napari-ssl panel", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def cancel(self) -> None:
        """Ask the present run to stop; it still delivers its outcome unless a new one is started."""
        self._stop.set()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop, drop the outcome and wait for the threads to end."""
        self.cancel()
        self._generation += 1
        self._running = False
        for thread in self._threads:
            thread.join(timeout_s)
        self._threads = []

    def _deliver(self, generation: int, good: bool, value: object) -> None:
        if generation != self._generation:
            return
        self._running = False
        if good:
            self.done.emit(value)
        else:
            self.failed.emit(str(value))

    def _deliver_step(self, generation: int, done: int, total: int, text: str) -> None:
        if generation == self._generation and self._running:
            self.progress.emit(done, total, text)


class BackgroundRun:
    """What the function of a `BackgroundTask` sees: where to report to and whether to stop."""

    def __init__(self, task: BackgroundTask, generation: int, stop: threading.Event) -> None:
        self._task = task
        self._generation = generation
        self._stop = stop

    def should_stop(self) -> bool:
        """Whether the user cancelled or closed the panel."""
        return self._stop.is_set()

    def report(self, done: int, total: int, text: str) -> None:
        """Tell how far the work is."""
        self._emit(self._task._step, done, total, text)

    def execute(self, function: Callable[[BackgroundRun], Any]) -> None:
        """Run the function and send its outcome; this is the border where errors become words."""
        try:
            good, value = True, function(self)
        except Exception as error:
            if not isinstance(error, NapariSslError):
                _log.exception("background work failed")
            good, value = False, in_words(error)
        self._emit(self._task._outcome, good, value)

    def _emit(self, signal: Any, *values: Any) -> None:
        try:
            signal.emit(self._generation, *values)
        except RuntimeError:  # the panel was deleted while the thread ran; nobody waits for the outcome
            _log.debug("outcome dropped: the panel is gone")
