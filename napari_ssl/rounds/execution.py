"""Carrying out an order: no database, everything under the run folder, resumable at any point.

::

    run folder/
      spec.json                     the order
      steps/…                       the strategy's durable steps (`strategies.lab`)
      evaluation/<weights>/<case>.json
      output/weights.safetensors    of a training
      output/<case>.labels.nii.gz, <case>.confidence.nii.gz, <case>.json      of a prediction
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_ssl.core.job import Emit, ShouldStop
from napari_ssl.core.quality import QcScoringSpec, QcTrainingSpec
from napari_ssl.core.training import PredictionSpec, TrainingSpec
from napari_ssl.errors import MissingDependencyError

__all__ = ["ParkedForReview", "StoppedByRequest", "execute"]


class StoppedByRequest(Exception):  # noqa: N818 (no error: somebody asked)
    """The run was asked to stop and has written its checkpoint."""


class ParkedForReview(Exception):  # noqa: N818 (no error: the run waits)
    """The run waits for decisions about `case_ids`."""

    def __init__(self, message: str, case_ids: tuple[str, ...]) -> None:
        super().__init__(message)
        self.case_ids = case_ids


def execute(
    spec: TrainingSpec | PredictionSpec | QcTrainingSpec | QcScoringSpec,
    run_folder: Path,
    emit: Emit,
    should_stop: ShouldStop,
) -> dict[str, Any]:
    """Carry out an order and return its result document (plain JSON).

    Parameters
    ----------
    run_folder : Path
        Belongs to this order alone; what an earlier attempt left in it is used.
    emit : callable
        Takes the events in between; started, result and failed are the caller's to tell.
    should_stop : callable
        Asked often; when it says yes the work is checkpointed and StoppedByRequest raised.

    Raises
    ------
    StoppedByRequest, ParkedForReview
    MissingDependencyError
        torch or MONAI is not installed.
    NapariSslError
        Whatever is wrong with the data or the order, in words.
    """
    try:
        from napari_ssl.rounds import prediction, quality_runs, retraining
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "napari_ssl":
            raise
        raise MissingDependencyError(
            f"training and prediction need {error.name}, which is not installed; pip install 'napari-ssl[train]'"
        ) from error
    from napari_ssl.inference.labelling import LabellingStopped
    from napari_ssl.strategies.lab import Parked
    from napari_ssl.training.loop import Stopped

    run_folder.mkdir(parents=True, exist_ok=True)
    try:
        if isinstance(spec, TrainingSpec):
            return retraining.run(spec, run_folder, emit, should_stop)
        if isinstance(spec, QcTrainingSpec):
            return quality_runs.run_qc_training(spec, run_folder, emit, should_stop)
        if isinstance(spec, QcScoringSpec):
            return quality_runs.run_qc_scoring(spec, run_folder, emit, should_stop)
        return prediction.run(spec, run_folder, emit, should_stop)
    except (Stopped, LabellingStopped) as stopped:
        raise StoppedByRequest(str(stopped)) from stopped
    except Parked as parked:
        raise ParkedForReview(str(parked), parked.case_ids) from parked
