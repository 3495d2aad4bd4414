"""The ACDC layout: one folder per subject, the whole cycle and the labelled frames in it.

``patient012/patient012_4d.nii.gz``, ``patient012_frame01.nii.gz``, ``patient012_frame01_gt.nii.gz`` and ``Info.cfg``
(``ED: 1``, ``ES: 13``, ``Group: DCM``). Frames in names and in ``Info.cfg`` count from 1. A ``cases.csv`` beside the
subject folders (columns patient, group, split, ed_frame, es_frame; all but the first may be absent) adds what
``Info.cfg`` does not say, and the splits.

Where a subject has no 4D file, each frame becomes a case of its own, of the same subject.

Source: O. Bernard et al., IEEE TMI 37(11), 2018; https://www.creatis.insa-lyon.fr/Challenge/acdc/.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from napari_ssl.core.case import Split
from napari_ssl.core.label_order import LabelProposal
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import ImageError
from napari_ssl.io.layouts.item import ImportItem, parse_split, sanitise_id, split_of_folder

__all__ = ["CASES_FILE", "PROPOSAL", "case_table", "scan_acdc", "subject_folders"]

CASES_FILE = "cases.csv"

PROPOSAL = LabelProposal.of_scheme(PRESETS["acdc"], "ACDC (Bernard et al., IEEE TMI 2018)")

_SUFFIX = r"\.nii(?:\.gz)?"


def subject_folders(folder: Path) -> list[Path]:
    """Return the folders, at most two levels down, whose image files are named after the folder, in order."""
    found = []
    for candidate in _folders(folder, depth=2):
        pattern = re.compile(rf"{re.escape(candidate.name)}_(4d|frame\d+){_SUFFIX}", re.IGNORECASE)
        if any(pattern.fullmatch(path.name) for path in candidate.iterdir()):
            found.append(candidate)
    return found


def case_table(folder: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the folder's ``cases.csv`` by subject; empty where there is no such file.

    Raises
    ------
    ImageError
        The file has no column "patient".
    """
    path = folder / CASES_FILE
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [{(k or "").strip(): (v or "").strip() for k, v in row.items() if k} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{path}: cannot be read ({error}); save it as CSV in UTF-8") from error
    if any("patient" not in row for row in rows):
        raise ImageError(
            f"{path}: has no column 'patient'; add one with the names of the subject folders, or remove it"
        )
    return {row["patient"]: row for row in rows}


def scan_acdc(folder: str | Path) -> list[ImportItem]:
    """List the cases of a folder in the ACDC layout, by subject.

    Raises
    ------
    ImageError
        No subject folder, a subject twice, an ``Info.cfg`` or ``cases.csv`` that cannot be read, or labels without an
        image.
    """
    folder = Path(folder).resolve()
    folders = subject_folders(folder)
    if not folders:
        raise ImageError(
            f"{folder}: no subject folder in the ACDC layout (e.g. patient001/patient001_4d.nii.gz) was found; "
            "choose the folder that holds the subject folders, or another layout"
        )
    items: list[ImportItem] = []
    seen: dict[str, Path] = {}
    parents = {f.parent.name for f in folders if f.parent != folder}
    tables = {parent: case_table(parent) for parent in {f.parent for f in folders}}
    for subject_folder in folders:
        subject = sanitise_id(subject_folder.name)
        if subject in seen:
            raise ImageError(f"{subject_folder}: subject {subject} is also in {seen[subject]}; rename one of the two")
        seen[subject] = subject_folder
        facts = _facts(subject_folder, tables[subject_folder.parent])
        if facts.split is None and subject_folder.parent != folder:
            facts = replace(facts, split=split_of_folder([subject_folder.parent.name], parents))
        items.extend(_subject_items(subject_folder, subject, facts))
    return items


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What ``Info.cfg`` and ``cases.csv`` say about a subject; frames 0-based."""

    ed: int | None
    es: int | None
    group: str | None
    split: Split | None


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    if not folder.is_dir():
        return
    yield folder
    if depth:
        for child in sorted(folder.iterdir()):
            if child.is_dir() and not child.name.startswith("."):
                yield from _folders(child, depth - 1)


def _facts(subject_folder: Path, table: Mapping[str, Mapping[str, str]]) -> _Facts:
    info = _read_info(subject_folder / "Info.cfg")
    row = table.get(subject_folder.name, {})
    where = f"{subject_folder.parent / CASES_FILE} (patient {subject_folder.name})"
    return _Facts(
        ed=_frame(info.get("ED") or row.get("ed_frame"), f"{subject_folder}: ED frame"),
        es=_frame(info.get("ES") or row.get("es_frame"), f"{subject_folder}: ES frame"),
        group=info.get("Group") or row.get("group") or None,
        split=parse_split(row.get("split", ""), where),
    )


def _read_info(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{path}: cannot be read ({error}); correct or remove it") from error
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _frame(text: str | None, where: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ImageError(f"{where} is {text!r}; it must be a whole number that counts from 1; correct the file")
    return int(text) - 1


def _subject_items(folder: Path, subject: str, facts: _Facts) -> list[ImportItem]:
    images, labels = _frame_files(folder, ""), _frame_files(folder, "_gt")
    cine, cine_labels = (_single(folder, f"{folder.name}_4d{kind}") for kind in ("", "_gt"))
    common = {"subject_id": subject, "group": facts.group, "split": facts.split, "label_proposal": PROPOSAL}
    if cine is not None:
        return [
            ImportItem(
                case_id=subject,
                image_path=cine,
                label_paths=((None, cine_labels),) if cine_labels else tuple(sorted(labels.items())),
                ed_frame=facts.ed,
                es_frame=facts.es,
                **common,
            )
        ]
    alone = sorted(set(labels) - set(images))
    if alone:
        raise ImageError(
            f"{labels[alone[0]]}: there is no image of this frame beside it; add the image or move the labels"
        )
    return [
        ImportItem(
            case_id=sanitise_id(path.name.partition(".")[0]),
            image_path=path,
            label_paths=((None, labels[frame]),) if frame in labels else (),
            ed_frame=0 if frame == facts.ed else None,
            es_frame=0 if frame == facts.es else None,
            **common,
        )
        for frame, path in sorted(images.items())
    ]


def _frame_files(folder: Path, kind: str) -> dict[int, Path]:
    """Return the files ``<folder>_frameTT<kind>`` by 0-based frame."""
    pattern = re.compile(rf"{re.escape(folder.name)}_frame(\d+){kind}{_SUFFIX}", re.IGNORECASE)
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        match = pattern.fullmatch(path.name)
        if match is None:
            continue
        frame = int(match.group(1)) - 1
        if frame < 0:
            raise ImageError(f"{path}: frames count from 1 in this layout, got 0; rename the file")
        if frame in found:
            raise ImageError(f"{path}: frame {frame + 1} is also in {found[frame].name}; remove one of the two")
        found[frame] = path
    return found


def _single(folder: Path, stem: str) -> Path | None:
    return next((p for p in (folder / f"{stem}.nii.gz", folder / f"{stem}.nii") if p.is_file()), None)
