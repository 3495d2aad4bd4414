"""Folders of images as data sets are published; one file per layout.

**A layout in one file.** Write ``io/layouts/<name>.py`` with a function that takes a folder and returns `ImportItem`s
(identifiers, paths of images and labels, frames counted from 0, split, what the publisher says the label values mean)
and raises ImageError with file, value and remedy; name its source in the docstring. Add one `Layout` to `LAYOUTS` below
with a function that tells from the folder's names whether it fits, and an example of its folder to the contract test
(``tests/io/test_layouts.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from napari_ssl.errors import ImageError
from napari_ssl.io.layouts.acdc import CASES_FILE, scan_acdc, subject_folders
from napari_ssl.io.layouts.bids import is_bids, scan_bids
from napari_ssl.io.layouts.contoured import cvi42_files, scan_cvi42, scan_sunnybrook, sunnybrook_folders
from napari_ssl.io.layouts.dicom import holds_dicom, scan_dicom
from napari_ssl.io.layouts.files import scan_files
from napari_ssl.io.layouts.flare22 import flare_images, scan_flare22
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.io.layouts.mnms import scan_mnms, subject_files, table_file
from napari_ssl.io.layouts.msd import is_msd, scan_msd
from napari_ssl.io.layouts.nnunet import is_nnunet, scan_nnunet
from napari_ssl.io.layouts.options import ScanOptions
from napari_ssl.io.layouts.plain import image_files, scan_plain
from napari_ssl.io.layouts.promise12 import case_files, scan_promise12
from napari_ssl.io.layouts.ukbb import AORTA, SHORT_AXIS, participant_folders, scan_ukbb, scan_ukbb_aorta
from napari_ssl.io.reading import SUFFIXES

__all__ = ["LAYOUTS", "ImportItem", "Layout", "ScanOptions", "detect", "scan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way in which data sets are laid out.

    Parameters
    ----------
    title : str
        What people are shown.
    scan : callable
        Takes a folder (or files) and returns items; also a ScanOptions where `takes_options`.
    fits : callable or None
        Tells from names, at most from first bytes, whether a folder is of this layout; None: never chosen by itself.
    takes_options, takes_files : bool
    """

    title: str
    scan: Callable[..., list[ImportItem]]
    fits: Callable[[Path], bool] | None
    takes_options: bool = False
    takes_files: bool = False

    def __call__(self, source: Any, options: ScanOptions | None = None) -> list[ImportItem]:
        """List what `source` holds."""
        return self.scan(source, options or ScanOptions()) if self.takes_options else self.scan(source)


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "acdc": Layout(
            title="ACDC (patientNNN folders)", scan=scan_acdc, fits=lambda folder: bool(subject_folders(folder))
        ),
        "ukbb": Layout(
            title="UK Biobank, short axis (sa.nii.gz)",
            scan=scan_ukbb,
            fits=lambda folder: bool(participant_folders(folder, SHORT_AXIS)),
        ),
        "ukbb-aorta": Layout(
            title="UK Biobank, aorta (ao.nii.gz)",
            scan=scan_ukbb_aorta,
            fits=lambda folder: bool(participant_folders(folder, AORTA)),
        ),
        "mnms": Layout(
            title="M&Ms (table of subjects)",
            scan=scan_mnms,
            fits=lambda folder: table_file(folder) is not None and bool(subject_files(folder)),
        ),
        "nnunet": Layout(title="nnU-Net v2 raw", scan=scan_nnunet, fits=is_nnunet, takes_options=True),
        "msd": Layout(title="Medical Segmentation Decathlon", scan=scan_msd, fits=is_msd, takes_options=True),
        "flare22": Layout(title="FLARE22", scan=scan_flare22, fits=lambda folder: bool(flare_images(folder))),
        "promise12": Layout(
            title="PROMISE12 (CaseNN.mhd)", scan=scan_promise12, fits=lambda folder: bool(case_files(folder))
        ),
        "bids": Layout(title="BIDS (sub-XX folders)", scan=scan_bids, fits=is_bids),
        "sunnybrook": Layout(
            title="Sunnybrook (DICOM with contours)",
            scan=scan_sunnybrook,
            fits=lambda folder: bool(sunnybrook_folders(folder)),
            takes_options=True,
        ),
        "cvi42": Layout(
            title="cvi42 workspaces with DICOM",
            scan=scan_cvi42,
            fits=lambda folder: bool(cvi42_files(folder)),
            takes_options=True,
        ),
        "dicom": Layout(title="DICOM", scan=scan_dicom, fits=None, takes_options=True, takes_files=True),
        "plain": Layout(title="Plain folder (images and *_gt, *_seg or *_label files)", scan=scan_plain, fits=None),
        "files": Layout(title="These files", scan=scan_files, fits=None, takes_files=True),
    }
)
"""Layouts by name."""


def scan(
    folder_or_files: str | Path | Iterable[str | Path | Sequence[str | Path]],
    layout: str = "auto",
    options: ScanOptions | None = None,
) -> list[ImportItem]:
    """List what can be imported, reading no pixels.

    Parameters
    ----------
    folder_or_files : path or iterable of paths
        A folder, an image, or several files (`files.scan_files`, or DICOM).
    layout : str
        ``"auto"`` or one of `LAYOUTS`.
    options : ScanOptions, optional
        Choices of DICOM and of images with several channels.

    Returns
    -------
    list of ImportItem
        What label values mean is proposed by a layout and never taken over by itself (`core.label_order`).

    Raises
    ------
    ImageError
        No such layout or folder, nothing to import, or a folder that fits several layouts.
    """
    if layout == "auto":
        layout = detect(folder_or_files)
    if layout not in LAYOUTS:
        raise ImageError(f"no layout {layout!r}; choose auto, {', '.join(LAYOUTS)}")
    is_path = isinstance(folder_or_files, str | Path)
    if not LAYOUTS[layout].takes_files:
        if not is_path:
            raise ImageError(f"layout {layout!r} takes one folder; name one, or use the layout 'files'")
        if not Path(folder_or_files).is_dir():
            raise ImageError(f"{folder_or_files}: no such folder; check the path, or use the layout 'files' for a file")
    elif layout == "files" and is_path and Path(folder_or_files).is_dir():
        raise ImageError(f"{folder_or_files}: is a folder; use the layout 'plain' or 'acdc', or name the files in it")
    return LAYOUTS[layout](folder_or_files, options)


def detect(folder_or_files: str | Path | Iterable[Any]) -> str:
    """Return the one layout that fits; ImageError when none does, or when two do."""
    from napari_ssl.io.dicom.folder import is_dicom

    if not isinstance(folder_or_files, str | Path):
        files = [Path(f) for f in folder_or_files if isinstance(f, str | Path)]
        return "dicom" if files and all(f.is_dir() or is_dicom(f) for f in files) else "files"
    path = Path(folder_or_files)
    if path.is_file():
        return "dicom" if is_dicom(path) else "files"
    if not path.is_dir():
        raise ImageError(f"{path}: no such file or folder; check the path")
    fitting = [name for name, layout in LAYOUTS.items() if layout.fits is not None and layout.fits(path)]
    if len(fitting) > 1:
        raise ImageError(f"{path}: fits the layouts {', '.join(fitting)}; name the one that is meant")
    images = image_files(path)
    if not images:
        if fitting or holds_dicom(path):
            return (fitting or ["dicom"])[0]
        n_files = sum(1 for p in path.rglob("*") if p.is_file())
        raise ImageError(
            f"{path}: none of its {n_files} files is an image that napari-ssl reads ({', '.join(SUFFIXES)}, DICOM); "
            "choose another folder, or convert other formats to .nii.gz first"
        )
    if fitting == ["acdc"]:
        _refuse_others(path, images)
    return (fitting or ["plain"])[0]


def _refuse_others(path: Path, images: list[Path]) -> None:
    """Refuse images beside ACDC's subject folders, unless a table of cases says that they do not belong to it."""
    subjects = subject_folders(path)
    outside = [i for i in images if i.parent not in subjects]
    if outside and not (path / CASES_FILE).is_file():
        raise ImageError(
            f"{path}: holds {len(subjects)} subject folders in the ACDC layout and {len(outside)} other images "
            f"(e.g. {outside[0].relative_to(path)}); name the layout (acdc or plain), or import the parts apart"
        )
