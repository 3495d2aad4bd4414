"""Images that are converted live in the study: ``images/<case>.nii.gz``, with what is known of them beside it as JSON.

Of DICOM, ``images/<case>.json`` holds UIDs (replaced by keyed ones unless identities are kept) of study, series and
every picture as ``sop_instance_uids[t][z]``, the trigger time of every picture and the modality: what a segmentation
object or contours need that refer to the originals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_ssl.errors import ImageError
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import Image, hash_file, read_header, write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.study.storage import inside, make_folder

__all__ = ["IMAGES", "converted", "image_details"]

IMAGES = "images"
"""Folder of the study that converted images lie in."""


@contextmanager
def converted(
    folder: Path, item: ImportItem, should_stop: Callable[[], bool] | None = None
) -> Iterator[tuple[Image, str, dict[str, Any]]]:
    """Write an item's image into a study; yield it, its hash and its source; remove it when the block raises.

    Raises
    ------
    ImageError
        The source cannot be converted, or a file is in the image's place that no case knows.
    StorageError
        The image cannot be written whole; it is read back and compared.
    StoppedError
        `should_stop` said so.
    """
    path = inside(folder, f"{IMAGES}/{item.case_id}.nii.gz")
    make_folder(path.parent)
    made = item.conversion.convert(should_stop)
    was_there = path.exists()  # another import of the same may be faster: then it stays
    write_volume(path, made.data, made.geometry)
    details = _details_path(path)
    try:
        write_document(details, {**made.source, **made.details})
        # What the file says counts from here on: NIfTI keeps 32-bit numbers.
        header = read_header(path)
        image = Image(data=made.data, geometry=header.geometry, frame_interval_ms=header.frame_interval_ms, path=path)
        yield image, hash_file(path), dict(made.source)
    except BaseException:
        for written in () if was_there else (path, details):
            with suppress(OSError):
                written.unlink(missing_ok=True)
        raise


def image_details(folder: Path, case_id: str) -> dict[str, Any]:
    """Return what lies beside a converted image; empty for cases whose image was not converted.

    Raises
    ------
    ImageError
        The document is damaged.
    """
    path = _details_path(inside(folder, f"{IMAGES}/{case_id}.nii.gz"))
    if not path.is_file():
        return {}
    document = read_document(path)
    if not isinstance(document, dict):
        raise ImageError(f"{path}: is damaged; restore it from a backup")
    return document


def _details_path(image: Path) -> Path:
    return image.with_name(image.name.removesuffix(".nii.gz") + ".json")
