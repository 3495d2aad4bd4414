"""The files of a labelled case: written from memory, known by hash, made durable a group at a time.

::

    output/<case>.labels.nii.gz
    output/<case>.confidence.nii.gz, <case>.confidence-<kind>.nii.gz
    output/<case>.json        last; size and hash of each file, so that a file that a loss of power left half written
                              is known and its case is done again
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import LabelError
from napari_ssl.io.documents import read_document
from napari_ssl.io.group_sync import GroupSync, sync_files
from napari_ssl.io.hashing import hash_file
from napari_ssl.io.images import Geometry
from napari_ssl.io.nifti_bytes import nifti_bytes

__all__ = ["add_to_records", "case_file", "check_new_labels", "is_whole", "make_durable", "write_case"]


def case_file(output: Path, case_id: str, what: str) -> Path:
    """Return the file of a case's ``labels``, ``confidence`` or ``confidence-<kind>``."""
    return output / f"{case_id}.{what}.nii.gz"


def check_new_labels(case_id: str, labels: NDArray[np.uint8], frames: tuple[int, ...], scheme: LabelScheme) -> None:
    """Check what the study does not unpack again: values of the scheme, nothing outside the labelled frames.

    Raises
    ------
    LabelError
        A value outside the scheme, or labels on another frame.
    """
    scheme.check(labels, f"case {case_id}")
    others = [f for f in range(len(labels)) if f not in frames and labels[f].any()]
    if others:
        raise LabelError(
            f"case {case_id}: frame {others[0]} holds labels but is not among the labelled frames {frames}; "
            "name that frame or label it empty"
        )


def write_case(
    group: GroupSync,
    output: Path,
    case_id: str,
    arrays: Mapping[str, NDArray[np.uint8]],
    geometry: Geometry,
    record: Mapping[str, Any],
) -> None:
    """Write the files of a case and then its record, which gets their sizes and hashes as ``files``.

    Parameters
    ----------
    arrays : mapping of str to (T, Z, Y, X) uint8
        ``labels``, ``confidence``, ``confidence-<kind>``.

    Raises
    ------
    StorageError
        The disk is full; without its record the case counts as not done.
    """
    files = {}
    for what, array in arrays.items():
        content = nifti_bytes(array, geometry, is_labels=what == "labels")
        group.write(case_file(output, case_id, what), content)
        files[what] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    group.write(output / f"{case_id}.json", _document({**record, "files": files}))
    group.sync_when_due()


def _document(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode()


def is_whole(output: Path, case_id: str) -> bool:
    """Whether a case has its record and its files are what the record says.

    Files that are gone count as whole: the study takes them away once it has them.
    """
    record = read_document(output / f"{case_id}.json")
    if not isinstance(record, dict):
        return False
    for what, made in (record.get("files") or {}).items():
        path = case_file(output, case_id, what)
        if path.is_file() and (path.stat().st_size != made["bytes"] or hash_file(path) != made["sha256"]):
            return False
    return True


def add_to_records(output: Path, additions: Mapping[str, Mapping[str, Any]]) -> None:
    """Add entries to the records of these cases; StorageError where that cannot be written."""
    group = GroupSync()
    for case_id, entries in additions.items():
        path = output / f"{case_id}.json"
        group.write(path, _document({**read_document(path), **entries}))
    group.sync()


def make_durable(output: Path, case_ids: Iterable[str]) -> None:
    """Wait until records and files of these cases are on the disk, whoever wrote them; StorageError if refused."""
    paths = []
    for case_id in case_ids:
        record = read_document(output / f"{case_id}.json") or {}
        paths += [case_file(output, case_id, what) for what in record.get("files") or {}]
        paths.append(output / f"{case_id}.json")
    sync_files(paths)
