"""Which cases of a prediction are done and which were left out, told as it goes."""

from __future__ import annotations

import time
from pathlib import Path

from napari_ssl.core.job import Emit, Event, EventKind
from napari_ssl.core.training import PredictionSpec
from napari_ssl.io.documents import read_document
from napari_ssl.rounds.case_records import error_file, failure_of

__all__ = ["CaseTally"]


class CaseTally:
    """Counts the cases that have a record, and emits progress and what was left out.

    Attributes
    ----------
    done : list of str
    failed : dict of str to str
        Case and why it was left out.
    """

    def __init__(self, spec: PredictionSpec, output: Path, emit: Emit) -> None:
        self._spec, self._output, self._emit = spec, output, emit
        self._started = time.monotonic()
        self._n_before = 0
        self.done: list[str] = []
        self.failed: dict[str, str] = {}

    def take_earlier(self, number: int) -> None:
        """Count a case that an earlier attempt finished; it says nothing about the time that one takes."""
        self._count(number)
        self._n_before += 1

    def take(self, number: int) -> None:
        """Count a case that has just got its record, and tell."""
        case_id = self._count(number)
        if case_id in self.failed:
            document = read_document(error_file(self._output, case_id)) or {}
            data = {
                "message": f"{case_id} was left out: {self.failed[case_id]}",
                "traceback": document.get("traceback", ""),
                "case_id": case_id,
                "left_out": self.failed[case_id],
            }
            self._emit(Event(kind=EventKind.NOTICE, data=data))
        n, of = len(self.done) + len(self.failed), len(self._spec.items)
        seconds = (time.monotonic() - self._started) / (n - self._n_before)
        self._emit(
            Event(
                kind=EventKind.PROGRESS,
                data={
                    "step": f"labelling: {n} of {of} cases",
                    "fraction": n / of,
                    "n_done": n,
                    "n_failed": len(self.failed),
                    "cases_per_hour": 3600 / max(seconds, 1e-6),
                    "seconds_left": seconds * (of - n),
                },
            )
        )

    def _count(self, number: int) -> str:
        case_id = self._spec.items[number].case_id
        why = failure_of(self._output, case_id)
        if why is None:
            self.done.append(case_id)
        else:
            self.failed[case_id] = why
        return case_id

    def in_order(self) -> list[str]:
        """Return the cases that are done, in the order of the order."""
        done = set(self.done)
        return [item.case_id for item in self._spec.items if item.case_id in done]
