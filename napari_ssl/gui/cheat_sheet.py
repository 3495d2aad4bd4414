"""The list of keys, opened with ``?``, where they can also be changed."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.gui.keys import ACTIONS, DIGITS, KeyTable

__all__ = ["CheatSheet"]

_MOUSE = (
    "Mouse: wheel = slice · Shift+wheel = time · Ctrl+wheel = zoom · drag in the curve = time · click in the legend, "
    "or Ctrl+click on a structure = choose it · right click on a structure = relabel its region, lock it"
)


class CheatSheet(QDialog):
    """Shows every action with its key; select one and press "Change" to give it another."""

    def __init__(self, table: KeyTable, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of the review workspace")
        self.resize(560, 680)
        self._table = table
        self._ids: list[str | None] = []
        self.list = QTableWidget(0, 2)
        self.list.setHorizontalHeaderLabels(["Action", "Key"])
        self.list.setAccessibleName("Actions and their keys")
        self.list.setTabKeyNavigation(False)
        self.list.verticalHeader().hide()
        self.list.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.edit = QKeySequenceEdit()
        self.edit.setEnabled(False)
        self.edit.setAccessibleName("New key")
        self.change_button = QPushButton("Change")
        self.change_button.setEnabled(False)
        self.message = QLabel("; ".join(table.problems))
        self.message.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(QLabel("New key for the selected action:"))
        row.addWidget(self.edit, 1)
        row.addWidget(self.change_button)
        mouse = QLabel(_MOUSE)
        mouse.setWordWrap(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        reset = buttons.addButton("Reset all", QDialogButtonBox.ButtonRole.ResetRole)
        column = QVBoxLayout(self)
        for widget in (self.list, mouse):
            column.addWidget(widget)
        column.addLayout(row)
        column.addWidget(self.message)
        column.addWidget(buttons)
        buttons.rejected.connect(self.reject)
        reset.clicked.connect(self._reset)
        self.change_button.clicked.connect(self._change)
        self.list.itemSelectionChanged.connect(self._selected)
        self._fill()

    def _fill(self) -> None:
        self._ids = []
        rows: list[tuple[str | None, str, str]] = []
        for group in dict.fromkeys(a.group for a in ACTIONS):
            rows.append((None, group, ""))
            for action in (a for a in ACTIONS if a.group == group):
                keys = (QKeySequence(k) for k in self._table.keys(action.id))
                native = ", ".join(k.toString(QKeySequence.SequenceFormat.NativeText) for k in keys)
                rows.append((action.id, action.text, native))
            rows += [(None, f"   {text}", keys) for of_group, text, keys in DIGITS if of_group == group]
        self.list.setRowCount(len(rows))
        for i, (action_id, text, keys) in enumerate(rows):
            self._ids.append(action_id)
            items = (QTableWidgetItem(text if action_id is None else f"   {text}"), QTableWidgetItem(keys))
            for column, item in enumerate(items):
                if action_id is None:
                    item.setFlags(Qt.ItemFlag.ItemIsEnabled)
                if action_id is None and not keys:
                    font = item.font()
                    font.setBold(True)
                    item.setFont(font)
                self.list.setItem(i, column, item)
        self.list.resizeRowsToContents()

    def _selected_id(self) -> str | None:
        rows = self.list.selectionModel().selectedRows()
        return self._ids[rows[0].row()] if rows else None

    def _selected(self) -> None:
        chosen = self._selected_id() is not None
        self.edit.setEnabled(chosen)
        self.change_button.setEnabled(chosen)
        self.edit.clear()

    def _change(self) -> None:
        action_id = self._selected_id()
        key = self.edit.keySequence().toString(QKeySequence.SequenceFormat.PortableText).split(",")[0].strip()
        if action_id is None or not key:
            self.message.setText("Press the new key in the field first.")
            return
        self._apply(lambda: self._table.set_keys(action_id, (key,)))

    def _reset(self) -> None:
        self._apply(self._table.reset)

    def _apply(self, change) -> None:
        try:
            change()
            self._table.save()
            self.message.setText("")
        except ValueError as error:
            self.message.setText(str(error))
        except OSError as error:
            self.message.setText(f"Changed for this session only; {self._table.path} cannot be written: {error}")
        self._fill()
