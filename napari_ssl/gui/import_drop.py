"""Folders and DICOM files that are dropped onto the window start the import; other files open in napari as ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QWidget

from napari_ssl.gui.open_files import is_study
from napari_ssl.io.bundles import is_bundle
from napari_ssl.io.dicom.folder import is_dicom

__all__ = ["ImportDrop", "droppable"]


def droppable(paths: Sequence[Path]) -> bool:
    """Whether what is dropped is for the import: folders and DICOM files, but no study and no model."""
    if len(paths) == 1 and (is_study(paths[0]) or is_bundle(paths[0])):
        return False
    return bool(paths) and all(p.is_dir() or (p.is_file() and is_dicom(p)) for p in paths)


class ImportDrop(QObject):
    """An event filter for the widgets that things are dropped onto.

    Parameters
    ----------
    start : callable
        Called with the paths, once the drop is over.
    wanted : callable
        Whether a study is open that can be imported into.
    parent : QObject
    """

    def __init__(self, start: Callable[[list[Path]], None], wanted: Callable[[], bool], parent: QObject) -> None:
        super().__init__(parent)
        self._start = start
        self._wanted = wanted

    def install(self, *widgets: QWidget) -> None:
        """Watch these widgets."""
        for widget in widgets:
            widget.setAcceptDrops(True)
            widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take folders and DICOM files; leave everything else to napari."""
        if event.type() not in (QEvent.Type.DragEnter, QEvent.Type.DragMove, QEvent.Type.Drop) or not self._wanted():
            return False
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if not droppable(paths):
            return False
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            QTimer.singleShot(0, self, lambda: self._start(paths))  # the drop ends before the dialog opens
        return True
