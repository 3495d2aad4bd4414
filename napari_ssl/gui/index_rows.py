"""The table of clinical indices as rows: absolute, per m² of body surface, and the normal range. Free of Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_ssl.core.curve import ClinicalIndices
from napari_ssl.core.subject import Subject
from napari_ssl.measures.normal_ranges import NormalRange, Position, indexed, normal_range

__all__ = ["IndexCell", "index_rows", "number"]

_CARDIAC_ROWS = (
    ("EDV", "ml", "lv_edv_ml", "rv_edv_ml", "End-diastolic volume"),
    ("ESV", "ml", "lv_esv_ml", "rv_esv_ml", "End-systolic volume"),
    ("SV", "ml", "lv_sv_ml", "rv_sv_ml", "Stroke volume, EDV − ESV"),
    ("EF", "%", "lv_ef_percent", "rv_ef_percent", "Ejection fraction, 100 · SV / EDV"),
    ("Mass", "g", "lv_mass_g", None, "Myocardial mass at end-diastole, 1.05 g/ml"),
)
_ARROWS = {Position.BELOW: "↓ ", Position.ABOVE: "↑ "}


@dataclass(frozen=True, slots=True)
class IndexCell:
    """One cell: its text, what is said about it, whether it is outside the normal range, and whether it is one."""

    text: str
    tip: str = ""
    is_outside: bool = False
    is_range: bool = False


def number(value: float, unit: str) -> str:
    """Write a value with its unit; a dash for NaN."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.1f} {unit}" if unit == "%" or abs(value) < 10 else f"{value:.0f} {unit}"


def _ranges(field: str, sex: str | None) -> tuple[NormalRange | None, NormalRange | None]:
    return normal_range(field, sex), normal_range(field, sex, per_m2=True)


def _told(value: float, found: NormalRange | None, unit: str) -> tuple[str, bool, str]:
    """Return arrow, whether the value is outside, and the range with its source."""
    if found is None:
        return "", False, ""
    position = found.position(value)
    outside = position in _ARROWS
    return _ARROWS.get(position, ""), outside, found.explanation(unit)


def _cells(value: float, field: str, unit: str, tip: str, subject: Subject | None, narrow: bool) -> list[IndexCell]:
    """One ventricle's cells of a row: value, value per m² when the surface is known, normal range when the sex is."""
    written = number(value, unit).removesuffix(f" {unit}") if narrow else number(value, unit)
    sex = subject.sex if subject else None
    surface = subject.body_surface_area_m2 if subject else None
    absolute, per_m2 = _ranges(field, sex)
    arrow, outside, source = _told(value, absolute, unit)
    lines = [tip, source or _why_no_range(sex, per_m2)]
    cells = [IndexCell(f"{arrow}{written}", "\n".join(line for line in lines if line), outside)]
    if surface:
        small = indexed(value, surface)
        arrow, outside, source = _told(small, per_m2, unit)
        text = "" if unit == "%" else f"{arrow}{small:.0f}" if math.isfinite(small) else "–"
        said = f"{tip}, per m² of body surface ({surface:.2f} m², Mosteller)"
        cells.append(IndexCell(text, f"{said}\n{source}" if source else said, outside))
    if sex:
        shown = absolute or (per_m2 if surface else None)
        per = "/m²" if shown is not None and shown.per_m2 else ""
        text = f"{shown.text()}{per}" if shown else "–"
        said = shown.explanation(unit) if shown else _why_no_range(sex, per_m2)
        cells.append(IndexCell(text, said, is_range=True))
    return cells


def _why_no_range(sex: str | None, per_m2: NormalRange | None) -> str:
    if sex is None:
        return "With the subject's sex, height and weight normal ranges are shown here."
    if per_m2 is not None:
        return "A normal range is known per m² of body surface: enter height and weight."
    return "No normal range whose numbers could be verified."


def index_rows(
    indices: ClinicalIndices,
    names: tuple[str | None, str | None],
    subject: Subject | None = None,
    *,
    narrow: bool = False,
) -> list[list[IndexCell]]:
    """Return the rows of the table, the heading first.

    Parameters
    ----------
    names : (str or None, str or None)
        The LV's and RV's names in the scheme, None where there is none.
    subject : Subject, optional
        With a sex normal ranges are marked, with height and weight values are given per m², too.
    narrow : bool
        Where there is little room, units stand in the first column.
    """
    shown = [name for name in names if name is not None]
    more = ["/m²"] if subject and subject.body_surface_area_m2 else []
    more += ["normal"] if subject and subject.sex else []
    rows = [[IndexCell(""), *(IndexCell(text) for name in shown for text in (name, *more))]]
    for title, unit, lv, rv, tip in _CARDIAC_ROWS:
        row = [IndexCell(f"{title} {unit}" if narrow else title, tip)]
        for name, field in zip(names, (lv, rv), strict=True):
            if name is not None:
                value = getattr(indices, field) if field else math.nan
                row += _cells(value, field, unit, tip, subject, narrow) if field else [IndexCell("")] * (1 + len(more))
        rows.append(row)
    return rows
