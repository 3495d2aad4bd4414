"""M&Ms, the multi-centre, multi-vendor challenge: a table of all subjects, a folder for each.

``Training/Labeled/A0S9V9/A0S9V9_sa.nii.gz`` with ``A0S9V9_sa_gt.nii.gz`` (labels on ED and ES only), and a table
``*Dataset_information*.csv`` with the columns External code, Vendor, Centre, ED, ES (counted from 0), Sex, Height (cm)
and Weight (kg). The vendor becomes the group. ``Validation`` and ``Testing`` are splits; ``Training`` leaves it to you.

Source: V. Campello et al., IEEE TMI 40(12), 2021; https://www.ub.edu/mnms/. Labels: 1 LV, 2 Myo, 3 RV.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from napari_ssl.core.label_order import LabelProposal
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import ImageError
from napari_ssl.io.conversion import Body
from napari_ssl.io.layouts.item import ImportItem, sanitise_id, split_of_folder

__all__ = ["PROPOSAL", "scan_mnms", "subject_files", "table_file"]

PROPOSAL = LabelProposal.of_scheme(PRESETS["mnms"], "M&Ms (Campello et al., IEEE TMI 2021)")

_IMAGE = re.compile(r"(.+)_sa\.nii(?:\.gz)?", re.IGNORECASE)


def table_file(folder: Path) -> Path | None:
    """Return the table of subjects, in the folder or the one above it."""
    for place in (folder, folder.parent):
        for path in sorted(place.glob("*.csv")):
            if "dataset_information" in path.name.lower():
                return path
    return None


def subject_files(folder: Path) -> dict[str, Path]:
    """Return the cines by subject: files ``CODE/CODE_sa.nii.gz``; ImageError where a subject is there twice."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*_sa.nii*")):
        match = _IMAGE.fullmatch(path.name)
        if match is None or path.parent.name != match.group(1):
            continue
        if match.group(1) in found:
            raise ImageError(f"{path}: subject {match.group(1)} is also {found[match.group(1)]}; remove one of the two")
        found[match.group(1)] = path
    return found


def scan_mnms(folder: str | Path) -> list[ImportItem]:
    """List the subjects.

    Raises
    ------
    ImageError
        No subject, no table, a subject that the table does not name, or a frame in it that is no number from 0.
    """
    folder = Path(folder).resolve()
    files = subject_files(folder)
    if not files:
        raise ImageError(
            f"{folder}: no file CODE/CODE_sa.nii.gz was found; choose the folder of M&Ms, or another layout"
        )
    path = table_file(folder)
    if path is None:
        raise ImageError(
            f"{folder}: the table of subjects (*Dataset_information*.csv) is not in it or above it; put it there: only "
            "it tells which frames are ED and ES"
        )
    rows = _table(path)
    parents = {part for p in files.values() for part in p.relative_to(folder).parts[:-2]}
    items = []
    for code, image in files.items():
        if code not in rows:
            raise ImageError(f"{path}: has no row for subject {code} ({image}); complete the table or move the folder")
        row = rows[code]
        labels = next(
            (p for p in (image.with_name(f"{code}_sa_gt{s}") for s in (".nii.gz", ".nii")) if p.is_file()), None
        )
        items.append(
            ImportItem(
                subject_id=sanitise_id(code),
                case_id=sanitise_id(code),
                image_path=image,
                label_paths=((None, labels),) if labels else (),
                ed_frame=_frame(row, "ED", path, code),
                es_frame=_frame(row, "ES", path, code),
                group=row.get("VendorName") or row.get("Vendor") or None,
                split=split_of_folder(image.relative_to(folder).parts[:-2], parents),
                label_proposal=PROPOSAL,
                body=_body(row),
            )
        )
    return items


def _table(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [
                {(k or "").strip(): (v or "").strip() for k, v in r.items() if isinstance(v, str)}
                for r in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{path}: cannot be read ({error}); save it as CSV in UTF-8") from error
    if not rows or any("External code" not in row for row in rows):
        raise ImageError(f"{path}: has no column 'External code'; it is not the table of M&Ms")
    return {row["External code"]: row for row in rows}


def _frame(row: dict[str, str], name: str, path: Path, code: str) -> int | None:
    text = row.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"\d{1,4}(?:\.0)?", text):
        raise ImageError(f"{path}: {name} of subject {code} is {text!r}; it must be a frame, counted from 0")
    return int(float(text))


def _body(row: dict[str, str]) -> Body:
    def measured(name: str, low: float, high: float) -> float | None:
        try:
            value = float(row.get(name, ""))
        except ValueError:
            return None
        return value if low <= value <= high else None

    sex = row.get("Sex", "").upper()[:1]
    return Body(
        sex=sex if sex in ("F", "M") else None,
        height_cm=measured("Height", 20, 260),
        weight_kg=measured("Weight", 0.3, 500),
    )
