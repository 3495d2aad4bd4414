"""A site's own layout: ``<subject>/cine.nii.gz`` with ``<subject>/cine_ed.nii.gz``, labels of the first frame."""

from __future__ import annotations

from pathlib import Path

from napari_ssl.errors import ImageError
from napari_ssl.io.layouts import ImportItem, Layout


def scan_site(folder: str | Path) -> list[ImportItem]:
    """List the subjects of a folder; ImageError where there is none."""
    folder = Path(folder)
    images = sorted(folder.glob("*/cine.nii.gz"))
    if not images:
        raise ImageError(f"{folder}: no <subject>/cine.nii.gz; choose the folder that holds the subjects' folders")
    items = []
    for image in images:
        subject, labels = image.parent.name, image.with_name("cine_ed.nii.gz")
        items.append(
            ImportItem(
                subject_id=subject,
                case_id=subject,
                image_path=image,
                label_paths=((0, labels),) if labels.is_file() else (),
                ed_frame=0,
            )
        )
    return items


LAYOUT = Layout(title="Our site", scan=scan_site, fits=lambda folder: any(folder.glob("*/cine.nii.gz")))
