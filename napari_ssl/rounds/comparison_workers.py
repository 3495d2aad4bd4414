"""Working through the units of a comparison, in processes of their own or in this one; finished units are left alone.

::

    comparison folder/
      steps/<hash>/                   durable steps, shared by all arms: the same baseline is trained once
      runs/<arm>-seed<n>-<hash>/      unit.json, evaluation/, result.json when done, error.json when it failed
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_ssl.core.job import Emit, Event, ShouldStop
from napari_ssl.errors import NapariSslError
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.rounds.comparison_units import Unit
from napari_ssl.rounds.execution import StoppedByRequest

__all__ = ["Tell", "carry_out", "results_of", "work_through"]

Tell = Callable[[Unit, Event], None]
"""Told of every event of every unit."""

_DONE, _FAILED, _STOPPED = 0, 1, 3
_POLL_S = 0.1


def results_of(unit: Unit, run_folder: Path) -> list[dict[str, Any]] | None:
    """Return the results of a finished unit by round; None when it is not finished."""
    document = read_document(run_folder / "result.json")
    if document is None or document.get("unit_hash") != unit.hash:
        return None
    return [{**result, "arm": unit.arm} for result in document["rounds"]]


def carry_out(unit: Unit, run_folder: Path, steps_folder: Path, emit: Emit, should_stop: ShouldStop) -> int:
    """Run a unit in this process; a failure is written to ``error.json`` and returned as 1, a stop as 3."""
    from napari_ssl.inference.labelling import LabellingStopped
    from napari_ssl.rounds.comparison_run import run_unit
    from napari_ssl.training.loop import Stopped

    (run_folder / "error.json").unlink(missing_ok=True)
    try:
        run_unit(unit, run_folder, steps_folder, emit, should_stop)
    except (Stopped, LabellingStopped):
        return _STOPPED
    except (NapariSslError, MemoryError) as error:
        write_document(run_folder / "error.json", {"error": type(error).__name__, "message": str(error)})
        return _FAILED
    return _DONE


def work_through(
    units: Sequence[Unit], folder: Path, tell: Tell, should_stop: ShouldStop, *, workers: int = 1
) -> dict[str, str]:
    """Carry out the units that are not finished; return why those failed that did, by folder name.

    Parameters
    ----------
    workers : int
        Processes at a time; 0 works in this process, where no unit's memory can be told from another's.

    Raises
    ------
    StoppedByRequest
        `should_stop` said yes and every unit under way has written its checkpoint.
    """
    waiting = []
    for unit in units:
        run_folder = folder / "runs" / unit.folder_name
        if results_of(unit, run_folder) is None:
            write_document(run_folder / "unit.json", unit.to_dict())
            waiting.append(unit)
    work = _here if workers == 0 else _in_processes
    work(waiting, folder, tell, should_stop, workers)
    return {unit.folder_name: _why(folder / "runs" / unit.folder_name) for unit in waiting if _failed(unit, folder)}


def _failed(unit: Unit, folder: Path) -> bool:
    return results_of(unit, folder / "runs" / unit.folder_name) is None


def _why(run_folder: Path) -> str:
    """The last word of a unit: its error, or the last line that its process wrote, or nothing when it was killed."""
    document = read_document(run_folder / "error.json")
    if document is not None:
        return str(document["message"])
    log = run_folder / "output.log"
    words = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
    if words:
        return f"{words.splitlines()[-1]} (all of it: {log})"
    return "its process ended without a word, as when the computer runs out of memory; try fewer --workers"


def _here(units: Sequence[Unit], folder: Path, tell: Tell, should_stop: ShouldStop, workers: int) -> None:
    for unit in units:
        run_folder = folder / "runs" / unit.folder_name
        status = carry_out(unit, run_folder, folder / "steps", lambda event, unit=unit: tell(unit, event), should_stop)
        if status == _STOPPED:
            raise StoppedByRequest(f"stopped in {unit.folder_name}")


class _Worker:
    """A process that carries out one unit."""

    def __init__(self, unit: Unit, folder: Path, tell: Tell, n_threads: int) -> None:
        self.unit, self.tell = unit, tell
        run_folder = folder / "runs" / unit.folder_name
        words = [sys.executable, "-m", "napari_ssl.rounds.comparison_run", str(run_folder), str(folder / "steps")]
        self._log = (run_folder / "output.log").open("wb")
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={"OMP_NUM_THREADS": str(n_threads), **os.environ},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which asks for a checkpoint
        )
        self._reader = threading.Thread(target=self._read, daemon=True, name=unit.folder_name)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            try:
                event = Event.from_dict(json.loads(line))
            except ValueError:
                continue  # a library that prints
            self.tell(self.unit, event)

    def ask_to_stop(self) -> None:
        try:
            if self.process.stdin is not None and not self.process.stdin.closed:
                self.process.stdin.close()
        except OSError:
            pass  # it has ended already

    def has_ended(self) -> bool:
        if self.process.poll() is None:
            return False
        self._reader.join(timeout=5)
        self.ask_to_stop()
        self._log.close()
        return True


def _in_processes(units: Sequence[Unit], folder: Path, tell: Tell, should_stop: ShouldStop, workers: int) -> None:
    n_threads = max(1, (os.cpu_count() or 1) // workers)
    lock = threading.Lock()

    def one_at_a_time(unit: Unit, event: Event) -> None:
        with lock:
            tell(unit, event)

    waiting, running, stopping = list(units), [], False
    try:
        while waiting or running:
            stopping = stopping or should_stop()
            if stopping:
                waiting.clear()
                for worker in running:
                    worker.ask_to_stop()
            while waiting and len(running) < workers:
                running.append(_Worker(waiting.pop(0), folder, one_at_a_time, n_threads))
            running = [worker for worker in running if not worker.has_ended()]
            time.sleep(_POLL_S)
    finally:
        for worker in running:  # a second Ctrl-C: they write their checkpoints by themselves
            worker.ask_to_stop()
    if stopping:
        raise StoppedByRequest("stopped; every arm under way has written its checkpoint")
