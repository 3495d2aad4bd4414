"""The dialog that imports images: choose, see what was found, import with progress and cancel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.case import Split
from napari_ssl.gui.background import BackgroundRun, BackgroundTask
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.import_finding import FoundItem, look_at
from napari_ssl.gui.model_list import plain_table
from napari_ssl.gui.theme import colours_of, muted_label, set_margins, wrapped_label
from napari_ssl.io.layouts import LAYOUTS
from napari_ssl.study.importing import SPLIT_FRACTIONS, ImportReport
from napari_ssl.study.study import Study

__all__ = ["ImportDialog"]

_LAYOUT_TITLES = {
    "auto": "Find out",
    "acdc": "ACDC (patientNNN folders)",
    "plain": "Plain folder (images and *_gt, *_seg or *_label files)",
    "files": "These files",
}
_HEADERS = ("Subject", "Case", "Frames", "Slices", "Pixels", "Spacing z × y × x (mm)", "Frame time", "Labels", "Split")
_FILTER = "Images (*.nii *.nii.gz *.nrrd *.mha *.mhd);;All files (*)"


class ImportDialog(QDialog):
    """Nothing is written before "Import"; `report` holds the outcome when the dialog closes."""

    def __init__(self, parent: QWidget | None, study: Study) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Import images into {study.name}")
        self.report: ImportReport | None = None
        self._study = study
        self._paths: list[Path] = []
        self._found: list[FoundItem] = []
        self._looking = BackgroundTask(self)
        self._importing = BackgroundTask(self)
        self._close_when_done = False
        self._create_widgets()
        self._build()
        self._connect()
        self._refresh()

    def _create_widgets(self) -> None:
        self.banner = Banner(self)
        self.path = QLineEdit()
        self.path.setPlaceholderText("A folder, or an image file")
        self.folder_button = QPushButton("Folder…")
        self.files_button = QPushButton("Files…")
        self.layout_choice = QComboBox()
        for name in ("auto", *LAYOUTS):
            self.layout_choice.addItem(_LAYOUT_TITLES.get(name, name), name)
        self.split = QComboBox()
        self.split.addItem("As the folder says, else automatically", None)
        shares = ", ".join(f"{round(100 * share)} % {split}" for split, share in SPLIT_FRACTIONS.items())
        self.split.addItem(f"Automatically by subject (labelled: {shares}; unlabelled: train)", "auto")
        for split in Split:
            self.split.addItem(f"All to {split}", split.value)
        self.summary = wrapped_label("Choose a folder or files.")
        self.scheme_note = muted_label()
        self.table = plain_table(_HEADERS)
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setMaximumHeight(110)
        self.details.hide()
        self.bar = QProgressBar()
        self.bar.hide()
        self.import_button = QPushButton("Import")
        self.close_button = QPushButton("Cancel")
        for button in (self.folder_button, self.files_button, self.import_button, self.close_button):
            button.setAutoDefault(False)  # Return in the path's field means the path

    def _build(self) -> None:
        choose = QHBoxLayout()
        choose.addWidget(self.path, 1)
        choose.addWidget(self.folder_button)
        choose.addWidget(self.files_button)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Import from", choose)
        form.addRow("Layout", self.layout_choice)
        form.addRow("Split", self.split)
        buttons = QHBoxLayout()
        buttons.addWidget(self.bar, 1)
        buttons.addStretch(0)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.import_button)
        column = QVBoxLayout(self)
        set_margins(column, margin=12, spacing=8)
        column.addWidget(self.banner)
        column.addLayout(form)
        column.addWidget(self.scheme_note)
        column.addWidget(self.summary)
        column.addWidget(self.table, 1)
        column.addWidget(self.details)
        column.addLayout(buttons)
        self.resize(860, 560)

    def _connect(self) -> None:
        self.folder_button.clicked.connect(self._browse_folder)
        self.files_button.clicked.connect(self._browse_files)
        self.path.editingFinished.connect(self._path_typed)
        self.layout_choice.currentIndexChanged.connect(self._look)
        self.import_button.clicked.connect(self.start_import)
        self.close_button.clicked.connect(self.reject)
        self._looking.done.connect(self._show_found)
        self._looking.failed.connect(self._show_nothing)
        self._looking.progress.connect(self._show_progress)
        self._importing.done.connect(self._show_report)
        self._importing.failed.connect(self._import_failed)
        self._importing.progress.connect(self._show_progress)

    # -- choosing ------------------------------------------------------------------------------------------------

    def _browse_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder with images", self.path.text())
        if folder:
            self.set_paths([Path(folder)])

    def _browse_files(self) -> None:
        files, _ = QFileDialog.getOpenFileNames(self, "Images (and their label files)", self.path.text(), _FILTER)
        if files:
            self.set_paths([Path(f) for f in files])

    def _path_typed(self) -> None:
        text = self.path.text().strip()
        if (text and len(self._paths) != 1) or (text and Path(text).expanduser() != self._paths[0]):
            if len(self._paths) > 1 and text == self._many_text():
                return
            self.set_paths([Path(text).expanduser()])

    def _many_text(self) -> str:
        return f"{len(self._paths)} files in {self._paths[0].parent}"

    def set_paths(self, paths: Sequence[Path]) -> None:
        """Look at these: one folder, or files."""
        self._paths = list(paths)
        self.path.setText(str(paths[0]) if len(paths) == 1 else self._many_text())
        self._look()

    def _look(self) -> None:
        if not self._paths or self._importing.running:
            return
        paths, layout = list(self._paths), self.layout_choice.currentData()
        self.banner.clear()
        self.details.hide()
        self._found = []
        self.table.setRowCount(0)
        self.summary.setText("Looking…")
        self.bar.setRange(0, 0)
        self.bar.show()
        self._looking.start(lambda run: look_at(paths, layout, progress=run.report, should_stop=run.should_stop))
        self._refresh()

    def _show_found(self, found: list[FoundItem]) -> None:
        self.bar.hide()
        self._found = found
        bad = [f for f in found if f.problem]
        subjects = {f.item.subject_id for f in found}
        labelled = {f.item.subject_id for f in found if f.item.label_paths}
        self.summary.setText(
            f"{len(found)} image{'s' if len(found) != 1 else ''} of {len(subjects)} subject"
            f"{'s' if len(subjects) != 1 else ''}, {len(labelled)} of them with labels"
            + (f"; {len(bad)} cannot be read" if bad else "")
            + ". Nothing has been written yet."
        )
        self._fill_table()
        self._show_scheme_note()
        self._show_details([f"{f.item.image_path}: {f.problem}" for f in bad])
        self._refresh()

    def _fill_table(self) -> None:
        colours = colours_of(self)
        self.table.setUpdatesEnabled(False)
        self.table.setRowCount(len(self._found))
        for r, found in enumerate(self._found):
            for c, text in enumerate(found.texts()):
                cell = QTableWidgetItem(text)
                cell.setToolTip(found.problem or str(found.item.image_path))
                if found.problem:
                    cell.setForeground(QBrush(QColor(colours.bad)))
                if c in (2, 3):
                    cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(r, c, cell)
        self.table.setUpdatesEnabled(True)

    def _show_scheme_note(self) -> None:
        scheme = self._study.label_scheme
        meaning = ", ".join(f"{s.value} = {s.name}" for s in scheme.structures)
        text = f"Labels are read as: {meaning} (the study's scheme)."
        for proposal in {f.item.label_proposal for f in self._found if f.item.label_proposal}:
            if not proposal.agrees_with(scheme):
                text += f" Take care: {proposal.source} documents {proposal.text()}."
        self.scheme_note.setText(text)

    def _show_nothing(self, text: str) -> None:
        self.bar.hide()
        self.summary.setText("Nothing to import.")
        self.banner.show_message(text, kind="error")
        self._refresh()

    # -- importing -----------------------------------------------------------------------------------------------

    def start_import(self) -> None:
        """Import what can be read, in a thread."""
        study, split = self._study, self.split.currentData()
        items = [f.item for f in self._found if not f.problem]

        def work(run: BackgroundRun) -> ImportReport:
            return study.add_cases(items, split=split, progress=run.report, should_stop=run.should_stop)

        self.banner.clear()
        self.bar.setRange(0, 0)
        self.bar.show()
        self._importing.start(work)
        self._refresh()

    def _show_progress(self, done: int, total: int, text: str) -> None:
        self.bar.setRange(0, max(1, total))
        self.bar.setValue(done)
        if self._importing.running and not self._close_when_done:
            self.summary.setText(f"Importing {text} ({done + 1} of {total})…")

    def _show_report(self, report: ImportReport) -> None:
        self.report = report
        self.bar.hide()
        parts = [f"{len(report.added)} imported"]
        parts += [f"{len(report.skipped)} were there already"] if report.skipped else []
        parts += [f"{len(report.failed)} failed"] if report.failed else []
        parts += ["stopped before the end; import again to go on"] if report.stopped else []
        self.summary.setText("; ".join(parts) + ".")
        self._show_details([f"{path}: {message}" for path, message in report.failed])
        if report.failed:
            self.banner.show_message("Some images could not be imported; the others were. See below.", kind="warning")
        self._found = []
        self._refresh()
        if self._close_when_done:
            super().reject()

    def _import_failed(self, text: str) -> None:
        self.bar.hide()
        self.summary.setText("The import ended early; what was imported before is kept.")
        self.banner.show_message(text, kind="error")
        self._close_when_done = False
        self._refresh()

    def _show_details(self, lines: list[str]) -> None:
        self.details.setPlainText("\n".join(lines))
        self.details.setVisible(bool(lines))

    def _refresh(self) -> None:
        importing = self._importing.running
        n = sum(1 for f in self._found if not f.problem)
        self.import_button.setText(f"Import {n} image{'s' if n != 1 else ''}" if n else "Import")
        self.import_button.setEnabled(n > 0 and not importing and not self._looking.running)
        self.import_button.setToolTip("" if n else "Choose a folder or files with images first")
        for widget in (self.path, self.folder_button, self.files_button, self.layout_choice, self.split):
            widget.setEnabled(not importing)
        self.close_button.setText("Stop" if importing else "Close" if self.report else "Cancel")

    def reject(self) -> None:
        """Close; a running import stops after the present image first."""
        if self._importing.running:
            self._close_when_done = True
            self._importing.cancel()
            self.summary.setText("Stopping after this image…")
            return
        super().reject()

    def done(self, result: int) -> None:
        self._looking.close()
        self._importing.close()
        super().done(result)
