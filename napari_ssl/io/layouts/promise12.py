"""PROMISE12, prostate MR: ``Case00.mhd`` (with ``Case00.raw``) and ``Case00_segmentation.mhd``, 1 = prostate.

Images without a segmentation (the published test set) are of the test split where they lie in a folder of that name.

Source: G. Litjens et al., Med. Image Anal. 18(2), 2014; https://promise12.grand-challenge.org.
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_ssl.core.label_order import LabelProposal
from napari_ssl.errors import ImageError
from napari_ssl.io.layouts.item import ImportItem, sanitise_id, split_of_folder

__all__ = ["case_files", "scan_promise12"]

_PROPOSAL = LabelProposal(meanings=((1, "prostate"),), source="PROMISE12 (Litjens et al., Med. Image Anal. 2014)")
_CASE = re.compile(r"Case(\d+)\.mh[ad]", re.IGNORECASE)
_LABELS = re.compile(r"Case(\d+)_segmentation\.mh[ad]", re.IGNORECASE)


def case_files(folder: Path, *, labels: bool = False) -> list[tuple[str, Path]]:
    """Return images (or label maps) with their case's number, in order."""
    pattern = _LABELS if labels else _CASE
    found = ((pattern.fullmatch(p.name), p) for p in sorted(folder.rglob("*.mh*")))
    return [(match.group(1), path) for match, path in found if match]


def scan_promise12(folder: str | Path) -> list[ImportItem]:
    """List the cases; ImageError where there is none, one is there twice, or a segmentation has no image."""
    folder = Path(folder).resolve()
    images = case_files(folder)
    if not images:
        raise ImageError(f"{folder}: no file CaseNN.mhd was found; choose the folder of PROMISE12, or another layout")
    labels: dict[tuple[Path, str], Path] = {}
    for number, path in case_files(folder, labels=True):
        labels[path.parent, number] = path
    pairs = {(p.parent, n) for n, p in images}
    alone = sorted(labels[key] for key in labels if key not in pairs)
    if alone:
        raise ImageError(f"{alone[0]}: its image is not beside it; bring both files together")
    parents = {part for _, p in images for part in p.relative_to(folder).parts[:-1]}
    items: dict[str, ImportItem] = {}
    for number, path in images:
        splits = path.relative_to(folder).parts[:-1]
        # The test set counts its cases from 00 again.
        case = sanitise_id(
            "_".join((*splits, f"Case{number}")) if len({p.parent for _, p in images}) > 1 else f"Case{number}"
        )
        if case in items:
            raise ImageError(f"{path}: case {case} is also {items[case].image_path}; remove one of the two")
        label = labels.get((path.parent, number))
        items[case] = ImportItem(
            subject_id=case,
            case_id=case,
            image_path=path,
            label_paths=((None, label),) if label else (),
            split=split_of_folder(splits, parents),
            label_proposal=_PROPOSAL,
        )
    return list(items.values())
