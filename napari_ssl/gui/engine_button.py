"""The button that opens the jobs of a study and the choice of a server."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton, QWidget

from napari_ssl.gui.engine_dialog import EngineDialog
from napari_ssl.study.study import Study

__all__ = ["jobs_button"]


def jobs_button(parent: QWidget, study: Callable[[], Study | None]) -> QPushButton:
    """Return a button that opens `EngineDialog` on the study that is open then."""
    button = QPushButton("Jobs and engine…")
    button.setFlat(True)
    button.setToolTip("All jobs with attempts, memory and log; run them on a server")
    button.clicked.connect(lambda: _open(study(), parent))
    return button


def _open(study: Study | None, parent: QWidget) -> None:
    dialog = EngineDialog(study, parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.show()  # beside the work
