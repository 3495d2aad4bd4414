"""Folders of images as data sets are published; one file per layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from napari_ssl.errors import ImageError
from napari_ssl.io.layouts.acdc import CASES_FILE, scan_acdc, subject_folders
from napari_ssl.io.layouts.files import scan_files
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.io.layouts.plain import image_files, scan_plain
from napari_ssl.io.reading import SUFFIXES

__all__ = ["LAYOUTS", "ImportItem", "detect", "scan"]

LAYOUTS: MappingProxyType[str, Callable[[Any], list[ImportItem]]] = MappingProxyType(
    {"acdc": scan_acdc, "plain": scan_plain, "files": scan_files}
)
"""Scanners by the name of the layout; each takes a folder (files: paths) and returns the items."""


def scan(
    folder_or_files: str | Path | Iterable[str | Path | Sequence[str | Path]], layout: str = "auto"
) -> list[ImportItem]:
    """List what can be imported, reading no pixels.

    Parameters
    ----------
    folder_or_files : path or iterable of paths
        A folder, an image, or several files (`files.scan_files`).
    layout : str
        ``"auto"`` or one of `LAYOUTS`.

    Returns
    -------
    list of ImportItem
        The label scheme is never taken from a layout; the study's counts.

    Raises
    ------
    ImageError
        No such layout or folder, nothing to import, or a folder that fits several layouts.
    """
    if layout == "auto":
        layout = detect(folder_or_files)
    if layout not in LAYOUTS:
        raise ImageError(f"no layout {layout!r}; choose auto, {', '.join(LAYOUTS)}")
    if layout != "files":
        if not isinstance(folder_or_files, str | Path):
            raise ImageError(f"layout {layout!r} takes one folder; name one, or use the layout 'files'")
        if not Path(folder_or_files).is_dir():
            raise ImageError(f"{folder_or_files}: no such folder; check the path, or use the layout 'files' for a file")
    elif isinstance(folder_or_files, str | Path) and Path(folder_or_files).is_dir():
        raise ImageError(f"{folder_or_files}: is a folder; use the layout 'plain' or 'acdc', or name the files in it")
    return LAYOUTS[layout](folder_or_files)


def detect(folder_or_files: str | Path | Iterable[Any]) -> str:
    """Return the one layout that fits; ImageError when none does, or when two do."""
    if not isinstance(folder_or_files, str | Path):
        return "files"
    path = Path(folder_or_files)
    if path.is_file():
        return "files"
    if not path.is_dir():
        raise ImageError(f"{path}: no such file or folder; check the path")
    images = image_files(path)
    if not images:
        n_files = sum(1 for p in path.rglob("*") if p.is_file())
        raise ImageError(
            f"{path}: none of its {n_files} files is an image that napari-ssl reads ({', '.join(SUFFIXES)}); "
            "choose another folder, or convert DICOM and other formats to .nii.gz first"
        )
    subjects = subject_folders(path)
    if not subjects:
        return "plain"
    outside = [i for i in images if i.parent not in subjects]
    # A table of cases says which layout is meant; other folders beside the subjects' are then none of its business.
    if outside and not (path / CASES_FILE).is_file():
        raise ImageError(
            f"{path}: holds {len(subjects)} subject folders in the ACDC layout and {len(outside)} other images "
            f"(e.g. {outside[0].relative_to(path)}); name the layout (acdc or plain), or import the parts apart"
        )
    return "acdc"
