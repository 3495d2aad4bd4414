"""Area of the aorta over the cycle and its distensibility, from single-slice cines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.errors import GeometryError, LabelError

__all__ = ["AORTIC_COLUMNS", "AorticIndices", "AreaCurve", "aortic_area", "aortic_indices", "distensibility"]

AORTIC_COLUMNS = (
    "Aorta max area (mm2)",
    "Aorta min area (mm2)",
    "Aorta strain (%)",
    "Aorta distensibility (10-3 mmHg-1)",
)
"""Columns of the exported table; names follow ukbb_cardiac (Bai et al., Nat. Med. 26:1654, 2020)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AreaCurve:
    """Area of the aorta per frame.

    Parameters
    ----------
    case_id, structure : str
    area_mm2 : (T,) float64
        NaN where the frame is not labelled.
    time_ms : (T,) float64 or None
        None when the frame interval is unknown.
    """

    case_id: str
    structure: str
    area_mm2: NDArray[np.float64]
    time_ms: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AorticIndices:
    """Largest and smallest area, relative change, and distensibility; NaN where unknown."""

    max_area_mm2: float = math.nan
    min_area_mm2: float = math.nan
    strain_percent: float = math.nan
    distensibility_per_mmhg: float = math.nan

    def columns(self) -> dict[str, float]:
        """Return the values of `AORTIC_COLUMNS`; distensibility in 10⁻³ mmHg⁻¹, as it is reported."""
        values = (
            self.max_area_mm2,
            self.min_area_mm2,
            self.strain_percent,
            1000.0 * self.distensibility_per_mmhg,
        )
        return dict(zip(AORTIC_COLUMNS, values, strict=True))


def aortic_area(
    case_id: str,
    labels: NDArray[Any],
    scheme: LabelScheme,
    spacing_zyx_mm: Sequence[float],
    *,
    frames: Sequence[int] | None = None,
    frame_interval_ms: float | None = None,
) -> AreaCurve | None:
    """Measure the area of the aorta in every labelled frame; None when the scheme has no aorta.

    Parameters
    ----------
    labels : (T, 1, Y, X) uint8
        A single slice, across the vessel. Of a stack with labels in one slice only, that slice is measured.
    frames : sequence of int, optional
        Frames that hold labels; the others become NaN. All frames by default.

    Raises
    ------
    GeometryError
        Labels that are not (T, Z, Y, X), or an aorta in several slices: which one is meant cannot be known.
    LabelError
        A frame outside the label map.
    """
    structure = scheme.by_role(StructureRole.AORTA)
    if structure is None:
        return None
    labels = np.asarray(labels)
    if labels.ndim != 4:
        raise GeometryError(f"case {case_id}: labels must be (T, Z, Y, X), got shape {labels.shape}")
    labelled = np.array(range(len(labels)) if frames is None else sorted({int(f) for f in frames}), int)
    if len(labelled) and not 0 <= labelled[0] <= labelled[-1] < len(labels):
        raise LabelError(f"case {case_id}: frames {labelled.tolist()} are not all in 0 to {len(labels) - 1}")
    counts = np.count_nonzero((labels == structure.value).reshape(*labels.shape[:2], -1), axis=2)
    slices = np.flatnonzero(counts.any(axis=0))
    if len(slices) > 1:
        raise GeometryError(
            f"case {case_id}: {structure.name} is labelled in slices {', '.join(str(z) for z in slices)}; an area "
            "curve needs a single slice across the vessel: import that slice as an image of its own"
        )
    area = np.full(len(labels), np.nan)
    area[labelled] = counts[labelled].sum(axis=1) * float(spacing_zyx_mm[1]) * float(spacing_zyx_mm[2])
    time_ms = None if frame_interval_ms is None else np.arange(len(labels)) * float(frame_interval_ms)
    return AreaCurve(case_id=case_id, structure=structure.name, area_mm2=area, time_ms=time_ms)


def distensibility(max_area_mm2: float, min_area_mm2: float, systolic_mmhg: float, diastolic_mmhg: float) -> float:
    """Relative change of area by pulse pressure, (Amax − Amin) / (Amin · (Psys − Pdia)), in mmHg⁻¹.

    NaN where the vessel is empty at its smallest or there is no pulse pressure. Central pressures are the right ones;
    brachial ones overestimate the pulse pressure, the more the younger the subject (Redheuil et al., Hypertension
    55:319, 2010; formula: Angiology 45:207, 1994).
    """
    pulse = systolic_mmhg - diastolic_mmhg
    if not (min_area_mm2 > 0 and pulse > 0):
        return math.nan
    return (max_area_mm2 - min_area_mm2) / (min_area_mm2 * pulse)


def aortic_indices(curve: AreaCurve, pressures_mmhg: tuple[float, float] | None = None) -> AorticIndices:
    """Read the indices off an area curve.

    Parameters
    ----------
    curve : AreaCurve
    pressures_mmhg : (systolic, diastolic), optional
        Without them there is no distensibility.
    """
    known = curve.area_mm2[np.isfinite(curve.area_mm2)]
    if len(known) < 2:
        return AorticIndices()
    largest, smallest = float(known.max()), float(known.min())
    return AorticIndices(
        max_area_mm2=largest,
        min_area_mm2=smallest,
        strain_percent=100.0 * (largest - smallest) / smallest if smallest > 0 else math.nan,
        distensibility_per_mmhg=math.nan
        if pressures_mmhg is None
        else distensibility(largest, smallest, *pressures_mmhg),
    )
