"""The dialog that writes labels, indices, decisions, a model or a round for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.case import Split
from napari_ssl.core.export import ALL_STATES, FORMATS, MODALITIES, ExportOptions, relabelling
from napari_ssl.errors import StudyError
from napari_ssl.gui.background import BackgroundRun, BackgroundTask
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.export_run import export_apart, export_here
from napari_ssl.gui.theme import muted_label, set_margins, wrapped_label
from napari_ssl.study.export_run import chosen_items
from napari_ssl.study.exporting import ExportReport
from napari_ssl.study.study import Study

__all__ = ["ExportDialog", "ask_export"]

_APART = ("monai-bundle",)
"""Formats that need torch, which stays out of the window's process."""

_REVIEWED = ("accepted", "corrected")


class ExportDialog(QDialog):
    """Nothing is written before "Export"; `report` holds the outcome when the dialog closes."""

    def __init__(self, parent: QWidget | None, study: Study) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Export from {study.name}")
        self.report: ExportReport | None = None
        self._study = study
        self._exporting = BackgroundTask(self)
        self._counting = BackgroundTask(self)
        self._close_when_done = False
        self._create_widgets()
        self._build()
        self._connect()
        self._choose_format()

    def _create_widgets(self) -> None:
        self.banner = Banner(self)
        self.format = _combo((entry.title, name) for name, entry in FORMATS.items())
        self.about = muted_label()
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("Folder for what is written")
        self.folder_button = QPushButton("Folder…")
        self.states = _combo((("Accepted and corrected cases", _REVIEWED), ("All cases with labels", (ALL_STATES,))))
        self.with_expert = QCheckBox("Also cases whose expert labels came with the data")
        self.split = _combo((("All subjects", None), *((f"{s.value} only".capitalize(), s.value) for s in Split)))
        self.frames = _combo((("All labelled frames", "labelled"), ("End-diastole and end-systole", "phases")))
        self.modality = _combo((m, m) for m in MODALITIES)
        self.dataset_id = _number(1, 999)
        self.n_folds = _number(0, 50, "The study's own training and validation subjects")
        models = [m for m in self._study.models() if m.state.value != "archived"]
        self.model_id = _combo((("The promoted model", None), *((m.id, m.id) for m in reversed(models))))
        rounds = sorted({m.round for m in models}, reverse=True)
        self.round = _combo((("The newest round", None), *((f"Round {r}", r) for r in rounds)))
        values = ", ".join(f"{s.value} = {s.name}" for s in self._study.label_scheme.structures)
        self.relabel = QLineEdit()
        self.relabel.setPlaceholderText("Empty: values stay. Else OLD=NEW, e.g. 1=3, 3=1")
        self.relabel.setToolTip(f"The study's values: {values}")
        self.overwrite = QCheckBox("Replace files of the same name")
        self.summary = wrapped_label("")
        self.bar = QProgressBar()
        self.bar.hide()
        self.export_button = QPushButton("&Export")
        self.export_button.setDefault(True)
        self.show_button = QPushButton("&Show folder")
        self.show_button.hide()
        self.close_button = QPushButton("Cancel")
        for button in (self.folder_button, self.show_button, self.close_button):
            button.setAutoDefault(False)

    def _build(self) -> None:
        choose = QHBoxLayout()
        choose.addWidget(self.folder, 1)
        choose.addWidget(self.folder_button)
        self._form = form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("&Format", self.format)
        form.addRow("", self.about)
        to = QLabel("&To")
        to.setBuddy(self.folder)  # a row of two widgets has none of its own
        form.addRow(to, choose)
        self._rows: dict[str, QWidget] = {}
        for caption, name in (
            ("&Cases", "states"),
            ("", "with_expert"),
            ("S&ubjects", "split"),
            ("F&rames", "frames"),
            ("I&mages are", "modality"),
            ("&Number of the data set", "dataset_id"),
            ("Fo&lds by subject", "n_folds"),
            ("Mo&del", "model_id"),
            ("R&ound", "round"),
            ("Label &values", "relabel"),
        ):
            self._rows[name] = getattr(self, name)
            form.addRow(caption, self._rows[name])
        form.addRow("", self.overwrite)
        buttons = QHBoxLayout()
        buttons.addWidget(self.bar, 1)
        buttons.addStretch(0)
        for button in (self.show_button, self.close_button, self.export_button):
            buttons.addWidget(button)
        column = QVBoxLayout(self)
        set_margins(column, margin=12, spacing=8)
        column.addWidget(self.banner)
        column.addLayout(form)
        column.addWidget(self.summary)
        column.addStretch(1)
        column.addLayout(buttons)
        self.resize(620, 460)

    def _connect(self) -> None:
        self.format.currentIndexChanged.connect(self._choose_format)
        self.folder_button.clicked.connect(self._browse)
        self.folder.textChanged.connect(self._refresh)
        for combo in (self.states, self.split):
            combo.currentIndexChanged.connect(self._count)
        self.with_expert.toggled.connect(self._count)
        self.export_button.clicked.connect(self.start_export)
        self.show_button.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(self.folder.text())))
        self.close_button.clicked.connect(self.reject)
        self._counting.done.connect(self._show_count)
        self._counting.failed.connect(lambda text: self.banner.show_message(text, kind="error"))
        self._exporting.done.connect(self._show_report)
        self._exporting.failed.connect(self._show_failure)
        self._exporting.progress.connect(self._show_progress)

    # -- choosing ------------------------------------------------------------------------------------------------

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Export to this folder", self.folder.text())
        if folder:
            self.folder.setText(folder)

    def _choose_format(self) -> None:
        entry = FORMATS[self.format.currentData()]
        self.about.setText(entry.about)
        for name, widget in self._rows.items():
            self._form.setRowVisible(widget, name in entry.options)
        self._count()

    def options(self) -> ExportOptions:
        """Return what is asked for; the format's own choices only. StudyError where a field cannot be read."""
        read: dict[str, Any] = {
            "with_expert": self.with_expert.isChecked,
            "relabel": lambda: relabelling(self.relabel.text()),
        }
        for name in ("states", "split", "frames", "modality", "model_id", "round"):
            read[name] = getattr(self, name).currentData
        for name in ("dataset_id", "n_folds"):
            read[name] = getattr(self, name).value
        return ExportOptions(**{name: read[name]() for name in FORMATS[self.format.currentData()].options})

    def _count(self) -> None:
        self.banner.clear()
        self.summary.setText("")
        self.report = None
        self.show_button.hide()
        if "states" in FORMATS[self.format.currentData()].options:
            study, name = self._study, self.format.currentData()
            heeded = {k: getattr(self, k).currentData() for k in ("states", "split")}
            options = ExportOptions(**heeded, with_expert=self.with_expert.isChecked())
            self._counting.start(lambda _run: (name, len(chosen_items(study, options))))
        self._refresh()

    def _show_count(self, counted: tuple[str, int]) -> None:
        name, n = counted
        if name == self.format.currentData() and not self._exporting.running and self.report is None:
            self.summary.setText(f"{n} case{'s' if n != 1 else ''}" if n else "No case: choose all cases with labels.")

    # -- exporting -----------------------------------------------------------------------------------------------

    def start_export(self) -> None:
        """Check what was asked for, let changed label values be confirmed, and write in the background."""
        self.banner.clear()
        try:
            options = self.options()
        except StudyError as error:
            self.banner.show_message(str(error), kind="error")
            return
        if options.relabel and not self._confirmed(options):
            return
        study, name = self._study, self.format.currentData()
        folder, overwrite = Path(self.folder.text()).expanduser(), self.overwrite.isChecked()
        write = export_apart if name in _APART else export_here

        def work(run: BackgroundRun) -> ExportReport:
            return write(study, folder, name, options, overwrite=overwrite, run=run)

        self.report = None
        self.show_button.hide()
        self.summary.setText("Exporting…")
        self.bar.setRange(0, 0)
        self.bar.show()
        self._exporting.start(work)
        self._refresh()

    def _confirmed(self, options: ExportOptions) -> bool:
        names = {s.value: s.name for s in self._study.label_scheme.structures}
        change = ", ".join(f"{names.get(old, '?')}: {old} → {new}" for old, new in options.relabel.items())
        answer = QMessageBox.question(self, "Change label values?", f"In what is exported, values change: {change}.")
        return answer == QMessageBox.StandardButton.Yes

    def _show_progress(self, done: int, total: int, text: str) -> None:
        self.bar.setRange(0, max(1, total))
        self.bar.setValue(done)
        if not self._close_when_done:
            self.summary.setText(f"Exporting {text} ({done + 1} of {total})…")

    def _show_report(self, report: ExportReport) -> None:
        self.report = report
        self.bar.hide()
        n = len(report.files)
        text = f"{n} file{'s' if n != 1 else ''} written." if n else "Nothing to export: no case is as chosen."
        self.summary.setText(" ".join([text, *(f"{note}." for note in report.notes[:4])]))
        self.show_button.setVisible(n > 0)
        self._refresh()

    def _show_failure(self, text: str) -> None:
        self.bar.hide()
        self.summary.setText("Nothing was written.")
        if self._close_when_done:
            super().reject()
            return
        self.banner.show_message(text, kind="error")
        self._refresh()

    def _refresh(self) -> None:
        exporting = self._exporting.running
        self.export_button.setEnabled(bool(self.folder.text().strip()) and not exporting)
        self.export_button.setToolTip("" if self.folder.text().strip() else "Choose a folder first")
        for widget in (self.format, self.folder, self.folder_button, self.overwrite, *self._rows.values()):
            widget.setEnabled(not exporting)
        self.close_button.setText("Stop" if exporting else "Close" if self.report else "Cancel")

    def reject(self) -> None:
        """Close; a running export is stopped first, and leaves nothing."""
        if self._exporting.running:
            self._close_when_done = True
            self._exporting.cancel()
            self.summary.setText("Stopping…")
            return
        super().reject()

    def done(self, result: int) -> None:
        self._counting.close()
        self._exporting.close()
        super().done(result)


def ask_export(parent: QWidget, study: Study | None) -> None:
    """Let the user export from the study that is open."""
    if study is not None:
        ExportDialog(parent, study).exec()


def _combo(choices: Any) -> QComboBox:
    combo = QComboBox()
    for text, value in choices:
        combo.addItem(text, value)
    return combo


def _number(low: int, high: int, special: str = "") -> QSpinBox:
    box = QSpinBox()
    box.setRange(low, high)
    box.setSpecialValueText(special)
    return box
