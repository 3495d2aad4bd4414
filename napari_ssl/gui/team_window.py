"""The Team window: how far readers are, how well they agree, and what they are to read again."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.gui.background import in_words
from napari_ssl.gui.loader import WorkQueue
from napari_ssl.gui.team_plan import KIND_TEXTS, PlanForm
from napari_ssl.gui.team_rows import (
    AGREEMENT_HEADINGS,
    PROGRESS_HEADINGS,
    acceptance_text,
    agreement_rows,
    progress_rows,
)
from napari_ssl.gui.theme import heading, muted_label, wrapped_label
from napari_ssl.review.agreement import agreement_report
from napari_ssl.study.study import Study

__all__ = ["TeamWindow"]

_NOBODY = (
    "Nobody has read a case yet. Decide about cases of the queue (A accepts, R rejects, Ctrl+Return saves a "
    "correction): every reader has a row here then. A reader's name is chosen at the bottom of the tab Review."
)
_NOTHING = "Nothing has been read twice yet. Plan second reads or hidden repeats below."


class TeamWindow(QDialog):
    """Shows the agreement report of a study and plans reads; everything is read and written in a thread.

    Parameters
    ----------
    study : Study
    reader : str
        Who looks: blind reads of the own are not told.
    """

    def __init__(self, study: Study, reader: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Team · {study.name}")
        self.resize(860, 640)
        self._study, self._reader = study, reader
        self._queue = WorkQueue(parent=self)
        self.progress = _table(PROGRESS_HEADINGS, "Progress of readers")
        self.agreement = _table(AGREEMENT_HEADINGS, "Agreement of readers")
        self.agreement.setToolTip(
            "Kappa: accept, correct, reject, beyond chance, with its 95 % bootstrap interval. EF difference: points of "
            "the LV ejection fraction, with limits of agreement (bias ± 1.96 SD)"
        )
        self.nobody = muted_label(_NOBODY)
        self.empty = muted_label(_NOTHING)
        for label in (self.nobody, self.empty):
            label.hide()
        self.acceptance = wrapped_label(selectable=True)
        self.disputed = wrapped_label(selectable=True)
        self.message = wrapped_label(selectable=True)
        self.message.setAccessibleName("What was planned")
        self.plan = PlanForm(reader)
        self.plan.setEnabled(not study.read_only)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.buttons.rejected.connect(self.reject)
        self._lay_out()
        self.plan.planned.connect(self._plan)
        self.plan.withdrawn.connect(self._withdraw)
        self.refresh()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.addWidget(heading("Progress"))
        column.addWidget(self.nobody)
        column.addWidget(self.progress, 2)
        column.addWidget(heading("Agreement"))
        column.addWidget(self.agreement, 3)
        column.addWidget(self.empty)
        column.addWidget(self.acceptance)
        column.addWidget(self.disputed)
        column.addWidget(heading("Give a reader cases to read"))
        column.addWidget(self.plan)
        column.addWidget(self.message)
        column.addStretch(1)
        column.addWidget(self.buttons)

    def refresh(self) -> None:
        """Read the study anew."""
        study = self._study
        self._queue.run(lambda: agreement_report(study), self.show_report, self._failed)

    def show_report(self, report: dict) -> None:
        """Show an agreement report."""
        readers = progress_rows(report, self._reader)
        _fill(self.progress, readers)
        self.progress.setVisible(bool(readers))
        self.nobody.setVisible(not readers)
        rows = agreement_rows(report)
        _fill(self.agreement, rows)
        self.agreement.setVisible(bool(rows))
        self.empty.setVisible(not rows)
        self.acceptance.setText(acceptance_text(report))
        cases = report["disputed"]
        self.disputed.setVisible(bool(cases))
        more = f" and {len(cases) - 12} more" if len(cases) > 12 else ""
        self.disputed.setText(
            f"Readers differ on {', '.join(cases[:12])}{more}: out of training until somebody settles them."
        )
        self.plan.set_readers([entry["reader"] for entry in report["readers"]])

    def _plan(self, work: object) -> None:
        study, kind, name = self._study, KIND_TEXTS[self.plan.chosen_kind], self.plan.name

        def done(added: list) -> None:
            text = f"{kind}: {len(added)} for {name}."
            self.message.setText(text if added else f"{text} There is nothing (more) to give.")
            self.refresh()

        self._queue.run(lambda: work(study), done, self._failed)

    def _withdraw(self, kind: str) -> None:
        study, name = self._study, self.plan.name

        def done(n: int) -> None:
            self.message.setText(f"{n} planned reads of {name} withdrawn.")
            self.refresh()

        self._queue.run(lambda: study.withdraw_reading_tasks(reader=name, kind=kind), done, self._failed)

    def _failed(self, error: Exception) -> None:
        self.message.setText(in_words(error))

    def done(self, result: int) -> None:
        """Close; a plan that is on its way is written first."""
        self._queue.close()
        super().done(result)


def _table(headings: Sequence[str], name: str) -> QTableWidget:
    table = QTableWidget(0, len(headings))
    table.setHorizontalHeaderLabels(list(headings))
    table.setAccessibleName(name)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setTabKeyNavigation(False)  # Tab leaves the table, arrows walk in it
    table.setShowGrid(False)
    table.verticalHeader().hide()
    header = table.horizontalHeader()
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setStretchLastSection(True)
    return table


def _fill(table: QTableWidget, rows: Sequence[Sequence[str]]) -> None:
    table.setRowCount(len(rows))
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            table.setItem(i, j, QTableWidgetItem(text))
