"""DICOM: folders and files in any order, several series and patients; every stack of slices becomes a case.

The subject is the patient, under a keyed pseudonym (`io.identity`); the case is named after pseudonym, series and its
number: ``PABCDEFGHIJKL-K3QX-s12``. See `io.dicom` for how slices and phases are found and what is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_ssl.errors import ImageError
from napari_ssl.io.dicom.conversion import DicomConversion, body_of, conversion_of
from napari_ssl.io.dicom.facts import Skipped
from napari_ssl.io.dicom.folder import DicomFolder, files_below, index_files, is_dicom
from napari_ssl.io.dicom.grid import PHASE_ORDERS
from napari_ssl.io.dicom.stacks import Stack, stacks_of
from napari_ssl.io.layouts.item import ImportItem, sanitise_id
from napari_ssl.io.layouts.options import ScanOptions

__all__ = ["dicom_items", "holds_dicom", "index_dicom", "scan_dicom"]

_LOOKED_AT = 200


def scan_dicom(paths: str | Path | Sequence[str | Path], options: ScanOptions) -> list[ImportItem]:
    """List the stacks of slices in folders and files, reading no pixels.

    Returns
    -------
    list of ImportItem
        Of stacks that are refused too: their ``conversion.problem`` says why.

    Raises
    ------
    ImageError
        No DICOM image at all.
    """
    found = index_dicom(paths, options)
    return dicom_items(found, stacks_of(found.series, phases=options.phases), options)


def index_dicom(paths: str | Path | Sequence[str | Path], options: ScanOptions) -> DicomFolder:
    """Read the headers of all files; ImageError where none is a DICOM image."""
    if options.phases not in PHASE_ORDERS:
        raise ImageError(f"phases by {options.phases!r}: choose {' or '.join(PHASE_ORDERS)}")
    chosen = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    files = files_below(chosen)
    found = index_files(
        files,
        progress=options.progress,
        should_stop=options.should_stop,
        keep_identity=options.pseudonyms.keep_identity,
    )
    if not found.series:
        raise ImageError(
            f"{found.redaction.path(chosen[0])}: none of its {len(files)} files is a DICOM image "
            f"({'; '.join(found.notes()) or 'no file'}); choose the folder that the images were exported to"
        )
    return found


def holds_dicom(folder: Path) -> bool:
    """Tell from the first files of a folder whether it holds DICOM."""
    return any(is_dicom(path) for path in files_below([folder])[:_LOOKED_AT])


def dicom_items(found: DicomFolder, stacks: Sequence[Stack], options: ScanOptions) -> list[ImportItem]:
    """Make items of stacks."""
    items: list[ImportItem] = []
    taken: set[str] = set()
    keep_identity = options.pseudonyms.keep_identity
    damaged = [s for s in found.skipped if s.is_damaged]
    for number, stack in enumerate(_beside_damaged(s, damaged) for s in stacks):
        if number == 0:  # what was left out is told once
            stack = replace(stack, notes=(*stack.notes, *found.notes()))
        conversion = conversion_of(stack, options.pseudonyms, found.redaction)
        subject, case = _names(conversion)
        while case in taken:
            case += "x"
        taken.add(case)
        items.append(
            ImportItem(
                subject_id=subject,
                case_id=case,
                image_path=stack.files[0].path,
                conversion=conversion,
                body=body_of(stack, keep_identity=keep_identity) if options.keep_body or keep_identity else None,
            )
        )
    return items


def _beside_damaged(stack: Stack, damaged: Sequence[Skipped]) -> Stack:
    """Refuse a stack that a damaged file lies beside: it may be a part of it."""
    folders = {f.path.parent for f in stack.files}
    beside = [s for s in damaged if s.path.parent in folders]
    if not beside:
        return stack
    names = ", ".join(f"{s.path.name} ({s.reason})" for s in beside[:8])
    problem = f"{len(beside)} damaged file(s) lie beside its images and may belong to it: {names}; copy them again, or "
    return replace(stack, grid=None, problems=(*stack.problems, problem + "move them away if they do not"))


def _names(conversion: DicomConversion) -> tuple[str, str]:
    first = conversion.stack.files[0]
    pseudonyms = conversion.pseudonyms
    subject = (
        sanitise_id(first.patient.identifier) if pseudonyms.keep_identity else pseudonyms.subject(first.patient.key)
    )
    number = "" if first.series_number is None else f"-s{abs(first.series_number)}"
    part = f"-{conversion.stack.part}" if conversion.stack.part else ""
    return subject, f"{subject[:60]}-{pseudonyms.short('series', first.series)}{number}{part}"
