"""Write labels and measures for other programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.curve import ClinicalIndices
from napari_ssl.errors import GeometryError
from napari_ssl.io.atomic import write_bytes
from napari_ssl.io.export_folder import ExportFolder
from napari_ssl.io.reading import read_header
from napari_ssl.io.writing import write_volume

__all__ = ["INDEX_COLUMNS", "MeasuredCase", "export_csv", "export_nifti"]

INDEX_COLUMNS = (
    "LVEDV (mL)",
    "LVESV (mL)",
    "LVSV (mL)",
    "LVEF (%)",
    "LVCO (L/min)",
    "LVM (g)",
    "RVEDV (mL)",
    "RVESV (mL)",
    "RVSV (mL)",
    "RVEF (%)",
)
"""Names and order of the ventricular table of ukbb_cardiac (Bai et al., JCMR 20:65, 2018)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCase:
    """One row of the table.

    Parameters
    ----------
    case_id : str
    indices : ClinicalIndices
    cycle_ms : float or None
        Duration of the heart beat (frames × frame interval); the cardiac output needs it.
    facts : mapping of str to str
        Further columns, e.g. subject, split, decision; put between the case and the indices.
    further : mapping of str to float
        Further indices, put after those of `INDEX_COLUMNS`; NaN where unknown.
    """

    case_id: str
    indices: ClinicalIndices
    cycle_ms: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    further: Mapping[str, float] = field(default_factory=dict)

    def values(self) -> tuple[float, ...]:
        """Return the values of `INDEX_COLUMNS`; NaN where unknown."""
        i = self.indices
        output = i.lv_sv_ml * 60 / self.cycle_ms if self.cycle_ms else math.nan  # ml/ms · 60 = l/min
        return (
            i.lv_edv_ml,
            i.lv_esv_ml,
            i.lv_sv_ml,
            i.lv_ef_percent,
            output,
            i.lv_mass_g,
            i.rv_edv_ml,
            i.rv_esv_ml,
            i.rv_sv_ml,
            i.rv_ef_percent,
        )


def export_csv(path: str | Path, rows: Sequence[MeasuredCase]) -> Path:
    """Write the table of clinical indices, one row per case, whole or not at all; unknown values are left empty.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    path = Path(path)
    facts = list(dict.fromkeys(name for row in rows for name in row.facts))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    further = list(dict.fromkeys(name for row in rows for name in row.further))
    writer.writerow(["case", *facts, *INDEX_COLUMNS, *further])
    for row in rows:
        values = (*row.values(), *(row.further.get(name, math.nan) for name in further))
        cells = ["" if math.isnan(v) else f"{v:.3f}" for v in values]
        writer.writerow([row.case_id, *(row.facts.get(name, "") for name in facts), *cells])
    write_bytes(path, text.getvalue().encode())
    return path


def export_nifti(
    target: ExportFolder,
    case_id: str,
    labels: NDArray[np.uint8],
    *,
    image_path: str | Path,
    frames: Sequence[int] | None = None,
) -> None:
    """Write a label map on the exact grid of its image.

    Where every frame is labelled: one file ``<case>_seg.nii.gz`` with the axes of the image. Otherwise one 3D file per
    labelled frame, ``<case>_frameTT_seg.nii.gz`` with TT from 1 as in ACDC, so that a frame without labels is not
    mistaken for an empty one.

    Parameters
    ----------
    target : ExportFolder
    case_id : str
    labels : (T, Z, Y, X) uint8
    image_path : path
        The original; only its header is read.
    frames : sequence of int, optional
        Labelled frames, 0-based; all by default.

    Raises
    ------
    ImageError
        The original cannot be read.
    GeometryError
        The labels have another shape than the image.
    StorageError
        A file cannot be written, or would replace another.
    """
    header = read_header(image_path)
    if tuple(labels.shape) != header.shape_tzyx:
        raise GeometryError(
            f"case {case_id}: labels have shape {tuple(labels.shape)}, the image {image_path} has {header.shape_tzyx}; "
            "the image was replaced since its import; put the original back"
        )
    n_frames = header.shape_tzyx[0]
    wanted = sorted(set(range(n_frames) if frames is None else frames))
    if wanted == list(range(n_frames)):
        write_volume(target.file(f"{case_id}_seg.nii.gz"), labels, header.geometry)
        return
    geometry = replace(header.geometry, is_4d=False, frame_interval_ms=None)
    for f in wanted:
        write_volume(target.file(f"{case_id}_frame{f + 1:02d}_seg.nii.gz"), labels[f : f + 1], geometry)
