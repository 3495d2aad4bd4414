"""How often a job may be lost: three times in a row without getting any further.

A cluster that ends a job at its time limit, or a computer that is switched off every night, is no reason to give up a
training whose checkpoint rose meanwhile. The number of the last attempt that got further lies in the run's folder, so
that the next engine knows it, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePath

from napari_ssl.core.job import Event, EventKind

__all__ = ["MAX_ATTEMPTS", "Furthest", "forget_attempts", "keep_fruitful", "n_fruitless"]

MAX_ATTEMPTS = 3
_FILE = ".fruitful"
_CASES = "cases"


class Furthest:
    """How far the attempts of a run have come: iterations of each step's checkpoints, cases that are done.

    Parameters
    ----------
    events : iterable of Event
        What was told before.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._reached: dict[str, int] = {}
        for event in events:
            self.take(event)

    def take(self, event: Event) -> bool:
        """Take an event in; return whether the run is further than ever."""
        where, n = _CASES, event.data.get("n_done")
        if event.kind is EventKind.CHECKPOINT:
            where, n = _step_of(str(event.data.get("path", ""))), event.data.get("iteration")
        elif event.kind is not EventKind.PROGRESS:
            return False
        if not isinstance(n, int) or n <= self._reached.get(where, 0):
            return False
        self._reached[where] = n
        return True


def _step_of(path: str) -> str:
    """Name the step of a strategy by the end of a checkpoint's path: another server keeps the same step elsewhere."""
    return "/".join(PurePath(path.replace("\\", "/")).parts[-3:-1])


def n_fruitless(run_folder: Path, n_attempts: int) -> int:
    """Return how many of `n_attempts` came after the last one that got further."""
    last = 0
    with suppress(OSError, ValueError):
        last = int((run_folder / _FILE).read_text(encoding="ascii"))
    return n_attempts - last if 0 <= last <= n_attempts else n_attempts


def keep_fruitful(run_folder: Path, attempt: int) -> None:
    """Note that an attempt got further; where that cannot be written, it counts as one that did not."""
    with suppress(OSError):
        (run_folder / _FILE).write_text(str(attempt), encoding="ascii")


def forget_attempts(run_folder: Path) -> None:
    """A person has asked for new attempts; they are counted from 1."""
    with suppress(OSError):
        (run_folder / _FILE).unlink(missing_ok=True)
