"""Contours of cvi42 workspaces (``.cvi42wsx``, XML).

The file is a tree of ``Hash:item`` elements with names. Below ``ImageStates`` stands one item per picture, named by
its SOPInstanceUID; below its ``Contours`` one item per contour, named e.g. ``saendocardialContour``, with ``Points``
(a list of ``Point:x``, ``Point:y``) in pixels times ``SubpixelResolution``; they count from 0 at the first pixel's
centre.

Source: the structure as public readers of the format take it (ukbb_cardiac ``parse_cvi42_xml.py``, Bai et al., JCMR
20:65, 2018). The maker publishes none, so what is not understood is refused, not skipped: an unknown contour of the
short axis is only left out where its kind is named here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, parse

from napari_ssl.errors import LabelError
from napari_ssl.io.contours.filling import Contour

__all__ = ["SUFFIXES", "read_cvi42"]

SUFFIXES = (".cvi42wsx",)

_KINDS = {
    "saendocardialContour": "lv_endocardium",
    "saepicardialContour": "lv_epicardium",
    "sarvendocardialContour": "rv_endocardium",
}
_LARGEST_BYTES = 1 << 30


def read_cvi42(path: str | Path) -> dict[str, list[Contour]]:
    """Return the contours of the short axis by SOPInstanceUID.

    Endocardium and epicardium of the left and endocardium of the right ventricle; long axes, papillary muscles,
    reference regions and measurements are left out.

    Raises
    ------
    LabelError
        No such file, no XML, XML with entities (refused for safety), no contour, a contour of fewer than three points
        or with points that are no numbers, two contours of one kind on one picture.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise LabelError(f"{path}: is larger than {_LARGEST_BYTES >> 30} GiB; export one study per workspace")
        root = parse(path, forbid_dtd=False).getroot()
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise LabelError(
            f"{path}: is no cvi42 workspace in XML ({type(error).__name__}); export it as 'Cvi42 XML Workspace'"
        ) from error
    found: dict[str, list[Contour]] = {}
    for states in _named(root, "ImageStates"):
        for picture in states:
            uid = _key(picture)
            contours = [c for group in _named(picture, "Contours") for c in _contours(group, path)]
            if not uid or not contours:
                continue
            if uid in found or len({c.kind for c in contours}) < len(contours):
                raise LabelError(f"{path}: picture {len(found)} has two contours of one kind; remove one in cvi42")
            found[uid] = contours
    if not found:
        raise LabelError(
            f"{path}: holds no contour of the short axis ({', '.join(_KINDS)}); draw some, then export the workspace"
        )
    return found


def _key(element: Any) -> str:
    """Return the name of an item, whatever its namespace's prefix."""
    return next((v for k, v in element.attrib.items() if k.rpartition("}")[2] == "key"), "").strip()


def _named(element: Any, name: str) -> list[Any]:
    return [e for e in element.iter() if _key(e) == name]


def _contours(group: Any, path: Path) -> list[Contour]:
    found = []
    for item in group:
        kind = _KINDS.get(_key(item))
        if kind is None:
            continue
        points = _points(item, path, _key(item))
        if len(points):
            found.append(Contour(kind=kind, points_xy=points, where=str(path)))
    return found


def _points(item: Any, path: Path, name: str) -> np.ndarray:
    """Return the points of a contour in pixels, empty where it was never drawn."""
    try:
        scale = next((float(e.text or "") for e in item.iter() if _key(e) == "SubpixelResolution"), 1.0)
        lists = [e for e in item.iter() if _key(e) == "Points"]
        pairs = [
            [float(next(c.text or "" for c in point if c.tag.rpartition("}")[2] == axis)) for axis in "xy"]
            for entry in lists
            for point in entry
        ]
    except (ValueError, StopIteration) as error:
        raise LabelError(f"{path}: a point of {name} is no pair of numbers; export the workspace again") from error
    if not pairs:
        return np.empty((0, 2))
    points = np.array(pairs)
    if len(points) < 3 or not np.isfinite(points).all() or not scale > 0:
        raise LabelError(f"{path}: {name} has {len(points)} points at scale {scale:g}; a contour needs three or more")
    return points / scale
