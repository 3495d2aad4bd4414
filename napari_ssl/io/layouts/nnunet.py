"""nnU-Net v2 raw data: ``dataset.json``, ``imagesTr``, ``labelsTr``, ``imagesTs``.

``imagesTr/CASE_0000.nii.gz`` (four digits: the channel) with ``labelsTr/CASE.nii.gz``. ``dataset.json`` names the
channels, the labels (``"LV": 3``) and the file ending. Cases of ``imagesTs`` are of the test split.

Source: nnU-Net v2, ``documentation/dataset_format.md``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from napari_ssl.core.case import Split
from napari_ssl.core.label_order import LabelProposal
from napari_ssl.errors import ImageError
from napari_ssl.io.channels import choose_channel
from napari_ssl.io.layouts.dataset_json import DATASET_FILE, label_proposal, read_dataset
from napari_ssl.io.layouts.item import ImportItem, sanitise_id
from napari_ssl.io.layouts.options import ScanOptions
from napari_ssl.io.layouts.plain import subject_of
from napari_ssl.io.reading import SUFFIXES

__all__ = ["is_nnunet", "scan_nnunet"]

_PARTS = (("imagesTr", "labelsTr", None), ("imagesTs", "labelsTs", Split.TEST))


def is_nnunet(folder: Path) -> bool:
    """Whether a folder is an nnU-Net v2 data set: its ``dataset.json`` names channels and a file ending."""
    try:
        document = read_dataset(folder)
    except ImageError:
        return False
    return "channel_names" in document and (folder / "imagesTr").is_dir()


def scan_nnunet(folder: str | Path, options: ScanOptions) -> list[ImportItem]:
    """List the cases.

    Raises
    ------
    ImageError
        No such data set, files of a format that is not read, several channels and none chosen, or labels without an
        image.
    LabelError
        Labels that are regions.
    """
    folder = Path(folder).resolve()
    path = folder / DATASET_FILE
    document = read_dataset(folder)
    channels, labels = document.get("channel_names"), document.get("labels")
    if not isinstance(channels, dict) or not channels or not isinstance(labels, dict):
        raise ImageError(f"{path}: lacks channel_names or labels; it is no data set of nnU-Net v2")
    ending = str(document.get("file_ending", ".nii.gz"))
    if ending not in SUFFIXES:
        raise ImageError(f"{path}: file_ending {ending!r} is not read; convert to .nii.gz: it must know millimetres")
    named = {str(number): str(name) for number, name in channels.items()}
    channel = choose_channel(named, options.channel, path)
    proposal = label_proposal([(value, name) for name, value in labels.items()], path)
    pattern = re.compile(rf"(.+)_{channel:04d}{re.escape(ending)}")
    items = [i for part in _PARTS for i in _items(folder, part, pattern, ending, proposal)]
    if not items:
        raise ImageError(
            f"{folder}: imagesTr holds no file CASE_{channel:04d}{ending}; choose another channel or folder"
        )
    return items


def _items(
    folder: Path,
    part: tuple[str, str, Split | None],
    pattern: re.Pattern[str],
    ending: str,
    proposal: LabelProposal | None,
) -> list[ImportItem]:
    images_name, labels_name, split = part
    images, labels = folder / images_name, folder / labels_name
    found: dict[str, Path] = {}
    for path in sorted(images.glob(f"*{ending}")) if images.is_dir() else ():
        match = pattern.fullmatch(path.name)
        if match:
            found[match.group(1)] = path
    given = {p.name.removesuffix(ending): p for p in sorted(labels.glob(f"*{ending}"))} if labels.is_dir() else {}
    alone = sorted(k for k in set(given) - set(found) if not k.startswith("."))
    if alone:
        raise ImageError(f"{given[alone[0]]}: has no image {alone[0]}_NNNN{ending} in {images_name}; add or remove it")
    common: dict[str, Any] = {"split": split, "label_proposal": proposal}
    return [
        ImportItem(
            subject_id=sanitise_id(subject_of(name)),
            case_id=sanitise_id(name),
            image_path=image,
            label_paths=((None, given[name]),) if name in given else (),
            **common,
        )
        for name, image in found.items()
        if not name.startswith(".")
    ]
