"""Cases that a labelling left out, with why, and the button that tries them again."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.gui.theme import Fold

__all__ = ["LeftOutCases"]

_MOST_SHOWN = 500


class LeftOutCases(QWidget):
    """Hidden while there are none.

    Signals
    -------
    again_requested : list of str
        Cases to label once more.
    case_chosen : str
        A case to look at.
    """

    again_requested = Signal(list)
    case_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._why: dict[str, str] = {}
        self._can_try = False
        self.fold = Fold("")
        self.table = QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels(("Case", "Why it was left out"))
        self.table.setAccessibleName("Cases that were left out; Return opens one")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setWordWrap(True)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.table.setMinimumHeight(110)
        self.again_button = QPushButton("Try these again")
        self.again_button.setToolTip("Label the cases of this list once more, or those of them that are selected")
        self.fold.addWidget(self.table)
        self.fold.addWidget(self.again_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.fold)
        self.again_button.clicked.connect(lambda: self.again_requested.emit(self.chosen))
        self.table.itemActivated.connect(lambda item: self.case_chosen.emit(self.table.item(item.row(), 0).text()))
        self._refresh()

    @property
    def case_ids(self) -> list[str]:
        """All that were left out."""
        return list(self._why)

    @property
    def chosen(self) -> list[str]:
        """Those that are selected; all where none is."""
        rows = sorted({index.row() for index in self.table.selectionModel().selectedRows()})
        return [self.table.item(row, 0).text() for row in rows] or self.case_ids

    def clear(self) -> None:
        """Forget all."""
        self._why = {}
        self.table.setRowCount(0)
        self._refresh()

    def add(self, why: Mapping[str, str]) -> None:
        """Add cases with the reasons; a case that is there gets the newer one."""
        for case_id, text in why.items():
            is_new = case_id not in self._why
            self._why[case_id] = text
            if is_new and self.table.rowCount() < _MOST_SHOWN:
                self._append(case_id, text)
        self._refresh()

    def _append(self, case_id: str, text: str) -> None:
        row = self.table.rowCount()
        self.table.insertRow(row)
        for column, cell in enumerate((case_id, text)):
            item = QTableWidgetItem(cell)
            item.setToolTip(cell)
            item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
            self.table.setItem(row, column, item)

    def set_can_try(self, can_try: bool) -> None:
        """Whether a labelling can be started now."""
        self._can_try = can_try
        self._refresh()

    def _refresh(self) -> None:
        n = len(self._why)
        shown = f", the first {_MOST_SHOWN:,} listed" if n > _MOST_SHOWN else ""
        self.fold.setText(f"{n:,} case{'s' if n != 1 else ''} left out{shown}")
        self.again_button.setEnabled(self._can_try and n > 0)
        self.setVisible(n > 0)
