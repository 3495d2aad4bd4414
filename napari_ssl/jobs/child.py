"""The process that computes: ``python -m napari_ssl.jobs.child RUN_FOLDER --attempt N``.

It reads the order from the run's folder, works at low priority and writes events, checkpoints and results into that
folder; it opens no database, but for a cohort's (`cohort_job`). It stops with a checkpoint on SIGTERM or on the line
``stop`` at its standard input. The end of its standard input means that its parent is dead: it stops likewise, and ends
within `ORPHAN_GRACE_S`.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_ssl.core.job import Emit, Event, EventKind, JobState, ShouldStop
from napari_ssl.errors import NapariSslError
from napari_ssl.jobs.control import lease
from napari_ssl.jobs.events import EventWriter
from napari_ssl.jobs.failures import failure_data
from napari_ssl.jobs.process import lower_priority, n_threads
from napari_ssl.jobs.spec import Spec, kind_of, program, read_spec

__all__ = ["ORPHAN_GRACE_S", "Outcome", "main", "perform"]

ORPHAN_GRACE_S = 1.5
_PREDECESSOR_GRACE_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended: DONE with `result`; else with the `error` that ended it (PAUSED, PARKED, FAILED)."""

    state: JobState
    result: dict[str, Any] | None = None
    error: Exception | None = None


def perform(spec: Spec, run_folder: Path, emit: Emit, should_stop: ShouldStop, *, attempt: int) -> Outcome:
    """Carry out `spec` in this process and tell its beginning and its end; everything that goes wrong is told too."""
    rounds = program(kind_of(spec))
    where = {"host": platform.node(), "pid": os.getpid()}
    emit(_event(EventKind.STARTED, attempt=attempt, device=spec.device, threads=n_threads(), **where))
    try:
        result = rounds.execute(spec, run_folder, emit, should_stop)
    except rounds.StoppedByRequest as stop:
        emit(_event(EventKind.STOPPED, message=str(stop) or "stopped; a checkpoint is kept"))
        return Outcome(state=JobState.PAUSED, error=stop)
    except rounds.ParkedForReview as parked:
        emit(_event(EventKind.PARKED, message=str(parked), case_ids=list(parked.case_ids)))
        return Outcome(state=JobState.PARKED, error=parked)
    except Exception as error:  # the border of the job: whatever it is, it is told
        emit(Event(kind=EventKind.FAILED, data=failure_data(error)))
        return Outcome(state=JobState.FAILED, error=error)
    emit(Event(kind=EventKind.RESULT, data=result))
    return Outcome(state=JobState.DONE, result=result)


def _event(kind: EventKind, **data: Any) -> Event:
    return Event(kind=kind, data=data)


def _listen_to_parent(stop: threading.Event) -> None:
    """Wait at standard input; `os.read`, because a thread inside a buffered reader blocks the interpreter's end."""
    while line := os.read(0, 64):
        if line.startswith(b"stop"):
            stop.set()
    stop.set()
    threading.Event().wait(ORPHAN_GRACE_S)
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Run the job of one folder; return 0 when its end was told, whatever it was."""
    parser = argparse.ArgumentParser(prog="napari_ssl.jobs.child")
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.environ["OMP_NUM_THREADS"] = str(n_threads())
    lower_priority()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stop.set())
    threading.Thread(target=_listen_to_parent, args=(stop,), daemon=True, name="parent").start()
    emit = EventWriter(options.run_folder).append
    try:
        with lease(options.run_folder, "child", timeout_s=_PREDECESSOR_GRACE_S):
            spec = read_spec(options.run_folder)
            outcome = perform(spec, options.run_folder, emit, stop.is_set, attempt=options.attempt)
        if outcome.state is JobState.FAILED:
            _log.error("the job failed", exc_info=outcome.error)
    except NapariSslError as error:
        emit(Event(kind=EventKind.FAILED, data=failure_data(error)))
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)  # threads of numerical libraries do not hold up the end
