"""Several processes share the cases of a prediction.

::

    parent (`label_in_processes`)  ── number of a case ──▶  worker: python -m napari_ssl.rounds.cohort_worker RUN
         ▲                                                        │ writes the case's files and record
         └────────────────────── number, when the record is there ┘

A worker has at most `_AT_ONCE` numbers, so that nothing grows with the cohort. The end of its standard input stops it
in the middle of a case. When it dies, its cases are handed to another; `case_records` counts how often they killed one.

Inside `workers_kept` the processes of one run serve the next, so that a batch of a cohort does not wait for torch:
``run RUN`` at their standard input turns them to another folder.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from napari_ssl.core.job import ShouldStop
from napari_ssl.core.training import PredictionSpec
from napari_ssl.errors import JobError, StorageError
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.rounds.case_records import was_begun
from napari_ssl.rounds.cohort_worker import CANNOT_WRITE, RUN, SPEC_FILE, log_file

__all__ = ["label_in_processes", "workers_kept"]

_AT_ONCE = 2
_POLL_S = 0.2
_MAX_IDLE_DEATHS = 3

_Answer = tuple["_Worker", str | None]

_kept: ContextVar[list[_Worker] | None] = ContextVar("_kept", default=None)


@contextmanager
def workers_kept() -> Iterator[None]:
    """Let the processes of a run serve the next runs that begin inside the block; they end with it."""
    workers: list[_Worker] = []
    token = _kept.set(workers)
    try:
        yield
    finally:
        _kept.reset(token)
        _end(workers)


class _Worker:
    """One process; `cases` are the numbers that it was given and has not answered for, oldest first."""

    def __init__(
        self, run_folder: Path, number: int, environment: dict[str, str], answers: queue.SimpleQueue[_Answer]
    ) -> None:
        self.cases: deque[int] = deque()
        self.number = number
        self.environment = environment
        self.log_path = log_file(run_folder, number)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "napari_ssl.rounds.cohort_worker", str(run_folder)],
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
        self._tell(str(number))

    def turn_to(self, run_folder: Path, answers: queue.SimpleQueue[_Answer]) -> None:
        """Work for another run from now on."""
        self._answers = answers
        self.log_path = log_file(run_folder, self.number)
        self._tell(f"{RUN}{run_folder}")

    def _tell(self, line: str) -> None:
        if self.process.stdin is not None:
            with suppress(OSError):  # it has just died: its end is told by `_read`
                self.process.stdin.write(f"{line}\n".encode())
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
    if read_document(run_folder / SPEC_FILE) is None:  # a run that no study has recorded
        write_document(run_folder / SPEC_FILE, spec.to_dict())
    waiting = deque(numbers)
    pool = _Pool(spec, run_folder, max(1, n_threads // spec.workers), gpu_names(n_gpus), on_case)
    is_through = False
    try:
        is_through = pool.work(waiting, min(spec.workers, len(waiting)), should_stop)
        return is_through
    finally:
        pool.close(keep=is_through)


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
        for worker in list(_kept.get() or ()):
            if worker.number == number and worker.environment == environment:
                _kept.get().remove(worker)
                if worker.process.poll() is None:
                    worker.turn_to(self._folder, self._answers)
                    return worker
        return _Worker(self._folder, number, environment, self._answers)

    def _take(self, worker: _Worker, answer: str | None, waiting: deque[int]) -> None:
        if worker not in self._workers:
            return  # the end of one that was replaced
        if answer is None or answer.startswith(CANNOT_WRITE):
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

    def close(self, *, keep: bool) -> None:
        """End all, and what they have under way; or keep them for the next run where somebody wants that."""
        kept = _kept.get()
        if keep and kept is not None:
            kept += self._workers
        else:
            _end(self._workers)


def _end(workers: Iterable[_Worker]) -> None:
    for worker in workers:
        worker.end()
    for worker in workers:
        try:
            worker.process.wait(2.0)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
