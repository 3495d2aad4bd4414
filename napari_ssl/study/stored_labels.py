"""Versions of labels as they are stored: find them, read them, check them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from napari_ssl.core.case import Case
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.errors import LabelError, UnknownCaseError
from napari_ssl.io.images import hash_labels, read_header, read_image, read_labels
from napari_ssl.study import schema
from napari_ssl.study.base import member
from napari_ssl.study.cases import CaseRoom
from napari_ssl.study.storage import inside

__all__ = ["PROPOSALS", "VERSION_COLUMNS", "StoredLabelRoom", "as_segmentation"]

PROPOSALS = (Source.MODEL, Source.REFINED)
"""Sources of labels that a model proposes."""

_TABLE = schema.segmentations
VERSION_COLUMNS = [_TABLE.c[name] for name in Segmentation.__dataclass_fields__]


class StoredLabelRoom(CaseRoom):
    """Find and read label maps ``(T, Z, Y, X) uint8`` with their confidence."""

    def segmentation(self, segmentation_id: int) -> Segmentation:
        """Return one version; UnknownCaseError when there is none of that number."""
        with self._database.read() as connection:
            return self._segmentation(connection, segmentation_id)

    def segmentations(self, case_id: str | None = None, *, source: Source | None = None) -> list[Segmentation]:
        """Return versions of one case or of all, newest last."""
        query = sa.select(*VERSION_COLUMNS).order_by(_TABLE.c.id)
        if case_id is not None:
            query = query.where(_TABLE.c.case_id == case_id)
        if source is not None:
            query = query.where(_TABLE.c.source == member(Source, source, "source").value)
        with self._database.read() as connection:
            if case_id is not None:
                self._case_row(connection, case_id)
            return [as_segmentation(row) for row in connection.execute(query).mappings()]

    def reference(self, case_id: str) -> Segmentation | None:
        """Return the newest labels of an expert that came with the data."""
        return next(reversed(self.segmentations(case_id, source=Source.REFERENCE)), None)

    def proposal(self, case_id: str) -> Segmentation | None:
        """Return the newest labels that a model proposed."""
        return next((s for s in reversed(self.segmentations(case_id)) if s.source in PROPOSALS), None)

    def label_file(self, segmentation: Segmentation) -> Path:
        """Return the absolute path of the label file."""
        return inside(self.folder, segmentation.label_path)

    def read_labels(self, segmentation: Segmentation) -> NDArray[np.uint8]:
        """Read labels ``(T, Z, Y, X) uint8``; LabelError when the file was changed since it was stored."""
        path = self.label_file(segmentation)
        shape = self.case(segmentation.case_id).shape_tzyx
        labels = read_labels(path, expected_shape_tzyx=shape, scheme=self.label_scheme)
        if hash_labels(labels) != segmentation.label_hash:
            raise LabelError(
                f"case {segmentation.case_id}: {path} is not what was stored as version {segmentation.version} "
                "(another hash); restore the file from a backup"
            )
        return labels

    def read_label_file(self, path: Path, case_id: str) -> NDArray[np.uint8]:
        """Read any label file for a case, checked as at import: shape, place in space, values.

        Raises
        ------
        LabelError
            It does not fit the case's image or the label scheme.
        """
        row, case = self._row_and_case(case_id)
        self._check_grid(row, Path(path))
        return read_labels(path, expected_shape_tzyx=case.shape_tzyx, scheme=self.label_scheme)

    def read_confidence(self, segmentation: Segmentation) -> NDArray[np.uint8] | None:
        """Read the confidence ``(T, Z, Y, X) uint8`` (255 = certain), None when there is none."""
        if segmentation.confidence_path is None:
            return None
        path = inside(self.folder, segmentation.confidence_path)
        confidence = read_image(path).data
        shape = self.case(segmentation.case_id).shape_tzyx
        if confidence.dtype != np.uint8 or confidence.shape != shape:
            raise LabelError(
                f"case {segmentation.case_id}: confidence {path} must be uint8 of shape {shape}, got "
                f"{confidence.dtype} of {confidence.shape}; restore the file or predict the case again"
            )
        return confidence

    def _row_and_case(self, case_id: str) -> tuple[dict[str, Any], Case]:
        with self._database.read() as connection:
            row = self._case_row(connection, case_id)
        return row, self._case(row)

    def _check_grid(self, row: dict[str, Any], file: Path) -> None:
        difference = self._geometry(row).differs(read_header(file).geometry)
        if difference:
            raise LabelError(
                f"case {row['id']}: {file} does not lie on the grid of its image: {difference}; "
                "resample the labels to the image with nearest-neighbour interpolation"
            )

    @staticmethod
    def _segmentation(connection: sa.Connection, segmentation_id: int) -> Segmentation:
        row = connection.execute(sa.select(*VERSION_COLUMNS).where(_TABLE.c.id == segmentation_id)).mappings().first()
        if row is None:
            raise UnknownCaseError(f"the study has no label version number {segmentation_id!r}")
        return as_segmentation(row)


def as_segmentation(row: Any) -> Segmentation:
    """Build a version from its row."""
    return Segmentation(**{**row, "source": Source(row["source"]), "frames": tuple(row["frames"])})
