"""The history of a case: who did what, when, on which labels; any own decision can be taken back from here."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QHBoxLayout, QPushButton, QTableWidgetItem, QVBoxLayout, QWidget

from napari_ssl.gui.history_rows import HistoryRow
from napari_ssl.gui.model_list import plain_table
from napari_ssl.gui.theme import colours_of, set_margins, wrapped_label

__all__ = ["HistoryDialog"]

_HEADERS = ("When", "Who", "What", "Labels", "Model", "Time spent", "Remark")


class HistoryDialog(QDialog):
    """Lists the rows. The requests are signals; the dialog stays open after a decision is taken back.

    `take_back_wanted` carries the numbers of a decision and of a verdict on a place, one of them −1;
    `labels_wanted` a label version to show; `page_wanted` asks for the page about where the labels come from.
    """

    take_back_wanted = Signal(int, int)
    labels_wanted = Signal(int)
    page_wanted = Signal()

    def __init__(self, case_id: str, rows: Sequence[HistoryRow], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"History of {case_id}")
        self._rows: list[HistoryRow] = []
        self.table = plain_table(_HEADERS)
        self.table.setAccessibleName(f"History of {case_id}, the newest first")
        self.told = wrapped_label()
        self.take_back_button = QPushButton("&Take this back")
        self.take_back_button.setToolTip("Your own decisions and verdicts; the history keeps that they were there")
        self.show_button = QPushButton("&Show these labels")
        self.show_button.setToolTip("Show the version that this line is about; nothing is changed by looking")
        self.page_button = QPushButton("Where the labels come from …")
        self.page_button.setToolTip("Versions, decisions and the models behind them, as a page in the browser")
        buttons = QHBoxLayout()
        for button in (self.take_back_button, self.show_button, self.page_button):
            button.setAutoDefault(False)
            buttons.addWidget(button)
        buttons.addStretch(1)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        column = QVBoxLayout(self)
        set_margins(column, margin=12, spacing=8)
        for part in (self.table, self.told):
            column.addWidget(part)
        column.addLayout(buttons)
        column.addWidget(close)
        close.rejected.connect(self.reject)
        self.table.itemSelectionChanged.connect(self._selected)
        self.table.itemActivated.connect(lambda _item: self._show_labels())
        self.take_back_button.clicked.connect(self._take_back)
        self.show_button.clicked.connect(self._show_labels)
        self.page_button.clicked.connect(self.page_wanted)
        self.show_rows(rows)
        self.resize(900, 420)

    def show_rows(self, rows: Sequence[HistoryRow]) -> None:
        """List what happened."""
        self._rows = list(rows)
        self.ensurePolished()  # only then it has the colours that it is shown in
        muted = QColor(colours_of(self).muted)
        self.table.setRowCount(len(self._rows))
        for r, row in enumerate(self._rows):
            for c, text in enumerate(row.texts):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                if row.taken_back:
                    item.setForeground(muted)
                if c == 5:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(r, c, item)
        self.tell("" if self._rows else "Nothing has happened to this case yet.")
        if self._rows:
            self.table.selectRow(0)
        self._selected()

    def selected(self) -> HistoryRow | None:
        """Return the line that is selected."""
        rows = self.table.selectionModel().selectedRows()
        return self._rows[rows[0].row()] if rows and rows[0].row() < len(self._rows) else None

    def tell(self, text: str) -> None:
        """Say something under the list."""
        self.told.setText(text)
        self.told.setVisible(bool(text))

    def _selected(self) -> None:
        row = self.selected()
        self.take_back_button.setEnabled(row is not None and (row.decision_id or row.place_id) is not None)
        self.show_button.setEnabled(row is not None)

    def _take_back(self) -> None:
        row = self.selected()
        if row is not None and (row.decision_id or row.place_id) is not None:
            self.take_back_button.setEnabled(False)
            self.take_back_wanted.emit(row.decision_id or -1, row.place_id or -1)

    def _show_labels(self) -> None:
        row = self.selected()
        if row is not None:
            self.accept()
            self.labels_wanted.emit(row.segmentation_id)
