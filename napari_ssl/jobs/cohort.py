"""Labelling a cohort: batch after batch, each an ordinary job, so that memory stays the same however many cases.

::

    open cases ──▶ batch 1 ──▶ job ──▶ proposals in the study ──▶ ledger ──▶ batch 2 ──▶ …

The ledger (``cohorts/<settings>.jsonl`` in the study) says which batches are done. The same order after a crash first
finishes the batch that was under way, whose run folder knows its cases, then goes on with what the ledger lacks. It is
removed when the cohort is through: the next order begins anew. One process at a time has it. A command labels a cohort
in the foreground (``napari-ssl predict``), a job in the background (`napari_ssl.jobs.cohort_job`): either goes on with
what the other began.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.training import PredictionSpec
from napari_ssl.errors import JobError
from napari_ssl.jobs.batches import label_batches
from napari_ssl.jobs.cohort_ledger import Ledger, alone, overtaken
from napari_ssl.jobs.foreground import run_here
from napari_ssl.rounds import cases_to_label, prediction_spec
from napari_ssl.rounds.cohort_workers import workers_kept
from napari_ssl.study.study import Study

__all__ = ["BATCH_SIZE", "CohortOrder", "Ledger", "label_cohort"]

BATCH_SIZE = 250
_FOLDER = "cohorts"
_TELL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortOrder:
    """What to label and how.

    Parameters
    ----------
    cases : sequence of str or None
        None: every training case that no person has labelled or decided.
    settings : mapping
        Further arguments of `napari_ssl.rounds.prediction_spec`, the same for every batch.
    batch_size : int
        Cases in a job.
    """

    cases: Sequence[str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = BATCH_SIZE


def label_cohort(study: Study, order: CohortOrder, emit: Emit, should_stop: ShouldStop) -> dict[str, Any]:
    """Label every case of the order, adopt the proposals batch by batch and return what came of all.

    Progress events tell ``n_done, n_cases, n_failed, cases_per_hour, seconds_left``; a checkpoint event follows each
    batch that is in the study, with ``n_in_study``.

    Returns
    -------
    dict
        As of a prediction, for all batches together; ``failed`` {case: error} were left out.

    Raises
    ------
    KeyboardInterrupt
        It was stopped; the same order goes on.
    JobError
        No case at all could be labelled, or another process labels this cohort.
    NapariSslError
        What ends the whole: no model, a full disk, …
    """
    names = cases_to_label(study, order.cases)
    probe = prediction_spec(study, cases=names[:1], **order.settings)
    key = _key(probe, order)
    with alone(study.folder / _FOLDER, key):
        return _label(study, order, names, probe, Ledger(study.folder / _FOLDER / f"{key}.jsonl"), emit, should_stop)


def _label(
    study: Study,
    order: CohortOrder,
    names: Sequence[str],
    probe: PredictionSpec,
    ledger: Ledger,
    emit: Emit,
    should_stop: ShouldStop,
) -> dict[str, Any]:
    if others := overtaken(study, probe.model.model_id, ledger.done):
        ledger.forget(others)
    known = ledger.done | ledger.failed.keys()
    waiting = [n for n in names if n not in known]
    cohort = _Cohort(study, order, ledger, emit, n_cases=len(known) + len(waiting), model_id=probe.model.model_id)
    if known:
        emit(_notice(f"going on: {len(known):,} of {cohort.n_cases:,} cases were done before"))
    open_cases = set(waiting)
    begun = [kept for batch in ledger.under_way if (kept := [n for n in batch if n in open_cases])]
    batches = _batches(waiting, begun, order.batch_size)
    with workers_kept():
        label_batches(batches, cohort.label, ledger, should_stop)
    result = cohort.result()
    ledger.remove()
    if not result["cases"]:
        first = next(iter(result["failed"].values()))
        raise JobError(f"none of {len(result['failed'])} cases could be labelled; the first: {first}")
    return result


def _key(probe: PredictionSpec, order: CohortOrder) -> str:
    """Name the cohort by what decides its proposals, and by the cases where they were named."""
    names = "" if order.cases is None else "\n".join(order.cases)
    return hashlib.sha256(f"{probe.settings_hash}\n{names}".encode()).hexdigest()[:16]


def _batches(waiting: Sequence[str], begun: Sequence[Sequence[str]], size: int) -> list[tuple[str, ...]]:
    """Cut what waits into batches; those that were begun come first and whole, so that their runs are found again."""
    first = [tuple(batch) for batch in begun]
    under_way = {case for batch in begun for case in batch}
    rest = [n for n in waiting if n not in under_way]
    return [*first, *(tuple(rest[n : n + size]) for n in range(0, len(rest), size))]


def _notice(message: str) -> Event:
    return Event(kind=EventKind.NOTICE, data={"message": message})


class _Cohort:
    """What has come of the batches so far."""

    def __init__(
        self, study: Study, order: CohortOrder, ledger: Ledger, emit: Emit, *, n_cases: int, model_id: str
    ) -> None:
        self._study, self._order, self._ledger, self._emit = study, order, ledger, emit
        self.n_cases = n_cases
        self._n_before = self._n_ended = len(ledger.done) + len(ledger.failed)
        self._started = time.monotonic()
        self._told_at = 0.0
        self._last: dict[str, Any] = {"kind": "predict", "model_id": model_id}
        self._efficiencies: list[dict[str, Any]] = []
        self._over: list[str] = []
        self._under_way: dict[int, tuple[int, int]] = {}
        self._lock = threading.RLock()

    def label(self, batch: Sequence[str], part: tuple[int, int], should_stop: ShouldStop) -> None:
        """Run one batch as a job and write it down; several may be under way in threads of their own."""
        with self._lock:
            spec = prediction_spec(self._study, cases=batch, part=part, **self._order.settings)
        result = run_here(self._study, spec, lambda event: self._tell(part[0], event), should_stop)
        with self._lock:
            self._ledger.end(result["cases"], result["failed"])
            self._under_way.pop(part[0], None)
            self._n_ended += len(batch)
            self._last = result
            self._over += result["over_memory_limit"]
            if result["efficiency"]:
                self._efficiencies.append(result["efficiency"])
            data = {"iteration": self._n_ended, "n_in_study": self._n_ended, "path": self._ledger.path.name}
            self._emit(Event(kind=EventKind.CHECKPOINT, data=data))

    def _tell(self, number: int, event: Event) -> None:
        """Pass an event of batch `number` on; its progress becomes the cohort's."""
        with self._lock:
            self._pass_on(number, event)

    def _pass_on(self, number: int, event: Event) -> None:
        if event.kind is EventKind.PROGRESS and "n_done" in event.data:
            self._under_way[number] = int(event.data["n_done"]), int(event.data["n_failed"])
            n_done = self._n_ended + sum(done for done, _ in self._under_way.values())
            if n_done < self.n_cases and time.monotonic() - self._told_at < _TELL_S:
                return
            self._told_at = time.monotonic()
            n_failed = sum(failed for _, failed in self._under_way.values())
            event = Event(kind=EventKind.PROGRESS, data=self._progress(n_done, n_failed))
        elif event.kind in (EventKind.STARTED, EventKind.RESULT) or "n_failed" in event.data:
            return
        self._emit(event)

    def _progress(self, n_done: int, n_failed: int) -> dict[str, Any]:
        seconds = max(1e-6, time.monotonic() - self._started)
        rate = (n_done - self._n_before) / seconds
        failed = len(self._ledger.failed) + n_failed
        left_out = f" ({failed:,} left out)" if failed else ""
        data = {
            "step": f"labelling: {n_done:,} of {self.n_cases:,} cases{left_out}",
            "fraction": n_done / self.n_cases,
            "n_done": n_done,
            "n_cases": self.n_cases,
            "n_failed": failed,
        }
        if rate > 0:
            data |= {"cases_per_hour": 3600 * rate, "seconds_left": (self.n_cases - n_done) / rate}
        return data

    def result(self) -> dict[str, Any]:
        """Return the result of a prediction, for all batches together."""
        seconds = time.monotonic() - self._started
        n_now = self._n_ended - self._n_before
        return {
            **self._last,
            "cases": sorted(self._ledger.done),
            "failed": dict(sorted(self._ledger.failed.items())),
            "seconds": round(seconds, 1),
            "n_done_before": self._n_before,
            "cases_per_hour": round(3600 * n_now / max(seconds, 1e-6), 1),
            "over_memory_limit": self._over,
            "efficiency": _together(self._efficiencies),
        }


def _together(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means weighted by cases, highest values of all; of this session's batches."""
    if not summaries:
        return {}
    n = sum(s["n"] for s in summaries)
    merged: dict[str, Any] = {"n": n}
    for name in summaries[0]:
        if name.startswith("mean_"):
            merged[name] = round(sum(s["n"] * s[name] for s in summaries) / n, 3)
        elif name != "n":
            merged[name] = max(s[name] for s in summaries)
    return merged
