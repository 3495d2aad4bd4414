"""What lies in a folder that may be imported, as far as headers tell. Free of Qt; writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_ssl.errors import NapariSslError
from napari_ssl.io.images import read_header, read_labels
from napari_ssl.io.layouts import ScanOptions, scan
from napari_ssl.io.layouts.item import ImportItem

__all__ = ["HEADERS", "NUMBER_COLUMNS", "FoundItem", "LabelCounts", "count_labels", "look_at"]

HEADERS = (
    "Subject",
    "Case",
    "Frames",
    "Slices",
    "Pixels",
    "Spacing z × y × x (mm)",
    "Frame time",
    "Labels",
    "Split",
    "Remarks",
)
NUMBER_COLUMNS = (2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundItem:
    """An image that was found and what its header says, or why it cannot be read."""

    item: ImportItem
    shape_tzyx: tuple[int, int, int, int] | None = None
    spacing_zyx_mm: tuple[float, float, float] | None = None
    frame_interval_ms: float | None = None
    problem: str = ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is odd about it; of DICOM, the description of the series first."""
        conversion = self.item.conversion
        if conversion is None:
            return ()
        description = getattr(conversion, "description", "")
        return (*([f"“{description}”"] if description else []), *conversion.notes)

    def texts(self) -> tuple[str, ...]:
        """Return the columns of the table."""
        item = self.item
        t, z, y, x = self.shape_tzyx or ("", "", "", "")
        spacing = " × ".join(f"{s:g}" for s in self.spacing_zyx_mm or ())
        interval = "" if self.frame_interval_ms is None else f"{self.frame_interval_ms:g} ms"
        frames = [f for f, _ in item.label_paths]
        labels = "none" if not frames else "file" if None in frames else f"frames {', '.join(map(str, sorted(frames)))}"
        if item.drawn is not None:
            drawn = getattr(item.drawn, "frames", None)
            labels = "single phases" if drawn is None else f"contours on frames {', '.join(map(str, drawn))}"
        return (
            item.subject_id,
            item.case_id,
            str(t),
            str(z),
            f"{y} × {x}" if self.shape_tzyx else "",
            spacing,
            interval,
            labels,
            str(item.split or ""),
            "cannot be imported" if self.problem else "; ".join(self.remarks),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCounts:
    """How often each value occurs in label files.

    Parameters
    ----------
    voxels : mapping of value to number of voxels
        Background left out.
    cases : mapping of value to number of cases that hold it
    unreadable : tuple of str
        Files that could not be counted, with the reason.
    """

    voxels: dict[int, int]
    cases: dict[int, int]
    unreadable: tuple[str, ...] = ()


def look_at(
    paths: Sequence[Path],
    layout: str,
    *,
    options: ScanOptions,
) -> list[FoundItem]:
    """Find images and read their headers; writes nothing. Errors of single files are kept with them.

    Parameters
    ----------
    paths : sequence of Path
    layout : str
    options : ScanOptions
        Its `progress` and `should_stop` count for the headers too.

    Raises
    ------
    ImageError
        Nothing to import, or the layout does not fit.
    """
    items = scan(paths[0] if len(paths) == 1 else list(paths), layout, options)
    found = []
    for done, item in enumerate(items):
        if options.should_stop is not None and options.should_stop():
            break
        if options.progress is not None:
            options.progress(done, len(items), item.case_id)
        try:
            header = item.conversion.header() if item.conversion is not None else read_header(item.image_path)
        except NapariSslError as error:
            found.append(FoundItem(item=item, problem=str(error)))
            continue
        found.append(
            FoundItem(
                item=item,
                shape_tzyx=tuple(header.shape_tzyx),
                spacing_zyx_mm=tuple(header.spacing_zyx_mm),
                frame_interval_ms=header.frame_interval_ms,
            )
        )
    return found


def count_labels(
    found: Sequence[FoundItem], *, progress: Callable[[int, int, str], None], should_stop: Callable[[], bool]
) -> LabelCounts:
    """Count the values in all label files, one case in memory at a time; stopping gives what was counted so far."""
    voxels: Counter[int] = Counter()
    cases: Counter[int] = Counter()
    unreadable = []
    labelled = [f for f in found if f.item.has_labels and not f.problem]
    for done, one in enumerate(labelled):
        if should_stop():
            break
        progress(done, len(labelled), one.item.case_id)
        here: Counter[int] = Counter()
        try:
            if one.item.drawn is not None:
                arrays = [one.item.drawn.labels(one.shape_tzyx)[0]]
            else:
                arrays = [read_labels(path) for _, path in one.item.label_paths]
            for array in arrays:
                counts = np.bincount(array.reshape(-1), minlength=256)
                here.update({int(v): int(counts[v]) for v in np.flatnonzero(counts) if v})
        except NapariSslError as error:
            unreadable.append(str(error))
            continue
        voxels.update(here)
        cases.update(dict.fromkeys(here, 1))
    return LabelCounts(voxels=dict(voxels), cases=dict(cases), unreadable=tuple(unreadable))
