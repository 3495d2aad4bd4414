"""The dialog that imports images: choose, see what was found, say what labels mean, import with progress and cancel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from napari_ssl.gui.import_drop import ImportDrop
from napari_ssl.gui.import_finding import HEADERS, NUMBER_COLUMNS, FoundItem, LabelCounts, count_labels, look_at
from napari_ssl.gui.import_labels import LabelOrderEditor
from napari_ssl.gui.import_options import ImportOptions
from napari_ssl.gui.model_list import plain_table
from napari_ssl.gui.theme import colours_of, set_margins, wrapped_label
from napari_ssl.io.identity import Pseudonyms
from napari_ssl.io.layouts import LAYOUTS
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.study.importing import SPLIT_FRACTIONS, ImportReport, placed
from napari_ssl.study.study import Study

__all__ = ["ImportDialog"]

_FILTER = "Images (*.nii *.nii.gz *.nrrd *.mha *.mhd *.dcm);;All files (*)"


class ImportDialog(QDialog):
    """Nothing is written before "Import"; `report` holds the outcome when the dialog closes."""

    def __init__(self, parent: QWidget | None, study: Study) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Import images into {study.name}")
        self.report: ImportReport | None = None
        self._study = study
        self._paths: list[Path] = []
        self._found: list[FoundItem] = []
        self._pseudonyms: Pseudonyms | None = None
        self._looking = BackgroundTask(self)
        self._counting = BackgroundTask(self)
        self._importing = BackgroundTask(self)
        self._close_when_done = False
        self._create_widgets()
        self._build()
        self._connect()
        self._refresh()

    def _create_widgets(self) -> None:
        self.banner = Banner(self)
        self.path = QLineEdit()
        self.path.setAccessibleName("Folder or file")
        self.path.setPlaceholderText("A folder, an image file, or drop one here")
        self.folder_button = QPushButton("Folder…")
        self.files_button = QPushButton("Files…")
        self.layout_choice = QComboBox()
        self.layout_choice.addItem("Find out", "auto")
        for name, layout in LAYOUTS.items():
            self.layout_choice.addItem(layout.title, name)
        self.options = ImportOptions()
        self.split = QComboBox()
        self.split.addItem("As the folder says, else automatically", None)
        shares = ", ".join(f"{round(100 * share)} % {split}" for split, share in SPLIT_FRACTIONS.items())
        self.split.addItem(f"Automatically by subject (labelled: {shares}; unlabelled: train)", "auto")
        for split in Split:
            self.split.addItem(f"All to {split}", split.value)
        self.summary = wrapped_label("Choose a folder or files.")
        self.labels = LabelOrderEditor(self._study.label_scheme)
        self.table = plain_table(HEADERS)
        self.table.setAccessibleName("What was found")
        self.details = QPlainTextEdit()
        self.details.setTabChangesFocus(True)
        self.details.setAccessibleName("Details")
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
        form.addRow("Options", self.options)
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
        column.addWidget(self.summary)
        column.addWidget(self.table, 1)
        column.addWidget(self.labels)
        column.addWidget(self.details)
        column.addLayout(buttons)
        self.resize(980, 640)
        self._drop = ImportDrop(self.set_paths, lambda: not self._importing.running, self)
        self._drop.install(self)

    def _connect(self) -> None:
        self.folder_button.clicked.connect(self._browse_folder)
        self.files_button.clicked.connect(self._browse_files)
        self.path.editingFinished.connect(self._path_typed)
        self.layout_choice.currentIndexChanged.connect(self._layout_chosen)
        self.options.changed.connect(self._look)
        self.labels.changed.connect(self._refresh)
        self.table.itemChanged.connect(lambda _: self._refresh())
        self.import_button.clicked.connect(self.start_import)
        self.close_button.clicked.connect(self.reject)
        self._looking.done.connect(self._show_found)
        self._looking.failed.connect(self._show_nothing)
        self._looking.progress.connect(self._show_progress)
        self._counting.done.connect(self._show_counts)
        self._counting.progress.connect(self._show_progress)
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

    def _layout_chosen(self) -> None:
        self.options.show_for(self.layout_choice.currentData())
        self._look()

    def _look(self) -> None:
        if not self._paths or self._importing.running:
            return
        paths, layout = list(self._paths), self.layout_choice.currentData()
        self.banner.clear()
        self.details.hide()
        self._found = []
        self._counting.cancel()
        self.table.setRowCount(0)
        self.labels.set_files((), labelled=False)
        self.summary.setText("Looking…")
        self.bar.setRange(0, 0)
        self.bar.show()

        def work(run: BackgroundRun) -> list[FoundItem]:
            options, self._pseudonyms = self.options.scan_options(self._study.folder, run)
            return look_at(paths, layout, options=options)

        self._looking.start(work)
        self._refresh()

    def _show_found(self, found: list[FoundItem]) -> None:
        self.bar.hide()
        self._found = found
        bad = [f for f in found if f.problem]
        subjects = {f.item.subject_id for f in found}
        labelled = {f.item.subject_id for f in found if f.item.has_labels}
        self.summary.setText(
            f"{len(found)} image{'s' if len(found) != 1 else ''} of {len(subjects)} subject"
            f"{'s' if len(subjects) != 1 else ''}, {len(labelled)} of them with labels"
            + (f"; {len(bad)} cannot be read" if bad else "")
            + ". Nothing has been written yet."
        )
        self._fill_table()
        self.labels.set_files((f.item.label_proposal for f in found), labelled=bool(labelled))
        self._show_details([placed(f.item.shown, f.problem) for f in bad])
        if labelled:
            self._counting.start(lambda run: count_labels(found, progress=run.report, should_stop=run.should_stop))
        self._refresh()

    def _show_counts(self, counts: LabelCounts) -> None:
        self.bar.setVisible(self._importing.running)
        self.labels.set_counts(counts)

    def _fill_table(self) -> None:
        colours = colours_of(self)
        self.table.setUpdatesEnabled(False)
        self.table.blockSignals(True)
        self.table.setRowCount(len(self._found))
        for r, found in enumerate(self._found):
            for c, text in enumerate(found.texts()):
                cell = QTableWidgetItem(text)
                cell.setToolTip(found.problem or "\n".join((found.item.shown, *found.remarks)))
                if c == 0 and not found.problem:
                    cell.setFlags(cell.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                    cell.setCheckState(Qt.CheckState.Checked)
                if found.problem:
                    cell.setForeground(QBrush(QColor(colours.bad)))
                if c in NUMBER_COLUMNS:
                    cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(r, c, cell)
        self.table.blockSignals(False)
        self.table.setUpdatesEnabled(True)

    def _show_nothing(self, text: str) -> None:
        self.bar.hide()
        self.summary.setText("Nothing to import.")
        self.banner.show_message(text, kind="error")
        self._refresh()

    # -- importing -----------------------------------------------------------------------------------------------

    def start_import(self) -> None:
        """Import what can be read, in a thread."""
        study, split, order, pseudonyms = self._study, self.split.currentData(), self.labels.order(), self._pseudonyms
        items = [replace(item, label_order=order) for item in self._chosen()]
        is_dicom = any(i.conversion is not None and i.conversion.format == "dicom" for i in items)
        self._counting.cancel()

        def work(run: BackgroundRun) -> ImportReport:
            if is_dicom:
                pseudonyms.store()
            return study.add_cases(items, split=split, progress=run.report, should_stop=run.should_stop)

        self.banner.clear()
        self.bar.setRange(0, 0)
        self.bar.show()
        self._importing.start(work)
        self._refresh()

    def _chosen(self) -> list[ImportItem]:
        """Return what is ticked; what cannot be read never is."""
        return [
            found.item
            for r, found in enumerate(self._found)
            if not found.problem and self.table.item(r, 0).checkState() == Qt.CheckState.Checked
        ]

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
        self._show_details(list(report.failures))
        if report.failed:
            self.banner.show_message("Some images could not be imported; the others were. See below.", kind="warning")
        self._found = []
        self.labels.set_files((), labelled=False)
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
        n = len(self._chosen()) if self.table.rowCount() == len(self._found) else 0
        complete = self.labels.is_complete
        self.import_button.setText(f"Import {n} image{'s' if n != 1 else ''}" if n else "Import")
        self.import_button.setEnabled(n > 0 and complete and not importing and not self._looking.running)
        why = "Choose a folder or files with images first" if not n else "Say what the labels mean first"
        self.import_button.setToolTip("" if n and complete else why)
        for widget in (
            self.path, self.folder_button, self.files_button, self.layout_choice, self.options, self.split, self.labels
        ):  # fmt: skip
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
        for task in (self._looking, self._counting, self._importing):
            task.close()
        super().done(result)
