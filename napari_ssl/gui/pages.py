"""Pages about where models and labels come from: written in a thread, opened in the browser."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

if TYPE_CHECKING:
    from napari_ssl.study.study import Study

__all__ = ["open_page", "write_provenance"]


def write_provenance(
    study: Study, *, model_id: str | None = None, case_id: str | None = None, reader: str | None = None
) -> Path:
    """Write the page, of a case as `reader` may see it; call in a thread.

    It goes into the study's folder ``reports``, or to a temporary place where that cannot be written.

    Raises
    ------
    NapariSslError
        No such model or case, or there is no place to write to.
    """
    from napari_ssl.report.provenance import write_case_page, write_model_page

    folder = Path(tempfile.mkdtemp(prefix="napari-ssl-")) if study.read_only else study.folder / "reports"
    path = folder / f"provenance-{model_id or case_id}.html"
    return write_model_page(study, model_id, path) if model_id else write_case_page(study, case_id, path, reader=reader)


def open_page(path: Path) -> bool:
    """Show a page in the browser; whether the desktop has one."""
    return QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))
