"""Take in a model from elsewhere: choose it, say what its classes are, get a candidate. Runs in a process of its own.

The window never loads torch, so the command ``napari-ssl models import`` does the work; its one line of error is shown.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.errors import CheckpointError
from napari_ssl.gui.background import BackgroundRun, BackgroundTask
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.theme import muted_label, set_margins, wrapped_label
from napari_ssl.study.study import Study

__all__ = ["ImportModelButton", "ImportModelDialog", "run_import"]

_POLL_S = 0.2


def run_import(study: Path, source: Path, labels: str, name: str, run: BackgroundRun) -> dict[str, object]:
    """Import a model by command and return its document; stopping ends the process.

    Raises
    ------
    CheckpointError
        The command's own line.
    """
    options = [*(["--labels", labels] if labels else []), *(["--name", name] if name else [])]
    command = [sys.executable, "-m", "napari_ssl", "models", "import", str(study), str(source), *options, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    while True:
        try:
            output, errors = process.communicate(timeout=_POLL_S)
            break
        except subprocess.TimeoutExpired:
            if run.should_stop():
                process.kill()
    if process.returncode:
        lines = [line for line in errors.splitlines() if line.strip()] or ["the import ended without a word"]
        raise CheckpointError(lines[-1].removeprefix("napari-ssl: "))
    return json.loads(output)


class ImportModelDialog(QDialog):
    """`model_id` holds the new candidate when the dialog closes."""

    def __init__(self, parent: QWidget | None, study: Study) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Import a model into {study.name}")
        self.model_id: str | None = None
        self._study = study
        self._task = BackgroundTask(self)
        self.banner = Banner(self)
        self.path = QLineEdit()
        self.path.setPlaceholderText("A MONAI bundle (folder or zip), or a folder with card.json")
        self.folder_button, self.zip_button = QPushButton("Folder…"), QPushButton("Zip…")
        self.labels = QLineEdit()
        self.labels.setPlaceholderText("only if the model does not say")
        self.name = QLineEdit()
        self.name.setPlaceholderText("made of the folder's name")
        self.summary = wrapped_label()
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.bar.hide()
        self.import_button, self.close_button = QPushButton("Import"), QPushButton("Cancel")
        self._build()
        self._connect()
        self._refresh()

    def _build(self) -> None:
        choose = QHBoxLayout()
        for widget in (self.path, self.folder_button, self.zip_button):
            choose.addWidget(widget)
        own = ", ".join(f"{i}={s.name}" for i, s in enumerate(self._study.label_scheme.structures, start=1))
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Model", choose)
        form.addRow("Classes", self.labels)
        form.addRow("", muted_label(f"The study's are {own}; the model's must be the same, in this order."))
        form.addRow("Name", self.name)
        buttons = QHBoxLayout()
        buttons.addWidget(self.bar, 1)
        buttons.addStretch(0)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.import_button)
        column = QVBoxLayout(self)
        set_margins(column, margin=12, spacing=8)
        column.addWidget(self.banner)
        column.addLayout(form)
        column.addWidget(self.summary)
        column.addLayout(buttons)
        self.resize(640, 260)

    def _connect(self) -> None:
        self.folder_button.clicked.connect(self._browse_folder)
        self.zip_button.clicked.connect(self._browse_zip)
        self.path.textChanged.connect(lambda _: self._refresh())
        self.import_button.clicked.connect(self.start_import)
        self.close_button.clicked.connect(self.reject)
        self._task.done.connect(self._show_model)
        self._task.failed.connect(self._show_failure)

    def _browse_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the model", self.path.text())
        if folder:
            self.path.setText(folder)

    def _browse_zip(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "Bundle", self.path.text(), "MONAI bundle (*.zip)")
        if file:
            self.path.setText(file)

    def start_import(self) -> None:
        """Import in the background."""
        study, source = self._study.folder, Path(self.path.text().strip()).expanduser()
        labels, name = self.labels.text().strip(), self.name.text().strip()
        self.banner.clear()
        self.summary.setText("Reading and checking the model; nothing of it is run …")
        self.bar.show()
        self._task.start(lambda run: run_import(study, source, labels, name, run))
        self._refresh()

    def _show_model(self, document: dict[str, object]) -> None:
        self.bar.hide()
        self.model_id = str(document["id"])
        notes = "; ".join(map(str, document["notes"]))
        self.summary.setText(f"{self.model_id} is a candidate now. Take note: {notes}.")
        self._refresh()

    def _show_failure(self, text: str) -> None:
        self.bar.hide()
        self.summary.setText("")
        self.banner.show_message(text, kind="error")
        self._refresh()

    def _refresh(self) -> None:
        running = self._task.running
        self.import_button.setEnabled(bool(self.path.text().strip()) and not running and self.model_id is None)
        for widget in (self.path, self.folder_button, self.zip_button, self.labels, self.name):
            widget.setEnabled(not running and self.model_id is None)
        self.close_button.setText("Stop" if running else "Close" if self.model_id else "Cancel")

    def done(self, result: int) -> None:
        self._task.close()
        super().done(result)


class ImportModelButton(QPushButton):
    """Opens the dialog; `imported` carries the new candidate."""

    imported = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Import a model …", parent)
        self.setToolTip("Take in a MONAI bundle, or weights with a card from another study, as a candidate")
        self._study: Study | None = None
        self.set_study(None)
        self.clicked.connect(lambda: self.ask())

    def set_study(self, study: Study | None) -> None:
        """Import into another study; disabled without one that can be written."""
        self._study = study
        self.setEnabled(study is not None and not study.read_only)

    def ask(self, path: Path | None = None) -> None:
        """Let the user import a model; `path` is filled in where it was dropped onto the window."""
        dialog = ImportModelDialog(self.window(), self._study)
        if path is not None:
            dialog.path.setText(str(path))
        dialog.exec()
        if dialog.model_id is not None:
            self.imported.emit(dialog.model_id)
