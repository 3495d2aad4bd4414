"""The folder of a durable step: one process at a time works in it, and it remembers how long the work took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from napari_ssl.core.job import ShouldStop
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.training.loop import Stopped

__all__ = ["StepTime", "working_in"]

_TIME_FILE = "time.json"
_POLL_S = 0.5


@dataclass(kw_only=True)
class StepTime:
    """Seconds that a step has cost in all attempts, those of other runs that share it included.

    Only attempts that set `worked` count, not those that find the step done. An attempt that was killed has left no
    word of its time.
    """

    seconds: float
    worked: bool = False


@contextmanager
def working_in(folder: Path, should_stop: ShouldStop) -> Iterator[StepTime]:
    """Hold a step's folder, made when absent, for this process; its time is complete when the block has ended.

    Runs that share steps may come to the same one together: the second waits and finds it done.

    Raises
    ------
    Stopped
        On request, while another process holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", thread_local=False)
    while True:
        try:
            lock.acquire(timeout=_POLL_S)
            break
        except Timeout:
            if should_stop():
                raise Stopped(f"{folder.name}: stopped on request while another run was at work on this step") from None
    known = StepTime(seconds=float((read_document(folder / _TIME_FILE) or {}).get("seconds", 0.0)))
    started = time.monotonic()
    try:
        yield known
    finally:
        if known.worked:
            known.seconds += time.monotonic() - started
            write_document(folder / _TIME_FILE, {"seconds": known.seconds})
        lock.release()
