"""Files that the user names one by one: images, or images with their label maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_ssl.errors import ImageError
from napari_ssl.io.layouts.item import ImportItem, sanitise_id
from napari_ssl.io.layouts.plain import pair, stem

__all__ = ["scan_files"]


def scan_files(files: str | Path | Iterable[str | Path | Sequence[str | Path]]) -> list[ImportItem]:
    """Make items of files.

    Parameters
    ----------
    files : path, or iterable of paths and pairs
        A pair is ``(image, label map)``. Single paths are paired by their names as in the plain
        layout. Where names repeat, the folder's name is put before them.

    Raises
    ------
    ImageError
        A file is missing or named twice, nothing was named, or names pair more than one way.
    """
    single: list[Path] = []
    items: list[ImportItem] = []
    for entry in [files] if isinstance(files, str | Path) else files:
        if isinstance(entry, str | Path):
            single.append(_existing(entry))
            continue
        if len(entry) != 2:
            raise ImageError(f"{tuple(map(str, entry))}: name an image, or a pair (image, label map)")
        image, label = map(_existing, entry)
        name = sanitise_id(stem(image))
        items.append(ImportItem(subject_id=name, case_id=name, image_path=image, label_paths=((None, label),)))
    if single:
        names = [path.name for path in single]
        repeated = len(set(names)) < len(names)
        items.extend(pair([(path, (path.parent.name,) if repeated else ()) for path in single]))
    _check_distinct(items)
    return items


def _existing(path: str | Path) -> Path:
    resolved = Path(path).resolve()
    if not resolved.is_file():
        raise ImageError(f"{path}: no such file; check the path")
    return resolved


def _check_distinct(items: list[ImportItem]) -> None:
    if not items:
        raise ImageError("no file was named; name at least one image")
    for what in ("image_path", "case_id"):
        values = [getattr(item, what) for item in items]
        twice = next((v for v in values if values.count(v) > 1), None)
        if twice is not None:
            raise ImageError(f"{twice}: is named twice; name each image once, and rename images of the same name")
