"""Contours of the Sunnybrook Cardiac Data: text files, one point a line.

``IM-0001-0059-icontour-manual.txt``: 0059 is the InstanceNumber of the picture in the short-axis cine; ``icontour`` is
the endocardium, ``ocontour`` the epicardium; ``p1contour`` and ``p2contour`` (papillary muscles) are left out, as they
belong to the cavity in this program.

Source: Radau et al., The MIDAS Journal, Cardiac MR Left Ventricle Segmentation Challenge, 2009.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from napari_ssl.core.label_order import LabelProposal
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError
from napari_ssl.io.contours.filling import Contour

__all__ = ["PROPOSAL", "contour_files", "read_contour"]

PROPOSAL = LabelProposal.of_scheme(PRESETS["sunnybrook"], "the Sunnybrook contours (i: endocardium, o: epicardium)")

_NAME = re.compile(r"IM-\d+-(\d+)-([io])contour-(?:manual|auto)\.txt", re.IGNORECASE)
_KINDS = {"i": "lv_endocardium", "o": "lv_epicardium"}
_LARGEST_BYTES = 1 << 22


def contour_files(folder: Path) -> dict[tuple[int, str], Path]:
    """Return the contour files below a folder by InstanceNumber and kind; LabelError where one is there twice."""
    found: dict[tuple[int, str], Path] = {}
    for path in sorted(folder.rglob("*.txt")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        key = (int(match.group(1)), _KINDS[match.group(2).lower()])
        if key in found:
            raise LabelError(f"{path}: the same contour is also {found[key]}; keep one reader's folder, move the other")
        found[key] = path
    return found


def read_contour(path: Path, kind: str) -> Contour:
    """Read one file; LabelError where it holds no three points of finite numbers."""
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise LabelError(f"{path}: is larger than {_LARGEST_BYTES >> 20} MiB; no contour file is")
        points = np.array([[float(v) for v in line.split()] for line in path.read_text("ascii").splitlines() if line])
    except (OSError, ValueError) as error:
        raise LabelError(f"{path}: is no contour, one 'x y' a line; copy it again from its source") from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise LabelError(f"{path}: holds {len(points)} lines that are no contour of three points 'x y' or more")
    return Contour(kind=kind, points_xy=points, where=str(path))
