"""Images and labels that are paired by their names.

A file is a label map when one of the words of its name is gt, label, labels, mask, seg or segmentation, or when it lies
in a folder of such a name (``labels/``, ``labelsTr/``, ``masks/``…). It belongs to the image whose name and folders are
the same without these words (and without image, images, img): ``scan7.nii.gz`` and ``scan7_seg.nii.gz``;
``image_11.nii.gz`` and ``label_11.nii.gz``; ``images/scan7.nii.gz`` and ``labels/scan7.nii.gz``.

Subject: the folder of the image where there is one, else its name without a frame or phase at its end, so that
``scan7_frame01`` and ``scan7_frame12`` stay in one split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_ssl.core.case import Split
from napari_ssl.errors import ImageError
from napari_ssl.io.layouts.item import ImportItem, sanitise_id, split_of_folder
from napari_ssl.io.reading import SUFFIXES, is_image_name

__all__ = ["image_files", "pair", "scan_plain", "stem", "subject_of"]

_LABEL_WORDS = {
    "gt",
    "label",
    "labels",
    "mask",
    "masks",
    "seg",
    "segmentation",
    "segmentations",
    "labelstr",
    "labelsts",
}
_IMAGE_WORDS = {"image", "images", "img", "imgs", "imagestr", "imagests"}
_SPLIT_WORDS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_PHASE = re.compile(r"[_\-](4d|(frame|phase|time|t)\d+|ed|es)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Named:
    path: Path
    key: tuple[str, ...]
    is_label: bool
    folders: tuple[str, ...]
    split_folders: tuple[str, ...]


def stem(path: Path) -> str:
    """Return the file's name without the suffix of its format."""
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)]


def image_files(folder: Path) -> list[Path]:
    """Return all files below `folder` that carry an image format's name, in order; hidden ones are left out."""
    found = (p for p in folder.rglob("*") if is_image_name(p) and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def scan_plain(folder: str | Path) -> list[ImportItem]:
    """List the images of a folder and of the folders in it, with their labels.

    Raises
    ------
    ImageError
        No image, labels without an image, or names that pair more than one way.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder; check the path")
    paths = image_files(folder)
    if not paths:
        raise ImageError(
            f"{folder}: holds no image file ({', '.join(SUFFIXES)}); choose another folder or convert the images"
        )
    return pair([(path, path.relative_to(folder).parts[:-1]) for path in paths])


def pair(files: Sequence[tuple[Path, tuple[str, ...]]]) -> list[ImportItem]:
    """Make items of files and the folders that count for their names; ImageError as `scan_plain`."""
    named = [_name(path, folders) for path, folders in files]
    images = _by_key([n for n in named if not n.is_label], "image")
    labels = _by_key([n for n in named if n.is_label], "label map")
    alone = [labels[key].path for key in labels if key not in images]
    if alone:
        raise ImageError(
            f"{alone[0]}: is a label map by its name, but no image has this name without the word for labels "
            f"({len(alone)} such file{'s' if len(alone) > 1 else ''}); rename the image, or move the labels out of the "
            "folder"
        )
    split_names = {name for n in named for name in n.split_folders}
    return _unique([_item(image, labels.get(key), split_names) for key, image in images.items()])


def _name(path: Path, folders: tuple[str, ...]) -> _Named:
    words = [w for w in re.split(r"[_\-. ]+", stem(path)) if w]
    lower = [w.lower() for w in words]
    folder_words = [f.lower() for f in folders]
    marks = _LABEL_WORDS | _IMAGE_WORDS
    kept_folders = tuple(f for f in folders if f.lower() not in marks | _SPLIT_WORDS)
    key = (*(f.lower() for f in folders if f.lower() not in marks), "/", *(w for w in lower if w not in marks))
    return _Named(
        path=path,
        key=key,
        is_label=bool(_LABEL_WORDS & {*lower, *folder_words}),
        folders=kept_folders,
        split_folders=tuple(f for f in folders if f.lower() in _SPLIT_WORDS),
    )


def _by_key(named: Sequence[_Named], what: str) -> dict[tuple[str, ...], _Named]:
    found: dict[tuple[str, ...], _Named] = {}
    for one in named:
        if one.key in found:
            raise ImageError(
                f"{one.path}: cannot be told from {found[one.key].path} by its name; "
                f"one {what} per name; rename or remove one of the two"
            )
        found[one.key] = one
    return found


def _item(image: _Named, label: _Named | None, split_names: set[str]) -> ImportItem:
    name = stem(image.path)
    split: Split | None = split_of_folder(image.split_folders, split_names)
    return ImportItem(
        subject_id=sanitise_id("_".join(image.folders) or subject_of(name)),
        case_id=sanitise_id("_".join((*image.folders, stem(image.path)))),
        image_path=image.path,
        label_paths=((None, label.path),) if label else (),
        split=split,
    )


def subject_of(name: str) -> str:
    """Return a case's name without frames and phases at its end."""
    while (shorter := _PHASE.sub("", name)) and shorter != name:
        name = shorter
    return name


def _unique(items: list[ImportItem]) -> list[ImportItem]:
    seen: dict[str, Path] = {}
    for item in items:
        if item.case_id in seen:
            raise ImageError(
                f"{item.image_path}: its case name {item.case_id!r} is also that of {seen[item.case_id]}; "
                "rename one of the two"
            )
        seen[item.case_id] = item.image_path
    return items
