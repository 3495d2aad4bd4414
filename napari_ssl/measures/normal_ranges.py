"""Normal ranges of ventricular indices by sex, absolute or per square metre of body surface, each with its source.

A range is mean ± 1.96 SD of the healthy adults that were measured, which holds 95 % of a normal distribution. It is
computed here from the published mean and SD: papers print ranges under several definitions, which rounding makes
disagree. Nothing is scaled from one sex, age or convention to another; where no number could be verified there is no
range.

Sources
-------
`UK_BIOBANK`
    Petersen et al. 2017: 368 men and 432 women aged 45 to 74, healthy Caucasians, 1.5 T, short-axis SSFP cines drawn by
    hand, papillary muscles counted as cavity, as in the reference contours of ACDC, M&Ms and UK Biobank. Its means and
    SD by sex, Table 12 (EF and mass per m² in the abstract, too). Its right ventricle and its end-diastolic and
    end-systolic volumes per m² could not be verified and are left out.
`HUDSMITH`
    Hudsmith et al. 2005: 63 men and 45 women aged 21 to 68, 1.5 T, short-axis SSFP; volumes of the right ventricle as
    in its abstract. Its left ventricle is not used: it counts papillary muscles as mass.

Kawel-Boehm et al. (J Cardiovasc Magn Reson 2020;22:87) pool these and further studies; its tables could not be verified
and no number of it stands here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from napari_ssl.core.curve import ClinicalIndices

__all__ = ["HUDSMITH", "NORMAL_RANGES", "UK_BIOBANK", "NormalRange", "Position", "Source", "indexed", "normal_range"]

_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where numbers come from, and whom they were measured on."""

    citation: str
    people: str


UK_BIOBANK = Source(
    citation="Petersen et al., J Cardiovasc Magn Reson 2017;19:18, Table 12 (doi 10.1186/s12968-017-0327-9)",
    people="healthy Caucasians of UK Biobank aged 45–74, papillary muscles counted as cavity",
)
HUDSMITH = Source(
    citation="Hudsmith et al., J Cardiovasc Magn Reson 2005;7:775–782 (doi 10.1080/10976640500295516)",
    people="healthy volunteers aged 21–68",
)


class Position(StrEnum):
    """Where a value lies."""

    BELOW = "below"
    WITHIN = "within"
    ABOVE = "above"


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalRange:
    """Mean and SD of an index in healthy people of one sex.

    Parameters
    ----------
    index : str
        Field of `ClinicalIndices`.
    sex : {"F", "M"}
    mean, sd : float
        In the index's unit, per m² of body surface when `per_m2`.
    n : int
        People measured.
    """

    index: str
    sex: str
    mean: float
    sd: float
    n: int
    source: Source
    per_m2: bool = False

    @property
    def low(self) -> float:
        """Lower end, mean − 1.96 SD."""
        return self.mean - _Z * self.sd

    @property
    def high(self) -> float:
        """Upper end, mean + 1.96 SD."""
        return self.mean + _Z * self.sd

    def position(self, value: float) -> Position | None:
        """Return where a value lies; None for NaN. The ends belong to the range."""
        if not math.isfinite(value):
            return None
        return Position.BELOW if value < self.low else Position.ABOVE if value > self.high else Position.WITHIN

    def text(self) -> str:
        """Return the range rounded to whole units, e.g. ``"103–229"``."""
        return f"{self.low:.0f}–{self.high:.0f}"

    def explanation(self, unit: str) -> str:
        """Say whose range this is and where it was published."""
        people = "women" if self.sex == "F" else "men"
        per = f"{unit}/m²" if self.per_m2 else unit
        return (
            f"Normal for {people}: {self.text()} {per} (mean {self.mean:g} ± 1.96 · {self.sd:g}; {self.n} "
            f"{self.source.people}). {self.source.citation}"
        )


def _pairs(source: Source, n: tuple[int, int], rows: Mapping[str, tuple], *, per_m2: bool = False) -> list[NormalRange]:
    """Write one row a paper's way, men first: index → (mean, SD of men, mean, SD of women)."""
    return [
        NormalRange(index=index, sex=sex, mean=values[i], sd=values[i + 1], n=count, source=source, per_m2=per_m2)
        for index, values in rows.items()
        for sex, count, i in (("M", n[0], 0), ("F", n[1], 2))
    ]


NORMAL_RANGES: tuple[NormalRange, ...] = (
    *_pairs(
        UK_BIOBANK,
        (368, 432),
        {
            "lv_edv_ml": (166.0, 32.0, 124.0, 21.0),
            "lv_esv_ml": (69.0, 16.0, 49.0, 11.0),
            "lv_sv_ml": (96.0, 20.0, 75.0, 14.0),
            "lv_ef_percent": (58.0, 5.0, 61.0, 5.0),
        },
    ),
    *_pairs(
        UK_BIOBANK,
        (368, 432),
        {"lv_sv_ml": (49.0, 10.0, 45.0, 8.0), "lv_mass_g": (53.0, 9.0, 42.0, 7.0)},
        per_m2=True,
    ),
    *_pairs(
        HUDSMITH,
        (63, 45),
        {"rv_edv_ml": (190.0, 33.0, 148.0, 35.0), "rv_esv_ml": (78.0, 20.0, 56.0, 18.0)},
    ),
)
"""Every range that there is."""


def normal_range(index: str, sex: str | None, *, per_m2: bool = False) -> NormalRange | None:
    """Return the range of an index for a sex, None where the sex is unknown or no number could be verified.

    Raises
    ------
    ValueError
        `ClinicalIndices` has no such index.
    """
    if index not in ClinicalIndices.__dataclass_fields__:
        raise ValueError(f"no index {index!r}; there are {', '.join(ClinicalIndices.__dataclass_fields__)}")
    return next((r for r in NORMAL_RANGES if (r.index, r.sex, r.per_m2) == (index, sex, per_m2)), None)


def indexed(value: float, body_surface_area_m2: float | None) -> float:
    """Return a volume or mass per m² of body surface; NaN where the surface is unknown."""
    return value / body_surface_area_m2 if body_surface_area_m2 else math.nan
