"""Labels as NIfTI, clinical indices as a table."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.case import Case
from napari_ssl.core.curve import ClinicalIndices
from napari_ssl.core.segmentation import Segmentation
from napari_ssl.errors import GeometryError
from napari_ssl.io.exports import MeasuredCase, export_csv, export_nifti
from napari_ssl.measures.aorta import AorticIndices, aortic_area, aortic_indices
from napari_ssl.measures.curves import indices, volume_curves
from napari_ssl.study.export_run import ExportItem, ExportRun
from napari_ssl.study.study import Study

__all__ = ["CSV_FILE", "LABEL_VALUES_FILE", "export_indices", "export_label_maps"]

CSV_FILE = "clinical_indices.csv"
LABEL_VALUES_FILE = "label_values.json"


def export_label_maps(run: ExportRun) -> None:
    """One label file per case with the exact geometry of its image; beside them what the values mean."""
    items = run.items()
    for item in run.each(items):
        export_nifti(
            run.target,
            item.case.id,
            run.labels(item),
            image_path=item.case.image_path,
            frames=run.frames(item),
        )
    if items:
        values = {"background": 0, **run.structure_values()}
        run.target.write(LABEL_VALUES_FILE, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def export_indices(run: ExportRun) -> None:
    """Write one table with the columns of ukbb_cardiac, one row per case."""
    rows = [_measured(run.study, item) for item in run.each(run.items())]
    if rows:
        export_csv(run.target.file(CSV_FILE), rows)


def _measured(study: Study, item: ExportItem) -> MeasuredCase:
    case, segmentation, row = item.case, item.segmentation, item.row
    labels = study.read_labels(segmentation)
    curves = volume_curves(
        case.id,
        labels,
        study.label_scheme,
        case.spacing_zyx_mm,
        frames=segmentation.frames,
        frame_interval_ms=case.frame_interval_ms,
        ed_frame=case.ed_frame,
        es_frame=case.es_frame,
    )
    found: ClinicalIndices = indices(curves, study.label_scheme)
    return MeasuredCase(
        case_id=case.id,
        indices=found,
        cycle_ms=None if case.frame_interval_ms is None else case.frame_interval_ms * case.n_frames,
        facts={
            "subject": case.subject_id,
            "split": case.split.value,
            "group": case.group or "",
            "state": row.state.value,
            "reader": row.reader_of_decision or "",
            "source": segmentation.source.value,
            "model": segmentation.model_id or "",
        },
        further=_aortic(study, case, segmentation, labels),
    )


def _aortic(study: Study, case: Case, segmentation: Segmentation, labels: NDArray[np.uint8]) -> dict[str, float]:
    """Areas and distensibility of an aorta; nothing where the study has none, empty where it is no single slice."""
    try:
        curve = aortic_area(case.id, labels, study.label_scheme, case.spacing_zyx_mm, frames=segmentation.frames)
    except GeometryError:  # a stack: the other indices are exported all the same
        return AorticIndices().columns()
    return {} if curve is None else aortic_indices(curve, study.pressures(case.id)).columns()
