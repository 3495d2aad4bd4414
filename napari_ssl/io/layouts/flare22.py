"""FLARE22, abdominal CT of thirteen organs: labelled and unlabelled images in two folders.

``…/images/FLARE22_Tr_0001_0000.nii.gz`` with ``…/labels/FLARE22_Tr_0001.nii.gz``; unlabelled ones are named
``Case_00001_0000.nii.gz``, those of the validation set ``FLARETs_0001_0000.nii.gz``.

Source: J. Ma et al., Lancet Digital Health 6(11), 2024; https://flare22.grand-challenge.org.
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_ssl.core.case import Split
from napari_ssl.core.label_order import LabelProposal
from napari_ssl.errors import ImageError
from napari_ssl.io.layouts.item import ImportItem, sanitise_id

__all__ = ["ORGANS", "flare_images", "scan_flare22"]

ORGANS = (
    "liver",
    "right kidney",
    "spleen",
    "pancreas",
    "aorta",
    "inferior vena cava",
    "right adrenal gland",
    "left adrenal gland",
    "gallbladder",
    "esophagus",
    "stomach",
    "duodenum",
    "left kidney",
)
"""In the order of their values, from 1."""

_PROPOSAL = LabelProposal(
    meanings=tuple(enumerate(ORGANS, start=1)), source="FLARE22 (Ma et al., Lancet Digital Health 2024)"
)
_IMAGE = re.compile(r"(FLARE22_Tr_\d+|FLARETs_\d+|FLARE22_Ts_\d+|Case_\d+)_0000\.nii\.gz")
_LABEL = re.compile(r"(FLARE22_Tr_\d+|FLARETs_\d+|FLARE22_Ts_\d+|Case_\d+)\.nii\.gz")


def flare_images(folder: Path) -> dict[str, Path]:
    """Return the images by case; ImageError where a case is there twice."""
    return _by_case(folder, _IMAGE)


def scan_flare22(folder: str | Path) -> list[ImportItem]:
    """List the cases; ImageError where there is none, or labels have no image."""
    folder = Path(folder).resolve()
    images = flare_images(folder)
    if not images:
        raise ImageError(
            f"{folder}: no file FLARE22_Tr_NNNN_0000.nii.gz, FLARETs_… or Case_… was found; choose the folder of "
            "FLARE22, or another layout"
        )
    labels = _by_case(folder, _LABEL)
    alone = sorted(set(labels) - set(images))
    if alone:
        raise ImageError(f"{labels[alone[0]]}: has no image {alone[0]}_0000.nii.gz; add it or move the labels")
    return [
        ImportItem(
            subject_id=sanitise_id(case),
            case_id=sanitise_id(case),
            image_path=path,
            label_paths=((None, labels[case]),) if case in labels else (),
            split=Split.VALIDATION if "Ts_" in case else None,
            label_proposal=_PROPOSAL,
        )
        for case, path in images.items()
    ]


def _by_case(folder: Path, pattern: re.Pattern[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.nii.gz")):
        match = pattern.fullmatch(path.name)
        if match is None:
            continue
        if match.group(1) in found:
            raise ImageError(f"{path}: case {match.group(1)} is also {found[match.group(1)]}; remove one of the two")
        found[match.group(1)] = path
    return found
