"""A cohort as a background job: the process runs what ``napari-ssl predict`` runs, batch by batch.

::

    window ── order ──▶ engine ── supervisor ──▶ this process ── `label_cohort` ──▶ batch 1, batch 2, …

Each batch is a job of its own that is adopted when it ends; the ledger in the study says which are done. The process
is the one kind of child that opens the study: whatever is killed, its next attempt reads the ledger and goes on. It
always runs on this computer; the batches run where the user has chosen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_ssl.core.cohort import CohortSpec
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.resources import Resources
from napari_ssl.jobs.cohort import BATCH_SIZE, CohortOrder, label_cohort
from napari_ssl.rounds import ParkedForReview, StoppedByRequest, prediction_spec
from napari_ssl.rounds.training_set import cases_to_label
from napari_ssl.study.study import Study

__all__ = ["ParkedForReview", "StoppedByRequest", "adopt", "cohort_spec", "execute"]

_TELL_S = 2.0
"""A window that comes back reads all that was told: a night's labelling shall not be a long story."""


def cohort_spec(
    study: Study,
    *,
    model_id: str | None = None,
    cases: Sequence[str] | None = None,
    ensemble: Sequence[str] = (),
    workers: int = 1,
    batch_size: int = BATCH_SIZE,
    resources: Resources | None = None,
) -> CohortSpec:
    """Make the order to label these cases, or all that no person has labelled or decided, with the model of now.

    Raises
    ------
    UnknownCaseError
        No promoted model, or a case that is not in the study.
    SpecError
        Nothing is left to label.
    """
    names = cases_to_label(study, cases)
    probe = prediction_spec(study, model_id=model_id, cases=names[:1], ensemble=ensemble, workers=workers)
    return CohortSpec(
        model_id=probe.model.model_id,
        cases=None if cases is None else tuple(cases),
        ensemble=tuple(ensemble),
        workers=workers,
        batch_size=batch_size,
        resources=resources or Resources(),
    )


def execute(spec: CohortSpec, run_folder: Path, emit: Emit, should_stop: ShouldStop) -> dict[str, Any]:
    """Label the cohort of the study that the run belongs to; return what came of it without the cases' names.

    Raises
    ------
    StoppedByRequest
        The same order goes on with the case that is due.
    NapariSslError
        As of `napari_ssl.jobs.cohort.label_cohort`.
    """
    order = CohortOrder(cases=spec.cases, settings=spec.settings, batch_size=spec.batch_size)
    with Study.open(run_folder.parent.parent) as study:
        try:
            result = label_cohort(study, order, _Telling(emit).tell, should_stop)
        except KeyboardInterrupt as stopped:
            raise StoppedByRequest(f"Stopped; what was finished is kept ({stopped})") from stopped
    return {**result, "kind": "cohort", "cases": len(result["cases"])}


def adopt(study: Study, spec: CohortSpec, result: dict[str, Any], run_folder: Path) -> tuple[str, ...]:
    """Nothing is left to take: every batch was taken when it ended."""
    return ()


class _Telling:
    """Passes on what is about the cohort; how its batches end is their own story."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._told_at = float("-inf")

    def tell(self, event: Event) -> None:
        if event.kind is EventKind.NOTICE or (event.kind is EventKind.CHECKPOINT and "n_in_study" in event.data):
            self._emit(event)
        elif event.kind is EventKind.PROGRESS and "n_cases" in event.data:
            is_last = event.data["n_done"] == event.data["n_cases"]
            if is_last or time.monotonic() - self._told_at >= _TELL_S:
                self._told_at = time.monotonic()
                self._emit(event)
