"""``events.jsonl``: everything that a run has told, one JSON document a line, in its folder.

The file is the one channel between a running job and whoever watches it. The supervisor and every window tail it: an
event reaches the window within `POLL_S`, a window that was closed finds the whole history, and nothing depends on a
connection that can break. Lines are appended by one process at a time (the holder of the run's lease). A process that
is killed can leave half a line at the end: the next writer ends that line, and readers skip it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_ssl.core.job import Event, EventKind
from napari_ssl.errors import StorageError

__all__ = ["EVENTS_FILE", "POLL_S", "EventReader", "EventWriter", "read_events"]

EVENTS_FILE = "events.jsonl"
POLL_S = 0.15

_log = logging.getLogger(__name__)


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


class EventWriter:
    """Appends events to a run's file; what is not mere progress is on the disk when `append` returns."""

    def __init__(self, run_folder: Path) -> None:
        self.path = Path(run_folder) / EVENTS_FILE
        self._lock = threading.Lock()

    def append(self, event: Event) -> None:
        """Append one event.

        Raises
        ------
        StorageError
            The file cannot be written.
        """
        line = json.dumps(_finite(event.to_dict()), allow_nan=False, ensure_ascii=False).encode() + b"\n"
        try:
            with self._lock, open(self.path, "a+b") as file:
                if self._ends_in_half_a_line(file):
                    line = b"\n" + line
                file.write(line)
                file.flush()
                if event.kind is not EventKind.PROGRESS:
                    os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(
                f"{self.path}: cannot be written ({error.strerror}); make room or restore access, then resume the job"
            ) from error

    @staticmethod
    def _ends_in_half_a_line(file: Any) -> bool:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return False
        file.seek(size - 1)
        return file.read(1) != b"\n"


class EventReader:
    """Reads a run's events as they come; a line that is not whole yet is left for the next call."""

    def __init__(self, run_folder: Path, *, from_end: bool = False) -> None:
        self.path = Path(run_folder) / EVENTS_FILE
        self._offset = self.path.stat().st_size if from_end and self.path.exists() else 0

    def read_new(self) -> list[Event]:
        """Return the events since the last call, oldest first; damaged lines are skipped and logged."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                chunk = file.read()
        except FileNotFoundError:
            return []
        end = chunk.rfind(b"\n") + 1
        self._offset += end
        events = (self._parse(line) for line in chunk[:end].splitlines() if line.strip())
        return [event for event in events if event is not None]

    def _parse(self, line: bytes) -> Event | None:
        try:
            return Event.from_dict(json.loads(line))
        except (ValueError, AttributeError, RecursionError) as error:
            _log.warning("%s: skipped a line that is no event (%s)", self.path, error)
            return None


def read_events(run_folder: Path) -> list[Event]:
    """Return all whole events of a run, oldest first; none when it has not told anything yet."""
    return EventReader(run_folder).read_new()
