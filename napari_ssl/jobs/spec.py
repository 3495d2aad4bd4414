"""The registered kinds of job, and the orders that they are made from.

Only orders that `core.training` can write as JSON are submitted, and only registered modules run them: what crosses the
border between processes is a study folder and the identifier of a job, never a function of the caller's.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from types import ModuleType

from napari_ssl.core.cohort import CohortSpec
from napari_ssl.core.job import JobKind
from napari_ssl.core.quality import QcScoringSpec, QcTrainingSpec
from napari_ssl.core.training import PredictionSpec, TrainingSpec, spec_from_dict
from napari_ssl.errors import SpecError

__all__ = ["KINDS", "NOUNS", "TEST_KINDS_VARIABLE", "Spec", "is_batch", "kind_of", "program", "read_spec"]

Spec = TrainingSpec | PredictionSpec | CohortSpec | QcTrainingSpec | QcScoringSpec

_ROUNDS = "napari_ssl.rounds"

KINDS: dict[JobKind, str] = {**dict.fromkeys(JobKind, _ROUNDS), JobKind.COHORT: "napari_ssl.jobs.cohort_job"}
"""Kind → module with ``execute``, ``adopt``, ``StoppedByRequest`` and ``ParkedForReview``."""

NOUNS = {
    JobKind.TRAIN: "training",
    JobKind.PREDICT: "prediction",
    JobKind.COHORT: "labelling",
    JobKind.EVALUATE: "evaluation",
    JobKind.QC_TRAIN: "training of the classifier of curves",
    JobKind.QC_SCORE: "scoring of curves",
}
"""What people call a job."""

TEST_KINDS_VARIABLE = "NAPARI_SSL_TEST_KINDS"
"""Tests name another module here for what computes. Who may set a process's environment may run code in it anyway."""


def kind_of(spec: Spec) -> JobKind:
    """Return the kind of job that carries out `spec`.

    Raises
    ------
    SpecError
        `spec` is no order.
    """
    if isinstance(spec, TrainingSpec):
        return JobKind.TRAIN
    if isinstance(spec, PredictionSpec):
        return JobKind.EVALUATE if spec.evaluate else JobKind.PREDICT
    if isinstance(spec, CohortSpec):
        return JobKind.COHORT
    if isinstance(spec, QcTrainingSpec):
        return JobKind.QC_TRAIN
    if isinstance(spec, QcScoringSpec):
        return JobKind.QC_SCORE
    raise SpecError(f"only orders of training, prediction or curves can be submitted, got {type(spec).__name__}")


def program(kind: JobKind) -> ModuleType:
    """Import the module that carries out jobs of `kind`."""
    other = os.environ.get(TEST_KINDS_VARIABLE) if KINDS[kind] == _ROUNDS else None
    return importlib.import_module(other or KINDS[kind])


def is_batch(run_folder: Path) -> bool:
    """Whether a run is a batch of a cohort: it goes on with the cohort, or the command, that labels that."""
    try:
        return getattr(read_spec(run_folder), "part", None) is not None
    except SpecError:
        return False


def read_spec(run_folder: Path) -> Spec:
    """Read ``spec.json`` of a run.

    Raises
    ------
    SpecError
        The file is absent, damaged or of an unknown kind.
    """
    path = Path(run_folder) / "spec.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"{path}: the order cannot be read ({error}); submit the job again") from error
    return spec_from_dict(document)
