"""Write what readers stand for, for other programs: label maps as NIfTI, clinical indices as CSV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.case import Case, Split
from napari_ssl.core.curve import ClinicalIndices
from napari_ssl.core.decision import ReviewState
from napari_ssl.core.segmentation import Segmentation
from napari_ssl.errors import GeometryError, StudyError
from napari_ssl.io.exports import MeasuredCase, export_csv, export_nifti
from napari_ssl.measures.aorta import AorticIndices, aortic_area, aortic_indices
from napari_ssl.measures.curves import indices, volume_curves
from napari_ssl.study.queue_rows import QueueRow
from napari_ssl.study.storage import make_folder
from napari_ssl.study.study import Study

__all__ = ["CSV_FILE", "FORMATS", "export_study"]

FORMATS = ("nifti", "csv")
CSV_FILE = "clinical_indices.csv"
_ALL = "all"


def export_study(
    study: Study,
    folder: str | Path,
    format: str = "nifti",
    *,
    states: Iterable[ReviewState | str] = (ReviewState.ACCEPTED, ReviewState.CORRECTED),
    split: Split | str | None = None,
) -> list[Path]:
    """Write the current labels (or their indices) of cases in some states of review; return the files.

    Parameters
    ----------
    format : "nifti" or "csv"
        One label file per case with the exact geometry of its image (one per frame where not all are labelled), or
        one table with the columns of ukbb_cardiac.
    states : iterable of ReviewState
        States, all readers together; "all" takes every case that has labels.
    split : Split, optional
        Only this split.

    Raises
    ------
    StudyError
        Unknown format or state.
    StorageError
        A file cannot be written.
    """
    if format not in FORMATS:
        raise StudyError(f"no export format {format!r}; there are {', '.join(FORMATS)}")
    chosen = _chosen(study, states, split)
    folder = Path(folder)
    make_folder(folder)
    if format == "csv":
        rows = [_measured(study, case, segmentation, row) for case, segmentation, row in chosen]
        return [export_csv(folder / CSV_FILE, rows)] if rows else []
    written: list[Path] = []
    for case, segmentation, _ in chosen:
        labels = study.read_labels(segmentation)
        written += export_nifti(folder, case.id, labels, image_path=case.image_path, frames=segmentation.frames)
    return written


def _chosen(
    study: Study, states: Iterable[ReviewState | str], split: Split | str | None
) -> list[tuple[Case, Segmentation, QueueRow]]:
    """Return the cases to export with the labels that stand."""
    names = {str(s) for s in states}
    unknown = sorted(names - {*ReviewState, _ALL})
    if unknown:
        raise StudyError(f"no state of review {unknown[0]!r}; there are {', '.join((*ReviewState, _ALL))}")
    rows = {row.case_id: row for row in study.queue_rows()}
    found = []
    for case in study.cases(split=split):
        row = rows.get(case.id)  # None: imported between the two calls
        if row is None or not (_ALL in names or row.state in names):
            continue
        segmentation = study.current(case.id)
        if segmentation is not None:
            found.append((case, segmentation, row))
    return found


def _measured(study: Study, case: Case, segmentation: Segmentation, row: QueueRow) -> MeasuredCase:
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
