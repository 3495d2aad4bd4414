"""Volumes in ml per frame and structure and the clinical indices read from them. Exact voxel counts, no smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.curve import ClinicalIndices, VolumeCurve
from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.errors import GeometryError, LabelError

__all__ = ["MYOCARDIAL_DENSITY_G_PER_ML", "find_phases", "frame_volumes", "indices", "volume_curves"]

MYOCARDIAL_DENSITY_G_PER_ML = 1.05
"""Density that turns myocardial volume into mass (Schulz-Menger et al., JCMR 2013, section LV mass)."""


def frame_volumes(labels_zyx: NDArray[Any], scheme: LabelScheme, voxel_ml: float) -> dict[str, float]:
    """Volume of every structure in one frame; fast enough to call after every brush stroke.

    Parameters
    ----------
    labels_zyx : (Z, Y, X) uint8
    scheme : LabelScheme
    voxel_ml : float
        Volume of one voxel in ml.

    Returns
    -------
    dict of str to float
        Millilitres by structure name, 0.0 for a structure that is absent from the frame.
    """
    return {s.name: float(np.count_nonzero(labels_zyx == s.value)) * voxel_ml for s in scheme.structures}


def find_phases(volume_ml: NDArray[np.float64]) -> tuple[int | None, int | None]:
    """End-diastole and end-systole of a ventricle: the frames of largest and smallest volume, the first of equals.

    Parameters
    ----------
    volume_ml : (T,) float
        NaN where a frame is not labelled; such frames are passed over.

    Returns
    -------
    tuple of int or None
        (ED, ES); (None, None) with fewer than two labelled frames or a volume that never changes.
    """
    known = np.isfinite(volume_ml)
    if known.sum() < 2 or np.ptp(np.asarray(volume_ml)[known]) == 0:
        return None, None
    return int(np.nanargmax(volume_ml)), int(np.nanargmin(volume_ml))


def volume_curves(
    case_id: str,
    labels: NDArray[Any],
    scheme: LabelScheme,
    spacing_zyx_mm: Sequence[float],
    *,
    frames: Sequence[int] | None = None,
    frame_interval_ms: float | None = None,
    ed_frame: int | None = None,
    es_frame: int | None = None,
) -> dict[str, VolumeCurve]:
    """Measure the volume of every structure in every labelled frame.

    Parameters
    ----------
    case_id : str
    labels : (T, Z, Y, X) uint8
    scheme : LabelScheme
    spacing_zyx_mm : three floats
    frames : sequence of int, optional
        Frames that hold labels; the others become NaN. All frames by default.
    frame_interval_ms : float, optional
        Gives the curves their time axis.
    ed_frame, es_frame : int, optional
        Known phases. A missing one is found from the left ventricle (else the right one) with `find_phases`.

    Returns
    -------
    dict of str to VolumeCurve
        By structure name, in the order of the scheme; all curves of a case share ED and ES.

    Raises
    ------
    GeometryError
        Labels that are not (T, Z, Y, X), or spacing that is not three positive lengths.
    LabelError
        A frame, ED or ES outside the label map.
    """
    labels = np.asarray(labels)
    spacing = tuple(float(s) for s in spacing_zyx_mm)
    if labels.ndim != 4:
        raise GeometryError(
            f"case {case_id}: labels must be (T, Z, Y, X), got shape {labels.shape}; give T = 1 if static"
        )
    if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise GeometryError(f"case {case_id}: spacing must be three positive lengths (z, y, x) in mm, got {spacing}")
    n_frames = labels.shape[0]
    labelled = range(n_frames) if frames is None else sorted({int(f) for f in frames})
    for what, frame in [("frame", f) for f in labelled] + [("ed_frame", ed_frame), ("es_frame", es_frame)]:
        if frame is not None and not 0 <= frame < n_frames:
            raise LabelError(f"case {case_id}: {what} {frame} is outside the label map, which has 0 to {n_frames - 1}")
    voxel_ml = float(np.prod(spacing)) / 1000.0
    volumes = {name: np.full(n_frames, np.nan) for name in scheme.names}
    for frame in labelled:
        for name, ml in frame_volumes(labels[frame], scheme, voxel_ml).items():
            volumes[name][frame] = ml
    ed_frame, es_frame = _phases(volumes, scheme, ed_frame, es_frame)
    time_ms = None if frame_interval_ms is None else np.arange(n_frames) * float(frame_interval_ms)
    return {
        name: VolumeCurve(
            case_id=case_id, structure=name, volume_ml=ml, time_ms=time_ms, ed_frame=ed_frame, es_frame=es_frame
        )
        for name, ml in volumes.items()
    }


def _phases(
    volumes: dict[str, NDArray[np.float64]], scheme: LabelScheme, ed_frame: int | None, es_frame: int | None
) -> tuple[int | None, int | None]:
    """Keep the known phases and find the missing ones from the left, else the right ventricle."""
    if ed_frame is not None and es_frame is not None:
        return ed_frame, es_frame
    for role in (StructureRole.LV_CAVITY, StructureRole.RV_CAVITY):
        ventricle = scheme.by_role(role)
        if ventricle is None:
            continue
        found_ed, found_es = find_phases(volumes[ventricle.name])
        if found_ed is not None:
            return (found_ed if ed_frame is None else ed_frame), (found_es if es_frame is None else es_frame)
    return ed_frame, es_frame


def indices(curves: dict[str, VolumeCurve], scheme: LabelScheme) -> ClinicalIndices:
    """Read the clinical indices off the curves of one case; NaN where a structure or phase is missing."""
    found: dict[str, float] = {}
    for prefix, role in (("lv", StructureRole.LV_CAVITY), ("rv", StructureRole.RV_CAVITY)):
        structure = scheme.by_role(role)
        if structure is not None and structure.name in curves:
            curve = curves[structure.name]
            found[f"{prefix}_edv_ml"] = curve.edv_ml
            found[f"{prefix}_esv_ml"] = curve.esv_ml
            found[f"{prefix}_sv_ml"] = curve.sv_ml
            found[f"{prefix}_ef_percent"] = curve.ef_percent
    myocardium = scheme.by_role(StructureRole.MYOCARDIUM)
    if myocardium is not None and myocardium.name in curves:
        found["lv_mass_g"] = curves[myocardium.name].edv_ml * MYOCARDIAL_DENSITY_G_PER_ML
    return ClinicalIndices(**found)
