"""The volume of a structure over the cardiac cycle, and the indices that are read from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ssl.errors import GeometryError

__all__ = ["ClinicalIndices", "VolumeCurve"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VolumeCurve:
    """Volume of one structure per frame.

    Parameters
    ----------
    case_id, structure : str
    volume_ml : (T,) float64
        NaN where the frame is not labelled.
    time_ms : (T,) float64 or None
        None when the frame interval is unknown.
    ed_frame, es_frame : int or None
        End-diastole and end-systole that the indices use; None on a static volume.
    """

    case_id: str
    structure: str
    volume_ml: NDArray[np.float64]
    time_ms: NDArray[np.float64] | None = None
    ed_frame: int | None = None
    es_frame: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "volume_ml", np.asarray(self.volume_ml, np.float64))
        if self.volume_ml.ndim != 1:
            raise GeometryError(f"case {self.case_id}: a volume curve has one axis (T,), got {self.volume_ml.shape}")
        if self.time_ms is not None and np.shape(self.time_ms) != self.volume_ml.shape:
            raise GeometryError(f"case {self.case_id}: {np.shape(self.time_ms)} times, {self.volume_ml.shape} volumes")

    @property
    def edv_ml(self) -> float:
        """End-diastolic volume; NaN without an ED frame."""
        return math.nan if self.ed_frame is None else float(self.volume_ml[self.ed_frame])

    @property
    def esv_ml(self) -> float:
        """End-systolic volume; NaN without an ES frame."""
        return math.nan if self.es_frame is None else float(self.volume_ml[self.es_frame])

    @property
    def sv_ml(self) -> float:
        """Stroke volume, EDV − ESV."""
        return self.edv_ml - self.esv_ml

    @property
    def ef_percent(self) -> float:
        """Ejection fraction, 100 · SV / EDV; NaN for an empty ED frame."""
        return 100.0 * self.sv_ml / self.edv_ml if self.edv_ml > 0 else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicalIndices:
    """Indices of one case; NaN where a structure or frame is missing. Mass is end-diastolic, 1.05 g/ml."""

    lv_edv_ml: float = math.nan
    lv_esv_ml: float = math.nan
    lv_sv_ml: float = math.nan
    lv_ef_percent: float = math.nan
    lv_mass_g: float = math.nan
    rv_edv_ml: float = math.nan
    rv_esv_ml: float = math.nan
    rv_sv_ml: float = math.nan
    rv_ef_percent: float = math.nan
