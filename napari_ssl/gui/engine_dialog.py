"""Jobs of a study and where they run: attempts, worker, memory, log, pause, stop, try again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.job import Job, JobState
from napari_ssl.gui.background import BackgroundTask
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.engine_place import PlaceForm
from napari_ssl.gui.engine_texts import details_text, job_cells
from napari_ssl.gui.job_needs import NeedsForm
from napari_ssl.gui.labelling_workers import WorkersForm
from napari_ssl.jobs.details import JobDetails, job_details
from napari_ssl.study.study import Study

__all__ = ["EngineDialog"]

_DETAILS_EVERY_MS = 1000
_STOPPED = (JobState.PAUSED, JobState.INTERRUPTED, JobState.CANCELLED)
_RESUMABLE = (*_STOPPED, JobState.FAILED)
_PAUSABLE = (JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED)
_ACKNOWLEDGED = {
    "resume": "It goes on from its last checkpoint.",
    "pause": "Asked to pause: it writes a checkpoint first.",
    "cancel": "Asked to stop.",
}
_HEADINGS = ("Job", "State", "Done", "Attempts", "Message")
_ROWS_MEASURED = 50


class EngineDialog(QDialog):
    """Stays open beside the work; closing it ends its threads, jobs go on.

    Parameters
    ----------
    study : Study or None
        Without one only the place of work can be chosen.
    """

    def __init__(self, study: Study | None, parent: QWidget | None = None, *, make_bridge: Any = JobBridge) -> None:
        super().__init__(parent)
        self.setWindowTitle("Jobs and engine")
        self.resize(820, 620)
        self._study = study
        self._jobs: list[Job] = []
        self._details = BackgroundTask(self)
        self._details.done.connect(self._show_details)
        self._bridge = None
        column = QVBoxLayout(self)
        self._add_place(column)
        self._add_jobs(column)
        self._timer = QTimer(self)
        self._timer.setInterval(_DETAILS_EVERY_MS)
        self._timer.timeout.connect(self._ask_for_details)
        if study is not None and not study.read_only:
            self._bridge = make_bridge(Path(study.folder), self)
            self._bridge.jobs_changed.connect(self._take_jobs)
            self._bridge.refused.connect(lambda _action, text: self._say(text))
            self._timer.start()
        self._refresh()

    def _add_place(self, column: QVBoxLayout) -> None:
        self.place = PlaceForm(self)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.hide()
        self.place.told.connect(self._say)
        column.addWidget(self.place)
        self.needs = NeedsForm(self)
        self.needs.told.connect(self._say)
        self.place.told.connect(lambda _words: self.needs.refresh())  # another place has other workers
        column.addWidget(self.needs)
        self.workers = WorkersForm(self)
        self.workers.told.connect(self._say)
        column.addWidget(self.workers)
        column.addWidget(self.message)

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _add_jobs(self, column: QVBoxLayout) -> None:
        self.table = QTableWidget(0, len(_HEADINGS))
        self.table.setHorizontalHeaderLabels(_HEADINGS)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().hide()
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)  # else each cell that is set measures all
        header.setResizeContentsPrecision(_ROWS_MEASURED)
        header.setStretchLastSection(True)
        self.table.setAccessibleName("Jobs, newest first")
        self.table.itemSelectionChanged.connect(self._ask_for_details)
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setAccessibleName("Attempts, memory and log of the job")
        self.retry_button = QPushButton("Try again")
        self.retry_button.setToolTip("Go on from the last checkpoint")
        self.retry_button.clicked.connect(lambda: self._order("resume"))
        self.pause_button = QPushButton("Pause")
        self.pause_button.setToolTip("Stop with a checkpoint until it is resumed")
        self.pause_button.clicked.connect(lambda: self._order("pause"))
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("End it within seconds, with a checkpoint")
        self.stop_button.clicked.connect(lambda: self._order("cancel"))
        self.force_button = QPushButton("Stop at once")
        self.force_button.setToolTip("End it now; what came after its last checkpoint is lost")
        self.force_button.clicked.connect(lambda: self._order("cancel", force=True))
        row = QHBoxLayout()
        for button in (self.retry_button, self.pause_button, self.stop_button, self.force_button):
            row.addWidget(button)
        row.addStretch(1)
        column.addWidget(self.table, 2)
        column.addLayout(row)
        column.addWidget(self.details, 1)

    def _refresh(self) -> None:
        job = self.chosen
        can_write = self._bridge is not None
        self.retry_button.setEnabled(can_write and job is not None and job.state in _RESUMABLE)
        self.retry_button.setText("Resume" if job is not None and job.state in _STOPPED else "Try again")
        self.pause_button.setEnabled(can_write and job is not None and job.state in _PAUSABLE)
        for button in (self.stop_button, self.force_button):
            button.setEnabled(can_write and job is not None and not job.state.is_over)

    # -- jobs ----------------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> Job | None:
        """The job of the selected row."""
        rows = self.table.selectionModel().selectedRows()
        return self._jobs[rows[0].row()] if rows and rows[0].row() < len(self._jobs) else None

    def _take_jobs(self, jobs: list[Job]) -> None:
        before, shown, self._jobs = self.chosen, self._jobs, list(reversed(jobs))
        if len(self._jobs) < len(shown):
            shown = []
        n_new = len(self._jobs) - len(shown)
        self.table.blockSignals(True)
        self.table.setRowCount(len(shown))
        self.table.model().insertRows(0, n_new)
        for row, job in enumerate(self._jobs):
            if row < n_new or job != shown[row - n_new]:  # of a cohort there are hundreds of batches
                self._show_row(row, job)
            if (before is None and row == 0) or (before is not None and job.id == before.id):
                self.table.selectRow(row)
        self.table.resizeColumnsToContents()
        self.table.blockSignals(False)
        self._ask_for_details()

    def _show_row(self, row: int, job: Job) -> None:
        for place, text in enumerate(job_cells(job)):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            self.table.setItem(row, place, item)

    def _ask_for_details(self) -> None:
        self._refresh()
        job, study = self.chosen, self._study
        if job is not None and study is not None and not self._details.running:
            self._details.start(lambda run: job_details(study, job.id, n_log_lines=100))

    def _show_details(self, details: JobDetails) -> None:
        if self.chosen is None or self.chosen.id != details.job.id:
            return
        text = details_text(details)
        if text != self.details.toPlainText():
            self.details.setPlainText(text)

    def _order(self, action: str, **how: bool) -> None:
        if self.chosen is not None and self._bridge is not None:
            self._say(_ACKNOWLEDGED[action])
            getattr(self._bridge, action)(self.chosen.id, **how)

    def done(self, result: int) -> None:
        """End the threads."""
        self._timer.stop()
        self.place.close_tasks()
        self.needs.close_tasks()
        self._details.close()
        if self._bridge is not None:
            self._bridge.close()
            self._bridge = None
        super().done(result)
