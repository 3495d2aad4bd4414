"""UK Biobank cardiac magnetic resonance as ukbb_cardiac keeps it: one folder per participant.

``1234567/sa.nii.gz`` is the short-axis cine, ``label_sa.nii.gz`` its labels, or ``label_sa_ED.nii.gz`` and
``label_sa_ES.nii.gz`` those of the two phases, which are pictures of their own beside it (``sa_ED.nii.gz``,
``sa_ES.nii.gz``). ``ao.nii.gz`` is the aortic cine with ``label_ao.nii.gz``. Outputs of networks (``seg_*``) are left
alone.

Which frame of the cine a phase is, is not written anywhere: it is the frame whose pixels equal those of ``sa_ED`` or
``sa_ES``; the import stores it as the case's end-diastole or end-systole. Without these pictures labels of end-diastole
are of the first frame, as ukbb_cardiac has it, and labels of end-systole are refused.

Source: W. Bai et al., JCMR 20:65, 2018; https://github.com/baiwenjia/ukbb_cardiac.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_order import LabelProposal
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import ImageError, LabelError
from napari_ssl.io.labels import check_grid, read_labels
from napari_ssl.io.layouts.item import ImportItem, sanitise_id, split_of_folder
from napari_ssl.io.phases import frames_of_picture
from napari_ssl.io.reading import read_image

__all__ = ["AORTA", "SHORT_AXIS", "PhaseLabels", "participant_folders", "scan_ukbb", "scan_ukbb_aorta"]

SHORT_AXIS, AORTA = "sa", "ao"
_SOURCE = "UK Biobank (ukbb_cardiac, Bai et al., JCMR 2018)"
_PROPOSALS = {
    SHORT_AXIS: LabelProposal.of_scheme(PRESETS["ukbb"], _SOURCE),
    AORTA: LabelProposal(meanings=((1, "Ascending aorta"), (2, "Descending aorta")), source=_SOURCE),
}
_PHASES = ("ED", "ES")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseLabels:
    """Labels of single phases, laid on the frames whose pixels they were drawn on; see `io.conversion.Drawn`.

    Parameters
    ----------
    cine : Path
    phases : tuple of (name, labels, picture or None)
        The picture is the phase's own image file.
    """

    cine: Path
    phases: tuple[tuple[str, Path, Path | None], ...]

    @property
    def shown(self) -> str:
        """What messages call them."""
        return str(self.phases[0][1])

    def labels(self, shape_tzyx: tuple[int, int, int, int]) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
        """Return ``(T, Z, Y, X)`` labels as in the files and their frames.

        Raises
        ------
        LabelError
            A phase's picture equals no frame or several, or end-systole has no picture.
        """
        data = read_image(self.cine).data
        labels = np.zeros(shape_tzyx, np.uint8)
        frames = []
        for name, path, picture in self.phases:
            check_grid(path, self.cine)
            frame = self._frame(name, path, picture, data)
            labels[frame] = read_labels(path, expected_shape_tzyx=(1, *shape_tzyx[1:]))[0]
            frames.append(frame)
        return labels, tuple(sorted(set(frames)))

    def _frame(self, name: str, path: Path, picture: Path | None, data: NDArray[np.generic]) -> int:
        if picture is None:
            if name == "ED":
                return 0
            raise LabelError(
                f"{path}: labels end-systole, and {SHORT_AXIS}_{name}.nii.gz, which tells its frame, is not beside it; "
                f"add that file, or label the whole cine (label_{SHORT_AXIS}.nii.gz)"
            )
        equal = frames_of_picture(picture, data)
        if len(equal) != 1:
            raise LabelError(
                f"{picture}: equals {len(equal)} frames of {self.cine.name} {equal}, exactly one is needed to know "
                "which frame its labels are of; bring the files of one version together"
            )
        return equal[0]


def participant_folders(folder: Path, view: str) -> list[Path]:
    """Return the folders, at most two levels down, that hold a cine of the view or its phases, in order."""
    names = (f"{view}.nii.gz", f"{view}_ED.nii.gz", f"{view}_ES.nii.gz")
    children = [c for c in sorted(folder.iterdir()) if c.is_dir() and not c.name.startswith(".")]
    candidates = [folder, *children, *(g for c in children for g in sorted(c.iterdir()) if g.is_dir())]
    return sorted(c for c in candidates if any((c / n).is_file() for n in names))


def scan_ukbb(folder: str | Path) -> list[ImportItem]:
    """List the short-axis cines; ImageError where there is none."""
    return _scan(Path(folder), SHORT_AXIS)


def scan_ukbb_aorta(folder: str | Path) -> list[ImportItem]:
    """List the aortic cines; ImageError where there is none."""
    return _scan(Path(folder), AORTA)


def _scan(folder: Path, view: str) -> list[ImportItem]:
    folder = folder.resolve()
    folders = participant_folders(folder, view)
    if not folders:
        raise ImageError(
            f"{folder}: no participant's folder with {view}.nii.gz was found; choose the folder that holds the "
            "participants' folders, or another layout"
        )
    items: list[ImportItem] = []
    seen: dict[str, Path] = {}
    all_parents = {f.parent.name for f in folders}
    for one in folders:
        if one.name in seen:
            raise ImageError(f"{one}: participant {one.name} is also in {seen[one.name]}; rename one of the two")
        seen[one.name] = one
        items.extend(_items(one, view, split_of_folder([one.parent.name], all_parents)))
    return items


def _items(folder: Path, view: str, split: object) -> list[ImportItem]:
    subject = sanitise_id(folder.name)
    common = {"subject_id": subject, "split": split, "label_proposal": _PROPOSALS[view]}
    cine, labels = folder / f"{view}.nii.gz", folder / f"label_{view}.nii.gz"
    pictures = {p: folder / f"{view}_{p}.nii.gz" for p in _PHASES}
    stills = {p: folder / f"label_{view}_{p}.nii.gz" for p in _PHASES}
    if not cine.is_file():
        return [
            ImportItem(
                case_id=f"{subject}_{view}_{phase}",
                image_path=picture,
                label_paths=((None, stills[phase]),) if stills[phase].is_file() else (),
                ed_frame=0 if phase == "ED" else None,
                es_frame=0 if phase == "ES" else None,
                **common,
            )
            for phase, picture in pictures.items()
            if picture.is_file()
        ]
    phases = tuple(
        (p, stills[p], pictures[p] if pictures[p].is_file() else None) for p in _PHASES if stills[p].is_file()
    )
    whole = labels.is_file()
    return [
        ImportItem(
            case_id=f"{subject}_{view}",
            image_path=cine,
            label_paths=((None, labels),) if whole else (),
            drawn=PhaseLabels(cine=cine, phases=phases) if phases and not whole else None,
            ed_frame=0 if stills["ED"].is_file() and not pictures["ED"].is_file() else None,
            phase_pictures=tuple((p, picture) for p, picture in pictures.items() if picture.is_file()),
            **common,
        )
    ]
