"""What a rule found in a segmentation, and the limits of the rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from napari_ssl.core.parameters import describe, parameter, validate
from napari_ssl.errors import CatalogueError

__all__ = ["Flag", "RuleLimits", "Severity"]

_ACDC = "above the 99th percentile of experts' labels: 49 patients of ACDC (Bernard, IEEE TMI 37:2514, 2018)"


class Severity(StrEnum):
    """How sure a rule is."""

    IMPOSSIBLE = "impossible"
    """No heart looks like this: the labels are wrong."""
    IMPLAUSIBLE = "implausible"
    """Rare in hearts, common in wrong labels: look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One broken rule.

    Parameters
    ----------
    rule : str
        Name in `napari_ssl.measures.rules.RULES`.
    severity : Severity
    value, limit : float
        What was measured and what it may be at most (at least, where `value` lies below `limit`).
    unit : str
    frames, slices : tuple of int
        At fault, 0-based; empty means all.
    message : str
        One sentence for a reader; counts frames and slices from 0, as the window does.
    source : str
        Where the limit comes from.
    """

    rule: str
    severity: Severity
    value: float
    limit: float
    unit: str
    frames: tuple[int, ...] = ()
    slices: tuple[int, ...] = ()
    message: str
    source: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "severity", Severity(self.severity))
        for name in ("value", "limit"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("frames", "slices"):
            object.__setattr__(self, name, tuple(sorted({int(i) for i in getattr(self, name)})))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        document = dataclasses.asdict(self)
        return {**document, "severity": self.severity.value, "frames": list(self.frames), "slices": list(self.slices)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Flag:
        """Read what `to_dict` wrote."""
        return cls(**document)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLimits:
    """Limits of the rules; a study may set its own under ``[rules]`` in ``study.toml``."""

    mass_variation_percent: float = parameter(
        35.0,
        "Myocardial volume may vary over the cycle by",
        unit="%",
        low=1.0,
        high=500.0,
        source="muscle loses 4 to 10 % of its volume in systole (Ashikaga, AJP Heart 295:H610, 2008); readers differ "
        "by 20 to 35 g (Suinesiaputra, JCMR 17:63, 2015); " + _ACDC,
    )
    stroke_volume_percent: float = parameter(
        60.0,
        "LV and RV stroke volume may differ by",
        unit="% of the larger",
        low=1.0,
        high=100.0,
        source="ratio 0.97 ± 0.06 in health (Sechtem, Radiology 163:697, 1987); widened to regurgitation, shunts and "
        "stacks that miss the base",
    )
    ef_low_percent: float = parameter(
        5.0,
        "Ejection fraction is at least",
        unit="%",
        low=-100.0,
        high=100.0,
        source="health 48 to 70 % (Petersen, JCMR 19:18, 2017: 58 ± 5 men, 61 ± 5 women), widened to heart failure",
    )
    ef_high_percent: float = parameter(
        85.0,
        "Ejection fraction is at most",
        unit="%",
        low=0.0,
        high=100.0,
        source="as the lower limit, widened to hypertrophy",
    )
    jump_percent: float = parameter(
        12.0,
        "A frame may leave the line between its neighbours by",
        unit="% of the largest volume",
        low=1.0,
        high=100.0,
        source="filling by 56 % of EDV (70 % of an EF of 80 %) within a quarter of the cycle bends a curve of 20 "
        "frames by 7 %; widened; grows as (20 / frames)² below 20 frames",
    )
    systole_low: float = parameter(
        0.15,
        "End-systole follows end-diastole after at least",
        unit="of the cycle",
        low=0.0,
        high=1.0,
        source="systole takes 541 − 2.2 · heart rate ms (Chest 80:613, 1981): 0.36 of the cycle at 50 beats a minute, "
        "0.53 at 100; widened by the distance of frames and by disease",
    )
    systole_high: float = parameter(
        0.65, "and after at most", unit="of the cycle", low=0.0, high=1.0, source="as the lower limit"
    )
    island_mm2: float = parameter(
        15.0, "A detached part of a structure is at most", unit="mm² in a slice", low=0.0, high=1e4, source=_ACDC
    )
    hole_mm2: float = parameter(
        10.0, "A hole in the myocardium is at most", unit="mm²", low=0.0, high=1e4, source=_ACDC
    )
    contact_mm: float = parameter(
        5.0, "RV and LV cavity may touch over at most", unit="mm in a slice", low=0.0, high=1e3, source=_ACDC
    )
    open_percent: float = parameter(
        10.0,
        "Of the outline of the LV cavity at mid-ventricle may be without myocardium",
        unit="%",
        low=0.0,
        high=100.0,
        source=_ACDC,
    )

    def changed(self) -> dict[str, float]:
        """Return the limits that differ from the defaults."""
        return {i.name: getattr(self, i.name) for i in describe(type(self)) if getattr(self, i.name) != i.default}

    def __post_init__(self) -> None:
        validate(self)
        for low, high in (("ef_low_percent", "ef_high_percent"), ("systole_low", "systole_high")):
            if getattr(self, low) >= getattr(self, high):
                raise CatalogueError(
                    f"parameter {low!r} must be below {high!r}, got {getattr(self, low):g} and {getattr(self, high):g}"
                )
