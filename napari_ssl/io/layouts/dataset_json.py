"""What the layouts with a ``dataset.json`` share: reading it, without trusting it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_ssl.core.label_order import LabelProposal
from napari_ssl.errors import ImageError, LabelError

__all__ = ["DATASET_FILE", "file_inside", "label_proposal", "read_dataset"]

DATASET_FILE = "dataset.json"


def read_dataset(folder: Path) -> dict[str, Any]:
    """Return the document; ImageError where it is absent or no JSON object."""
    path = folder / DATASET_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImageError(
            f"{path}: cannot be read ({error}); copy the data set again or choose another layout"
        ) from error
    if not isinstance(document, dict):
        raise ImageError(f"{path}: holds no JSON object; copy the data set again")
    return document


def label_proposal(pairs: list[tuple[Any, Any]], path: Path) -> LabelProposal | None:
    """Return what ``labels`` says, background and ignored values left out; None where it says nothing.

    Parameters
    ----------
    pairs : list of (value, name)

    Raises
    ------
    LabelError
        A value that is no whole number in 0 to 255: regions of several values, for example.
    """
    meanings = []
    for value, name in pairs:
        if isinstance(value, list):
            raise LabelError(
                f"{path}: label {name!r} is a region of several values {value}; give every value a name of its own"
            )
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            number = -1
        if not 0 <= number <= 255:
            raise LabelError(f"{path}: label {name!r} has the value {value!r}; it must be a whole number in [0, 255]")
        if number and str(name).lower() != "ignore":
            meanings.append((number, str(name)))
    return LabelProposal(meanings=tuple(sorted(meanings)), source=str(path)) if meanings else None


def file_inside(folder: Path, entry: Any, path: Path) -> Path:
    """Return the file that an entry names; ImageError where it is absent or outside the folder."""
    if not isinstance(entry, str) or not entry:
        raise ImageError(f"{path}: names the file {entry!r}; it must be a path inside the data set")
    try:
        found = (folder / entry).resolve()
        is_there = found.is_file()
    except (OSError, ValueError) as error:  # longer than a name may be, or with a NUL in it
        raise ImageError(f"{path}: names {entry!r:.80}, which is no name of a file ({error}); correct it") from error
    if not found.is_relative_to(folder.resolve()):
        raise ImageError(f"{path}: names {entry!r}, which lies outside the data set; correct the entry")
    if not is_there:
        raise ImageError(f"{path}: names {entry!r}, which is not there; complete the data set or correct the entry")
    return found
