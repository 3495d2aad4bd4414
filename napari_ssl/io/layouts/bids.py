"""Folders in the manner of BIDS: ``sub-01[/ses-1]/anat/sub-01[_ses-1]_…_<suffix>.nii.gz``.

Labels are the discrete segmentations (``…_dseg.nii.gz``), beside the image or in ``derivatives/<program>/sub-01/…``,
whose name is that of the image with its suffix replaced (entities ``desc``, ``label``, ``space-orig``, ``seg`` may be
added). What their values mean is read from a table ``…_dseg.tsv`` (columns index, name) next to them or above, where
there is one. ``participants.tsv`` gives sex, height and weight.

Images of one participant are cases of one subject. Where a picture has several segmentations, one must be chosen by
importing from a folder that holds that one only.

Source: Brain Imaging Data Structure 1.10, https://bids-specification.readthedocs.io.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from napari_ssl.core.label_order import LabelProposal
from napari_ssl.errors import ImageError, LabelError
from napari_ssl.io.conversion import Body
from napari_ssl.io.layouts.item import ImportItem, sanitise_id
from napari_ssl.io.layouts.plain import image_files, stem

__all__ = ["is_bids", "scan_bids"]

_SUBJECT = re.compile(r"sub-[0-9A-Za-z]+")
_LABEL_SUFFIXES = ("dseg", "probseg", "mask")
_ADDED = re.compile(r"_(?:desc|label|seg|space)-[0-9A-Za-z]+")


def is_bids(folder: Path) -> bool:
    """Whether a folder holds participants' folders with images named after them."""
    return any(p.is_file() for s in _subjects(folder) for p in s.rglob(f"{s.name}_*.nii*"))


def scan_bids(folder: str | Path) -> list[ImportItem]:
    """List the images.

    Raises
    ------
    ImageError
        No participant's folder with images, or an image with several segmentations.
    LabelError
        A table of labels that cannot be read.
    """
    folder = Path(folder).resolve()
    subjects = _subjects(folder)
    images = [p for s in subjects for p in image_files(s) if p.name.startswith(f"{s.name}_")]
    pictures = [p for p in images if _suffix(p) not in _LABEL_SUFFIXES]
    if not pictures:
        raise ImageError(f"{folder}: no folder sub-XX with images sub-XX_….nii.gz was found; choose another layout")
    labels = [p for p in images if _suffix(p) == "dseg"]
    derivatives = folder / "derivatives"
    if derivatives.is_dir():
        labels += [p for p in image_files(derivatives) if _suffix(p) == "dseg"]
    by_key: dict[str, list[Path]] = {}
    for path in labels:
        by_key.setdefault(_key(path), []).append(path)
    bodies = _participants(folder / "participants.tsv")
    return [_item(p, by_key, [q for q in pictures if _key(q) == _key(p)], bodies, folder) for p in pictures]


def _subjects(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and _SUBJECT.fullmatch(p.name))


def _suffix(path: Path) -> str:
    return stem(path).rpartition("_")[2]


def _key(path: Path) -> str:
    """Return the entities of a name, those that only segmentations have left out."""
    return _ADDED.sub("", stem(path).rpartition("_")[0])


def _item(
    image: Path, labels: dict[str, list[Path]], rivals: list[Path], bodies: dict[str, Body], folder: Path
) -> ImportItem:
    found = labels.get(_key(image), [])
    if found and len(rivals) > 1:
        names = " and ".join(r.name for r in rivals)
        raise ImageError(f"{found[0]}: may be of {names}; name the images apart by an entity (acq-…) that it has too")
    if len(found) > 1:
        raise ImageError(
            f"{image}: has {len(found)} segmentations ({found[0]}, {found[1]}); keep one in the folder, move the others"
        )
    subject = _SUBJECT.match(image.name).group()
    return ImportItem(
        subject_id=sanitise_id(subject),
        case_id=sanitise_id(stem(image)),
        image_path=image,
        label_paths=((None, found[0]),) if found else (),
        label_proposal=_proposal(found[0], folder) if found else None,
        body=bodies.get(subject),
    )


def _proposal(labels: Path, folder: Path) -> LabelProposal | None:
    """Read the table of a segmentation: its own, else one named ``…dseg.tsv`` in a folder above it."""
    own = labels.with_name(f"{stem(labels)}.tsv")
    above = [p for parent in labels.parents if parent.is_relative_to(folder) for p in sorted(parent.glob("*dseg.tsv"))]
    shared = [p for p in above if p.name == "dseg.tsv" or not p.name.startswith("sub-")]
    path = own if own.is_file() else next(iter(shared), None)
    if path is None:
        return None
    rows = _rows(path)
    try:
        meanings = tuple(sorted((int(r["index"]), r["name"]) for r in rows if int(r["index"])))
    except (KeyError, ValueError) as error:
        raise LabelError(f"{path}: needs the columns index and name ({error}); correct the table") from error
    return LabelProposal(meanings=meanings, source=str(path)) if meanings else None


def _participants(path: Path) -> dict[str, Body]:
    if not path.is_file():
        return {}

    def number(row: dict[str, str], name: str, low: float, high: float) -> float | None:
        try:
            value = float(row.get(name, ""))
        except ValueError:
            return None
        return value if low <= value <= high else None

    bodies = {}
    for row in _rows(path):
        sex = row.get("sex", "").upper()[:1]
        bodies[row.get("participant_id", "")] = Body(
            sex=sex if sex in ("F", "M") else None,
            height_cm=number(row, "height", 20, 260),
            weight_kg=number(row, "weight", 0.3, 500),
        )
    return bodies


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter="\t")
            return [{(k or "").strip(): v.strip() for k, v in r.items() if isinstance(v, str)} for r in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{path}: cannot be read ({error}); save it with tabs, in UTF-8") from error
