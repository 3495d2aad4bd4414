"""A model of a study as MONAI bundle."""

from __future__ import annotations

from pathlib import Path

from napari_ssl.inference.monai_bundle import write_bundle
from napari_ssl.rounds.orders import start_model
from napari_ssl.study.export_run import ExportRun

__all__ = ["export_bundle"]


def export_bundle(run: ExportRun) -> None:
    """Write the model that the options name, by default the promoted one; its card and weights are checked first."""
    model = start_model(run.study, run.options.model_id)
    run.progress(0, 1, model.model_id)
    write_bundle(run.target, Path(model.weights_path), run.study.model_card(model.model_id))
    if model.confidence_path is not None:
        run.notes.append(f"{model.model_id}: its confidence network is no part of the bundle")
