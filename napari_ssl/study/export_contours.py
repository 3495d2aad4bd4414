"""Outlines of labels for other programs: JSON in pixels and patient coordinates, or the text files of Sunnybrook."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from napari_ssl import __version__
from napari_ssl.io.outlines import outlines_of_frame, patient_points, sunnybrook_outlines
from napari_ssl.study.export_run import ExportItem, ExportRun

__all__ = ["export_contours", "export_sunnybrook"]

_IMAGE = "column, row in pixels; (0, 0) is the centre of the first pixel of a slice"
_PATIENT = "mm, left-posterior-superior, as in DICOM"


def export_contours(run: ExportRun) -> None:
    """Write ``<case>_contours.json`` with all outlines of a case; frames and slices count from 0."""
    for item in run.each(run.items()):
        document = _document(run, item)
        run.target.write(f"{item.case.id}_contours.json", json.dumps(document, ensure_ascii=False) + "\n")


def _document(run: ExportRun, item: ExportItem) -> dict[str, Any]:
    scheme, geometry = run.study.label_scheme, run.study.image_geometry(item.case.id)
    labels, frames = run.labels(item), run.frames(item)
    contours = [
        {
            "frame": frame,
            "slice": outline.slice,
            "structure": outline.structure,
            "is_hole": outline.is_hole,
            "image": np.round(outline.points, 4).tolist(),
            "patient_mm": np.round(patient_points(outline, geometry), 4).tolist(),
        }
        for frame in frames
        for outline in outlines_of_frame(labels[frame], scheme)
    ]
    return {
        "format": "napari-ssl contours",
        "version": 1,
        "software": f"napari-ssl {__version__}",
        "case": item.case.id,
        "frames": list(frames),
        "coordinates": {"image": _IMAGE, "patient_mm": _PATIENT},
        "spacing_zyx_mm": list(item.case.spacing_zyx_mm),
        "shape_tzyx": list(item.case.shape_tzyx),
        "structures": [{"name": s.name, "value": s.value, "role": s.role.value} for s in scheme.structures],
        "contours": contours,
    }


def export_sunnybrook(run: ExportRun) -> None:
    """Write ``<case>/contours-manual/IRCCI-expert/IM-0001-NNNN-{i,o}contour-manual.txt``.

    NNNN counts from 1 through the phases of the first slice, then those of the second, as the images of Sunnybrook do.
    A line is column and row of a point in pixels. ``index.csv`` says which frame and slice (from 0) each file is of.
    """
    for item in run.each(run.items()):
        folder = f"{item.case.id}/contours-manual/IRCCI-expert"
        labels, rows = run.labels(item), []
        for frame in run.frames(item):
            for outline in sunnybrook_outlines(labels[frame], run.study.label_scheme):
                number = outline.slice * item.case.n_frames + frame + 1
                name = f"IM-0001-{number:04d}-{outline.structure}-manual.txt"
                lines = [f"{x:.2f} {y:.2f}" for x, y in outline.points]
                run.target.write(f"{folder}/{name}", "\n".join(lines) + "\n")
                rows.append(f"{name},{frame},{outline.slice}")
        if rows:
            run.target.write(f"{item.case.id}/index.csv", "\n".join(["file,frame,slice", *rows]) + "\n")
