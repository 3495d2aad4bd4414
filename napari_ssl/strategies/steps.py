"""The folder of a durable step: one process at a time works in it, and it remembers what the work has cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from filelock import FileLock, Timeout

from napari_ssl.core.job import ShouldStop
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.training.loop import Stopped

__all__ = ["StepWork", "peak_memory_mib", "working_in"]

_COST_FILE = "cost.json"
_POLL_S = 0.5


@dataclass(kw_only=True)
class StepWork:
    """Seconds and highest memory that a step has cost in all attempts, those of other runs that share it included.

    Only attempts that set `worked` count, not those that find the step done. An attempt that was killed has left no
    word of its time.
    """

    seconds: float = 0.0
    peak_memory_mib: float = 0.0
    worked: bool = False


@contextmanager
def working_in(folder: Path, should_stop: ShouldStop, device: torch.device) -> Iterator[StepWork]:
    """Hold a step's folder, made when absent, for this process; its cost is complete when the block has ended.

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
    known = StepWork(**(read_document(folder / _COST_FILE) or {}))
    started = time.monotonic()
    try:
        yield known
    finally:
        if known.worked:
            known.seconds += time.monotonic() - started
            known.peak_memory_mib = max(known.peak_memory_mib, peak_memory_mib(device))
            cost = {"seconds": round(known.seconds, 3), "peak_memory_mib": round(known.peak_memory_mib, 1)}
            write_document(folder / _COST_FILE, cost)
        lock.release()


def peak_memory_mib(device: torch.device) -> float:
    """Highest memory so far: on CUDA what torch has held there, else the resident memory of this process (2²⁰ bytes).

    Without Linux's own record of it, the memory that is resident now.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="ignore")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 2**10
    except (OSError, StopIteration):
        return psutil.Process().memory_info().rss / 2**20
