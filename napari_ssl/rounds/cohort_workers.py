"""Several processes share the cases of a prediction.

::

    parent (`label_in_processes`)  ── number of a case ──▶  worker: python -m napari_ssl.rounds.cohort_workers RUN
         ▲                                                        │ writes the case's files and record
         └────────────────────── number, when the record is there ┘

A worker has at most `_AT_ONCE` numbers, so that nothing grows with the cohort. The end of its standard input stops it
in the middle of a case. When it dies, its cases are handed to another; `case_records` counts how often they killed one.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from napari_ssl.core.job import ShouldStop
from napari_ssl.core.training import PredictionSpec, spec_from_dict
from napari_ssl.errors import JobError, StorageError
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.rounds.case_records import failure_of, is_done, was_begun

__all__ = ["label_in_processes", "main"]

_SPEC = "spec.json"
_CANNOT_WRITE = "!"
"""A worker's last word where a record could not be written; the reason stands in its log."""
_AT_ONCE = 2
_POLL_S = 0.2
_MAX_IDLE_DEATHS = 3

_log = logging.getLogger(__name__)

_Answer = tuple["_Worker", str | None]


class _Worker:
    """One process; `cases` are the numbers that it was given and has not answered for, oldest first."""

    def __init__(
        self, run_folder: Path, number: int, environment: dict[str, str], answers: queue.SimpleQueue[_Answer]
    ) -> None:
        self.cases: deque[int] = deque()
        self.number = number
        self.log_path = run_folder / f"worker{number}.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "napari_ssl.rounds.cohort_workers", str(run_folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment, "NAPARI_SSL_WORKER": str(number)},
                start_new_session=True,  # Ctrl-C reaches the parent alone
            )
        self._answers = answers
        threading.Thread(target=self._read, daemon=True, name=f"worker {number}").start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._answers.put((self, line.decode("ascii", "replace").strip()))
        self._answers.put((self, None))

    def give(self, number: int) -> None:
        """Hand a case over."""
        self.cases.append(number)
        if self.process.stdin is not None:
            with suppress(OSError):  # it has just died: its end is told by `_read`
                self.process.stdin.write(f"{number}\n".encode())
                self.process.stdin.flush()

    def end(self) -> None:
        """Let it stop."""
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()

    def last_words(self) -> str:
        """Return the last line of its log."""
        with suppress(OSError):
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return "it left no word"


def label_in_processes(
    spec: PredictionSpec,
    numbers: Iterable[int],
    run_folder: Path,
    *,
    n_threads: int,
    n_gpus: int = 0,
    should_stop: ShouldStop,
    on_case: Callable[[int], None],
) -> bool:
    """Label the cases of these numbers in the order with ``spec.workers``; return False when `should_stop` ended it.

    Parameters
    ----------
    numbers : iterable of int
        Places in the order's items.
    n_threads : int
        For all workers together.
    n_gpus : int
        GPUs that the workers take in turns; 0 where they compute on the CPU.
    on_case : callable
        Called in this thread with the number of every case that has its record, done or broken.

    Raises
    ------
    JobError
        Workers end before they begin with a case.
    StorageError
        A record cannot be written.
    """
    if read_document(run_folder / _SPEC) is None:  # a run that no study has recorded
        write_document(run_folder / _SPEC, spec.to_dict())
    waiting = deque(numbers)
    pool = _Pool(spec, run_folder, max(1, n_threads // spec.workers), gpu_names(n_gpus), on_case)
    try:
        return pool.work(waiting, min(spec.workers, len(waiting)), should_stop)
    finally:
        pool.close()


def gpu_names(n_gpus: int) -> list[str]:
    """Return what ``CUDA_VISIBLE_DEVICES`` calls each GPU; where the user has chosen some, those."""
    chosen = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return chosen[:n_gpus] if chosen else [str(n) for n in range(n_gpus)]


class _Pool:
    """The workers of one run."""

    def __init__(
        self,
        spec: PredictionSpec,
        run_folder: Path,
        n_threads: int,
        gpus: list[str],
        on_case: Callable[[int], None],
    ) -> None:
        self._gpus = gpus
        self._spec = spec
        self._folder, self._n_threads, self._on_case = run_folder, n_threads, on_case
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._idle_deaths = 0

    def work(self, waiting: deque[int], n_workers: int, should_stop: ShouldStop) -> bool:
        for number in range(n_workers):
            self._workers.append(self._start(number))
        while waiting or any(worker.cases for worker in self._workers):
            if should_stop():
                return False
            for n_cases in range(_AT_ONCE):  # one each first
                for worker in self._workers:
                    if waiting and len(worker.cases) == n_cases:
                        worker.give(waiting.popleft())
            try:
                worker, answer = self._answers.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            self._take(worker, answer, waiting)
        return True

    def _start(self, number: int) -> _Worker:
        environment = {"OMP_NUM_THREADS": str(self._n_threads)}
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[number % len(self._gpus)]
        return _Worker(self._folder, number, environment, self._answers)

    def _take(self, worker: _Worker, answer: str | None, waiting: deque[int]) -> None:
        if worker not in self._workers:
            return  # the end of one that was replaced
        if answer is None or answer.startswith(_CANNOT_WRITE):
            self._replace(worker, answer, waiting)
        elif answer.isdigit() and worker.cases and int(answer) == worker.cases[0]:
            self._idle_deaths = 0
            self._on_case(worker.cases.popleft())

    def _replace(self, worker: _Worker, answer: str | None, waiting: deque[int]) -> None:
        worker.end()
        worker.process.wait()
        if answer is not None:
            raise StorageError(worker.last_words())
        at_work = any(was_begun(self._folder / "output", self._spec.items[n].case_id) for n in worker.cases)
        self._idle_deaths += not at_work
        if self._idle_deaths > _MAX_IDLE_DEATHS:
            raise JobError(f"the processes that label end by themselves: {worker.last_words()} (see {worker.log_path})")
        waiting.extendleft(reversed(worker.cases))
        self._workers[self._workers.index(worker)] = self._start(worker.number)

    def close(self) -> None:
        """End all; what they have under way stops."""
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            try:
                worker.process.wait(2.0)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()


def main(arguments: list[str]) -> int:
    """Label the cases whose numbers come in, one after another."""
    from napari_ssl.inference.labelling import LabellingStopped
    from napari_ssl.rounds.prediction import CaseLabeller

    run_folder = Path(arguments[0])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    spec = spec_from_dict(json.loads((run_folder / _SPEC).read_text(encoding="utf-8")))
    output = run_folder / "output"
    numbers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(numbers, stopped), daemon=True).start()
    labeller = CaseLabeller(spec, output)
    while (number := numbers.get()) is not None and not stopped.is_set():
        case_id = spec.items[number].case_id
        try:
            if not is_done(output, case_id) and failure_of(output, case_id) is None:
                labeller.label(spec.items[number], stopped.is_set)
        except LabellingStopped:
            break
        except StorageError as error:
            _log.error("%s", error)
            _answer(_CANNOT_WRITE)
            return 1
        _answer(str(number))
    return 0


def _answer(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _listen(numbers: queue.SimpleQueue[int | None], stopped: threading.Event) -> None:
    """Read with `os.read`: a thread inside a buffered reader blocks the interpreter's end."""
    rest = b""
    while chunk := os.read(0, 4096):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            numbers.put(int(line))
    stopped.set()
    numbers.put(None)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # threads of numerical libraries do not hold up the end
