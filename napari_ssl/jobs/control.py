"""Who may run a job, and what a person has asked of it: two kinds of small files in the run's folder.

Files rather than messages, because they work before the engine is up, from any window or command line, and survive a
connection or a process that is lost.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from napari_ssl.errors import JobError, StorageError

__all__ = ["Request", "RequestKind", "RequestWatch", "clear_request", "lease", "read_request", "write_request"]

_REQUEST_FILE = "request.json"
_LOOK_S = 0.3


class RequestKind(StrEnum):
    """What a person asks of a job that waits or runs."""

    CANCEL = "cancel"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Stop with a checkpoint, for good or until resumed; with `force` at once, keeping the last checkpoint."""

    kind: RequestKind
    force: bool = False


def write_request(run_folder: Path, request: Request) -> None:
    """Leave `request` for the supervisor of the run; a later request replaces it.

    Raises
    ------
    StorageError
        The run's folder cannot be written.
    """
    path = Path(run_folder) / _REQUEST_FILE
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps({"kind": request.kind.value, "force": request.force}), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}); the job goes on") from error


def read_request(run_folder: Path) -> Request | None:
    """Return what was asked of the run, None when nothing was."""
    try:
        document = json.loads((Path(run_folder) / _REQUEST_FILE).read_text(encoding="utf-8"))
        return Request(kind=RequestKind(document["kind"]), force=bool(document["force"]))
    except (FileNotFoundError, PermissionError):  # Windows refuses reading in the moment of a replacement
        return None


def clear_request(run_folder: Path) -> None:
    """Forget what was asked, since it is fulfilled or overtaken."""
    (Path(run_folder) / _REQUEST_FILE).unlink(missing_ok=True)


class RequestWatch:
    """Looks now and then whether something was asked of a run: a training asks many times a second."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder
        self._looked_at = float("-inf")
        self._found = False

    def is_there(self) -> bool:
        """Whether there is a request, as of the last look."""
        if not self._found and time.monotonic() - self._looked_at > _LOOK_S:
            self._looked_at = time.monotonic()
            self._found = read_request(self._folder) is not None
        return self._found


@contextmanager
def lease(run_folder: Path, role: str = "supervisor", *, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold the run for this process; the system frees it when the process dies.

    Parameters
    ----------
    role : str
        ``"supervisor"`` (who decides about the job) or ``"child"`` (who computes): one of each at a time.
    timeout_s : float
        How long to wait for another holder to end.

    Raises
    ------
    JobError
        Another process holds the run.
    """
    lock = FileLock(Path(run_folder) / f".{role}.lock", thread_local=False)
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout as error:
        raise JobError(f"{run_folder}: another process is at work on this run; wait until it ends") from error
    try:
        yield
    finally:
        lock.release()
