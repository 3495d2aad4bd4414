"""An item of a layout, with its image read, becomes a case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_ssl.core.case import Case, Split
from napari_ssl.errors import GeometryError
from napari_ssl.io.images import Image
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.io.phases import frames_of_picture

__all__ = ["new_case", "with_phases"]


def with_phases(item: ImportItem, image: Image) -> ImportItem:
    """Return an item that says which frames its pictures of single phases are; one that equals no frame tells none."""
    found = {}
    for phase, picture in item.phase_pictures:
        frames = frames_of_picture(picture, image.data)
        if len(frames) == 1:
            found[f"{phase.lower()}_frame"] = frames[0]
    return replace(item, **found)


def new_case(
    item: ImportItem, split: Split, path: Path, digest: str, image: Image, source: dict[str, Any] | None = None
) -> Case:
    """Return the case of an item; GeometryError where its pixels are no grey values."""
    details: dict[str, Any] = {"ed_frame": item.ed_frame, "es_frame": item.es_frame, "group": item.group}
    if image.data.dtype.kind not in "uif":
        raise GeometryError(f"{path}: pixels of type {image.data.dtype}; convert the image to grey values")
    return Case(
        id=item.case_id,
        subject_id=item.subject_id,
        split=split,
        image_path=str(path),
        image_hash=digest,
        spacing_zyx_mm=image.geometry.spacing_zyx_mm,
        shape_tzyx=image.data.shape,
        frame_interval_ms=image.frame_interval_ms,
        source=source,
        **details,
    )
