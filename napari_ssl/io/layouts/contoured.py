"""DICOM with contours that other programs drew: Sunnybrook text files, cvi42 workspaces.

**Sunnybrook**: below a subject's folder lie the DICOM images and the contours (``IM-0001-0059-icontour-manual.txt``),
whose number is the InstanceNumber of the picture in the short-axis cine.

**cvi42**: ``.cvi42wsx`` files anywhere among the DICOM folders; contours belong to the picture of their SOPInstanceUID.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_ssl.errors import ImageError, LabelError
from napari_ssl.io.contours import cvi42, sunnybrook
from napari_ssl.io.contours.filling import CONTOUR_PROPOSAL, Contour, ContourLabels
from napari_ssl.io.dicom.stacks import stacks_of
from napari_ssl.io.layouts.dicom import dicom_items, index_dicom
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.io.layouts.options import ScanOptions

__all__ = ["cvi42_files", "scan_cvi42", "scan_sunnybrook", "sunnybrook_folders"]


def cvi42_files(folder: Path) -> list[Path]:
    """Return the workspaces below a folder."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in cvi42.SUFFIXES and p.is_file())


def scan_cvi42(folder: str | Path, options: ScanOptions) -> list[ImportItem]:
    """List the stacks of a folder with the contours of its workspaces.

    Raises
    ------
    ImageError
        No DICOM image, or no workspace.
    LabelError
        A workspace that cannot be read, or contours of which no picture is there.
    """
    folder = Path(folder).resolve()
    files = cvi42_files(folder)
    if not files:
        raise ImageError(f"{folder}: holds no .cvi42wsx file; export the workspace as XML, or choose the layout dicom")
    found = index_dicom(folder, options)
    items = dicom_items(found, stacks_of(found.series, phases=options.phases), options)
    try:
        contours = _by_uid(files)
    except LabelError as error:  # workspaces are named after patients
        raise LabelError(found.redaction.text(str(error))) from None
    taken: set[str] = set()
    result = [_with_uids(item, contours, taken) for item in items]
    if not taken:
        shown = found.redaction.path(files[0])
        raise LabelError(
            f"{shown}: none of its {len(contours)} contoured pictures is among the DICOM images here; choose "
            "the folder with the images that the contours were drawn on"
        )
    return result


def _by_uid(files: Sequence[Path]) -> dict[str, list[Contour]]:
    contours: dict[str, list[Contour]] = {}
    for path in files:
        for uid, drawn in cvi42.read_cvi42(path).items():
            if uid in contours:
                raise LabelError(
                    f"{path}: has contours of a picture that {contours[uid][0].where} has too; keep one file"
                )
            contours[uid] = drawn
    return contours


def _with_uids(item: ImportItem, contours: dict[str, list[Contour]], taken: set[str]) -> ImportItem:
    if item.conversion.problem:
        return item
    placed = {}
    for uid, places in item.conversion.places().items():
        if uid in contours and len(places) == 1:  # of a multi-frame file nobody knows the frame
            placed[places[0][:2]] = contours[uid]
            taken.add(uid)
    return _drawn(item, placed, CONTOUR_PROPOSAL)


def sunnybrook_folders(folder: Path) -> list[Path]:
    """Return the folders ``contours-manual`` below a folder, one per subject and reader."""
    return sorted(p for p in folder.rglob("contours-manual") if p.is_dir())


def scan_sunnybrook(folder: str | Path, options: ScanOptions) -> list[ImportItem]:
    """List the short-axis cines of a folder with their contours; stacks that have none are left out.

    Raises
    ------
    ImageError
        No contours, no DICOM image beside them, or several cines that the contours may belong to.
    LabelError
        A contour that cannot be read, or of a picture that is not there.
    """
    folder = Path(folder).resolve()
    subjects = _subject_folders(folder)
    if not subjects:
        raise ImageError(f"{folder}: holds no folder contours-manual; choose the folder of the Sunnybrook data")
    items = []
    for subject, contours in subjects:
        found = index_dicom(subject, options)
        stacks = dicom_items(found, stacks_of(found.series, phases=options.phases), options)
        try:
            items.append(_with_numbers(stacks, contours, subject))
        except (ImageError, LabelError) as error:
            raise type(error)(found.redaction.text(str(error))) from None
    return items


def _subject_folders(folder: Path) -> list[tuple[Path, Path]]:
    """Return the subjects: the highest folder above each set of contours that holds no other's."""
    contours = sunnybrook_folders(folder)
    result = []
    for one in contours:
        others = [c for c in contours if c != one]
        subject = one.parent
        while subject != folder and not any(o.is_relative_to(subject.parent) for o in others):
            subject = subject.parent
        result.append((subject, one))
    return result


def _with_numbers(stacks: Sequence[ImportItem], folder: Path, subject: Path) -> ImportItem:
    files = sunnybrook.contour_files(folder)
    numbers = {number for number, _ in files}
    if not numbers:
        raise ImageError(f"{folder}: holds no contour IM-NNNN-NNNN-icontour-manual.txt; choose another layout")
    fitting = []
    for item in stacks:
        if item.conversion.problem:
            continue
        pictures = item.conversion.stack.grid.pictures
        places = {p.instance: (t, z) for t, row in enumerate(pictures) for z, p in enumerate(row)}
        if numbers <= places.keys() and len(places) == sum(map(len, pictures)):
            fitting.append((item, places))
    refused = [i.conversion.problem for i in stacks if i.conversion.problem]
    if len(fitting) != 1:
        why = f"; refused: {refused[0]}" if refused else ""
        raise ImageError(
            f"{subject}: the contours of {folder.name} fit {len(fitting)} of its {len(stacks)} series by their numbers "
            f"({min(numbers)} to {max(numbers)}), exactly one is needed; put the short-axis cine alone beside them{why}"
        )
    item, places = fitting[0]
    placed: dict[tuple[int, int], list[Contour]] = {}
    for (number, kind), path in files.items():
        placed.setdefault(places[number], []).append(sunnybrook.read_contour(path, kind))
    return _drawn(item, placed, sunnybrook.PROPOSAL)


def _drawn(item: ImportItem, placed: dict[tuple[int, int], list[Contour]], proposal: object) -> ImportItem:
    if not placed:
        return item
    shown = next(iter(placed.values()))[0].where
    redaction = item.conversion.redaction
    for contours in placed.values():
        contours[:] = [replace(c, where=redaction.path(Path(c.where))) for c in contours]
    return replace(
        item,
        drawn=ContourLabels(shown=redaction.path(Path(shown)), contours=placed),
        label_proposal=proposal,
    )
