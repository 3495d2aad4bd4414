"""Outlines of labels for other programs: JSON in pixels and patient coordinates, or the text files of Sunnybrook."""

from __future__ import annotations

import json

from napari_ssl.io.contours.polygons import polygons_document
from napari_ssl.io.outlines import sunnybrook_outlines
from napari_ssl.study.export_run import ExportRun
from napari_ssl.study.export_source import picture_numbers

__all__ = ["export_contours", "export_sunnybrook"]


def export_contours(run: ExportRun) -> None:
    """Write ``<case>_contours.json`` with all outlines of a case; frames and slices count from 0."""
    for item in run.each(run.items()):
        geometry = run.study.image_geometry(item.case.id)
        scheme = run.study.label_scheme
        document = polygons_document(run.labels(item), run.frames(item), scheme, geometry, item.case.id)
        run.target.write(f"{item.case.id}_contours.json", json.dumps(document, ensure_ascii=False) + "\n")


def export_sunnybrook(run: ExportRun) -> None:
    """Write ``<case>/contours-manual/IRCCI-expert/IM-0001-NNNN-{i,o}contour-manual.txt``.

    NNNN is the InstanceNumber of the picture in the DICOM series that the case came from. Other cases are numbered from
    1 through the phases of the first slice, then those of the second, as Sunnybrook's images are and as the pictures
    are that ``dicom-seg`` writes; put beside either, the contours can be imported again.
    A line is column and row of a point in pixels. ``index.csv`` says which frame and slice (from 0) each file is of.
    """
    for item in run.each(run.items()):
        folder = f"{item.case.id}/contours-manual/IRCCI-expert"
        labels, rows, numbers = run.labels(item), [], picture_numbers(item.case)
        for frame in run.frames(item):
            for outline in sunnybrook_outlines(labels[frame], run.study.label_scheme):
                name = f"IM-0001-{numbers[frame][outline.slice]:04d}-{outline.structure}-manual.txt"
                lines = [f"{x:.2f} {y:.2f}" for x, y in outline.points]
                run.target.write(f"{folder}/{name}", "\n".join(lines) + "\n")
                rows.append(f"{name},{frame},{outline.slice}")
        if rows:
            run.target.write(f"{item.case.id}/index.csv", "\n".join(["file,frame,slice", *rows]) + "\n")
