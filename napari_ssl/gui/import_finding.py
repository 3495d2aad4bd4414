"""What lies in a folder that may be imported, as far as headers tell. Free of Qt; writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_ssl.errors import NapariSslError
from napari_ssl.io.images import read_header
from napari_ssl.io.layouts import scan
from napari_ssl.io.layouts.item import ImportItem

__all__ = ["FoundItem", "look_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundItem:
    """An image that was found and what its header says, or why it cannot be read."""

    item: ImportItem
    shape_tzyx: tuple[int, int, int, int] | None = None
    spacing_zyx_mm: tuple[float, float, float] | None = None
    frame_interval_ms: float | None = None
    problem: str = ""

    def texts(self) -> tuple[str, ...]:
        """Return the columns of the table."""
        item = self.item
        t, z, y, x = self.shape_tzyx or ("", "", "", "")
        spacing = " × ".join(f"{s:g}" for s in self.spacing_zyx_mm or ())
        interval = "" if self.frame_interval_ms is None else f"{self.frame_interval_ms:g} ms"
        frames = [f for f, _ in item.label_paths]
        labels = "none" if not frames else "file" if None in frames else f"frames {', '.join(map(str, sorted(frames)))}"
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
        )


def look_at(
    paths: Sequence[Path],
    layout: str,
    *,
    progress: Callable[[int, int, str], None],
    should_stop: Callable[[], bool],
) -> list[FoundItem]:
    """Find images and read their headers; writes nothing. Errors of single files are kept with them.

    Raises
    ------
    ImageError
        Nothing to import, or the layout does not fit.
    """
    items = scan(paths[0] if len(paths) == 1 else list(paths), layout)
    found = []
    for done, item in enumerate(items):
        if should_stop():
            break
        progress(done, len(items), item.case_id)
        try:
            header = read_header(item.image_path)
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
