"""Versions of labels: files named by their content, rows that point to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from napari_ssl.core.case import Case
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.errors import LabelError, NapariSslError, StudyError
from napari_ssl.io.images import Geometry, hash_labels, write_volume
from napari_ssl.study import schema
from napari_ssl.study.base import check_identifier, member, now
from napari_ssl.study.storage import inside, make_folder
from napari_ssl.study.stored_labels import PROPOSALS, VERSION_COLUMNS, StoredLabelRoom, as_segmentation

__all__ = ["LabelRoom", "confidence_name", "proposal_path", "same_version"]

UNNAMED_MODEL = "no-model"
"""Folder of pseudo-labels that a parked training shows before its model is there."""

_TABLE = schema.segmentations


class LabelRoom(StoredLabelRoom):
    """Store label maps ``(T, Z, Y, X) uint8`` with their confidence."""

    def add_segmentation(
        self,
        case_id: str,
        labels: NDArray[np.uint8],
        *,
        source: Source,
        frames: Sequence[int],
        confidence: NDArray[np.uint8] | None = None,
        model_id: str | None = None,
        parent_id: int | None = None,
        reader: str | None = None,
    ) -> Segmentation:
        """Store a new version of a case's labels and return it; identical labels of the same origin return the old one.

        Parameters
        ----------
        labels : (T, Z, Y, X) uint8
            Values of the study's label scheme; zero on frames that are not in `frames`.
        frames : sequence of int
            Frames that hold labels.
        confidence : (T, Z, Y, X) uint8, optional
            255 = certain.
        model_id : str, optional
            Who proposed it; None for the pseudo-labels of a training that has made no model yet.
        parent_id : int, optional
            The version that a correction started from.
        reader : str, optional
            Required for corrections.

        Raises
        ------
        LabelError
            Another shape than the image, a value outside the scheme, labels outside `frames`.
        StorageError
            The file could not be written; nothing is recorded.
        StudyReadOnlyError, UnknownCaseError
        """
        self._check_writable("save labels")
        row, case = self._row_and_case(case_id)
        labels = np.asarray(labels)
        entry = self._entry(case, labels, source, frames, model_id, parent_id, reader)
        if confidence is not None and (confidence.shape != labels.shape or confidence.dtype != np.uint8):
            raise LabelError(
                f"case {case_id}: confidence must be uint8 of shape {labels.shape}, "
                f"got {confidence.dtype} of shape {confidence.shape}"
            )
        known = self._existing(entry)
        written: list[Path] = []
        geometry = self._geometry(row)
        if known is not None:
            if not inside(self.folder, known.label_path).is_file():  # it was lost
                self._write(known.label_path, labels, geometry, written)
            return known
        try:
            self._write(entry["label_path"], labels, geometry, written)
            if confidence is not None:
                entry["confidence_path"] = confidence_name(entry["label_path"])
                self._write(entry["confidence_path"], confidence, geometry, written)
            return self._insert(entry)
        except BaseException:
            self._remove_unused(written)
            raise

    def _entry(
        self,
        case: Case,
        labels: NDArray[Any],
        source: Source,
        frames: Sequence[int],
        model_id: str | None,
        parent_id: int | None,
        reader: str | None,
    ) -> dict[str, Any]:
        """Check everything that can be checked without the database and return the row, version left out."""
        source, frames = member(Source, source, "source"), tuple(sorted({int(f) for f in frames}))
        if source is Source.CORRECTED and not (reader or "").strip():
            raise StudyError(f"case {case.id}: a correction needs its reader's name; set it in the settings")
        _check_labels(case, labels, frames)
        self.label_scheme.check(labels, f"case {case.id}")
        digest = hash_labels(labels)
        if source in PROPOSALS:
            label_path = proposal_path(case.id, source, model_id, digest)
        else:
            label_path = f"labels/{case.id}/{source}_{digest[:16]}.nii.gz"
        return {
            "case_id": case.id,
            "source": source.value,
            "frames": list(frames),
            "label_path": label_path,
            "label_hash": digest,
            "confidence_path": None,
            "model_id": model_id,
            "parent_id": parent_id,
            "reader": reader,
            "created_at": now(),
            "foreground_fraction": float(np.count_nonzero(labels[list(frames)]) / labels[list(frames)].size),
        }

    def _existing(self, entry: dict[str, Any], connection: sa.Connection | None = None) -> Segmentation | None:
        """Return the version that is the same as `entry`, as `same_version` says."""
        if connection is None:
            with self._database.read() as own:
                return self._existing(entry, own)
        same_case = sa.select(*VERSION_COLUMNS).where(_TABLE.c.case_id == entry["case_id"]).order_by(_TABLE.c.id.desc())
        return same_version(entry, list(connection.execute(same_case).mappings()))

    def _insert(self, entry: dict[str, Any], connection: sa.Connection | None = None) -> Segmentation:
        if connection is None:
            with self._database.write() as own:
                return self._insert(entry, own)
        known = self._existing(entry, connection)
        if known is not None:
            return known
        if entry["parent_id"] is not None:
            parent = self._segmentation(connection, entry["parent_id"])
            if parent.case_id != entry["case_id"]:
                raise StudyError(f"version {parent.id} belongs to case {parent.case_id}, not {entry['case_id']}")
        newest = sa.select(sa.func.max(_TABLE.c.version)).where(_TABLE.c.case_id == entry["case_id"])
        version = (connection.execute(newest).scalar() or 0) + 1
        key = connection.execute(sa.insert(_TABLE).values(**entry, version=version)).inserted_primary_key
        return self._segmentation(connection, key[0])

    def _write(self, relative: str, array: NDArray[np.uint8], geometry: Geometry, written: list[Path]) -> None:
        path = inside(self.folder, relative)
        make_folder(path.parent)
        if not path.exists():
            written.append(path)
        write_volume(path, array.astype(np.uint8, copy=False), geometry)

    def _remove_unused(self, written: list[Path]) -> None:
        """Remove files of a version that could not be recorded, unless another process recorded the same meanwhile."""
        with suppress(NapariSslError, OSError):  # a file too many is harmless, `check` tells of it
            used = {path for s in self.segmentations() for path in (s.label_path, s.confidence_path)}
            for path in written:
                if path.relative_to(self.folder).as_posix() not in used:
                    path.unlink(missing_ok=True)


def same_version(entry: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Segmentation | None:
    """Return the version among `rows`, those of one case, newest first, that is the same as `entry`.

    A proposal counts only while no other model proposed since: after a roll-back the older model's labels are proposed
    again as a new version (of the same file).
    """
    if entry["source"] in PROPOSALS:
        proposals = (r for r in rows if r["source"] in PROPOSALS)
        rows = list(takewhile(lambda r: r["model_id"] == entry["model_id"], proposals))
    keys = ("source", "label_hash", "model_id", "frames")
    return next((as_segmentation(r) for r in rows if all(r[k] == entry[k] for k in keys)), None)


def proposal_path(case_id: str, source: str, model_id: str | None, label_hash: str) -> str:
    """Return where a proposal lies, relative to the study folder; StudyError for a name that is no file's."""
    check_identifier("case", case_id)
    folder = UNNAMED_MODEL if model_id is None else check_identifier("model", model_id)
    return f"predictions/{folder}/{case_id}_{source}_{label_hash[:16]}.nii.gz"


def confidence_name(label_path: str) -> str:
    """Return where the confidence beside these labels lies."""
    return label_path.removesuffix(".nii.gz") + "_confidence.nii.gz"


def _check_labels(case: Case, labels: NDArray[Any], frames: tuple[int, ...]) -> None:
    if labels.shape != case.shape_tzyx:
        raise LabelError(
            f"case {case.id}: labels have shape {labels.shape}, the image has (T, Z, Y, X) = {case.shape_tzyx}; "
            "resample the labels to the image"
        )
    if labels.dtype != np.uint8:
        raise LabelError(
            f"case {case.id}: labels must be uint8, got {labels.dtype}; convert them with astype(numpy.uint8)"
        )
    if not frames or frames[0] < 0 or frames[-1] >= case.n_frames:
        raise LabelError(f"case {case.id}: labelled frames must be in 0 to {case.n_frames - 1}, got {frames}")
    others = [f for f in range(case.n_frames) if f not in frames and labels[f].any()]
    if others:
        raise LabelError(
            f"case {case.id}: frame {others[0]} holds labels but is not among the labelled frames {frames}"
        )
