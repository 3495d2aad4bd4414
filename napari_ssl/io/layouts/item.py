"""What every layout yields: one image with its labels and what its folder says about it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_ssl.core.case import CASE_ID_PATTERN, Split, is_device_name
from napari_ssl.core.label_order import LabelOrder, LabelProposal
from napari_ssl.errors import ImageError
from napari_ssl.io.conversion import Body, Conversion, Drawn

__all__ = ["ImportItem", "parse_split", "sanitise_id", "split_of_folder"]

_LONGEST = 80
_SPLIT_NAMES = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportItem:
    """One image to be imported.

    Parameters
    ----------
    subject_id, case_id : str
        Fit for file names (`core.case.CASE_ID_PATTERN`).
    image_path : Path
        Absolute.
    label_paths : tuple of (frame or None, Path)
        One file per labelled frame (0-based), or ``(None, file)`` for a file with the image's own frames.
    ed_frame, es_frame : int or None
        0-based.
    phase_pictures : tuple of ("ED" or "ES", Path)
        Pictures of single phases whose frame only their pixels tell; the import looks for it.
    group : str or None
        E.g. the diagnosis.
    split : Split or None
        Where the folder states it.
    label_proposal : LabelProposal or None
        What the layout's publisher documents about label values; None where nobody does, the study's scheme then holds.
    label_order : LabelOrder or None
        What the user confirmed about them.
    conversion : Conversion or None
        What makes an image of sources that a study cannot use as they lie; `image_path` is then one of these.
    drawn : Drawn or None
        Labels that are no label maps, e.g. contours; instead of `label_paths`.
    body : Body or None
        What the source says about the subject's body, where it may be kept.
    """

    subject_id: str
    case_id: str
    image_path: Path
    label_paths: tuple[tuple[int | None, Path], ...] = ()
    ed_frame: int | None = None
    es_frame: int | None = None
    phase_pictures: tuple[tuple[str, Path], ...] = ()
    group: str | None = None
    split: Split | None = None
    label_proposal: LabelProposal | None = None
    label_order: LabelOrder | None = None
    conversion: Conversion | None = None
    drawn: Drawn | None = None
    body: Body | None = None

    def __post_init__(self) -> None:
        for what in ("subject_id", "case_id"):
            value = getattr(self, what)
            if not re.fullmatch(CASE_ID_PATTERN, value) or is_device_name(value):
                raise ImageError(
                    f"{self.image_path}: {what} {value!r} needs 1 to 80 letters, digits, '_', '-', '.', beginning with "
                    "a letter or digit, and must not be a device of Windows (con, nul, com1, …); rename the file"
                )

    @property
    def shown(self) -> str:
        """What messages call the image; of converted ones, names no patient."""
        return str(self.image_path) if self.conversion is None else self.conversion.shown

    @property
    def has_labels(self) -> bool:
        """Whether labels come with it."""
        return bool(self.label_paths) or self.drawn is not None


def sanitise_id(text: str) -> str:
    """Return an identifier made of `text`: other characters become ``_``, at most 80 are left.

    Where letters or digits are lost, as of names in other scripts and of very long ones, a checksum of `text` keeps two
    names apart that would become one: Müller and Möller.
    """
    cleaned = re.sub(r"[^A-Za-z0-9_.\-]+", "_", text).lstrip("_.-").rstrip("_.")
    is_lossy = len(cleaned) > _LONGEST or not cleaned or any(c.isalnum() and not c.isascii() for c in text)
    if is_lossy:
        checksum = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        cleaned = f"{cleaned[: _LONGEST - 7].rstrip('_.') or 'case'}-{checksum}"
    return f"case_{cleaned}" if is_device_name(cleaned) else cleaned


def parse_split(text: str, where: str) -> Split | None:
    """Read a split's name (train, val, validation, test …); None when empty; ImageError otherwise."""
    name = text.strip().lower()
    if not name:
        return None
    if name not in _SPLIT_NAMES:
        raise ImageError(f"{where}: split {text!r} is not known; write train, validation or test")
    return _SPLIT_NAMES[name]


def split_of_folder(names: Iterable[str], all_folders: Iterable[str]) -> Split | None:
    """Return the split that one of the folder `names` above an image states, or None.

    A folder "train" states a split only where the data also has a validation folder: data sets that publish a
    training and a testing part leave it to the user to set validation subjects aside.
    """
    found = [_SPLIT_NAMES[n.lower()] for n in names if n.lower() in _SPLIT_NAMES]
    if not found or len(set(found)) > 1:
        return None
    if found[0] is Split.TRAIN and not any(_SPLIT_NAMES.get(n.lower()) is Split.VALIDATION for n in all_folders):
        return None
    return found[0]
