"""Two models side by side: per structure and per case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.model import Model
from napari_ssl.gui.background import BackgroundRun, BackgroundTask
from napari_ssl.gui.model_list import ROW_PX, plain_table
from napari_ssl.gui.model_rows import (
    CaseRow,
    StructureRow,
    case_rows,
    comparison_sentence,
    default_pair,
    shared_splits,
    structure_rows,
)
from napari_ssl.gui.theme import WheelGuard, colours_of, is_theme_change, muted_label, set_margins, wrapped_label
from napari_ssl.measures.evaluation import compare

__all__ = ["ModelComparison"]


class _NumberItem(QTableWidgetItem):
    """A cell that sorts by its number; what has none comes last."""

    def __init__(self, value: float | None, text: str) -> None:
        super().__init__(text)
        self._value = value
        self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        mine = float("inf") if self._value is None else self._value
        theirs = getattr(other, "_value", None)
        return mine < (float("inf") if theirs is None else theirs)


class ModelComparison(QWidget):
    """Chooses two models and shows how they differ on the cases that both were measured on.

    `case_chosen` carries a case to show and the two models, old and new.
    """

    compared = Signal()
    case_chosen = Signal(str, str, str)

    def __init__(self) -> None:
        super().__init__()
        self._models: list[Model] = []
        self._chosen_by_hand = False
        self._rows: list[StructureRow] = []
        self._task = BackgroundTask(self)
        self._task.done.connect(self._show)
        self._task.failed.connect(self._show_problem)
        self.old = _model_combo()
        self.new = _model_combo()
        self.split = _model_combo()
        self._guard = WheelGuard(self)
        self._guard.protect(self.old, self.new, self.split)
        self.sentence = wrapped_label()
        self.hint = muted_label(
            "▲ better, ▼ worse: the 95 % interval (paired bootstrap over subjects) leaves zero out. HD95 in mm; "
            "EF err.: absolute error of the ejection fraction in percentage points."
        )
        self.structures = plain_table(["", "Old", "New", "Change", "95 %"])
        self.cases = plain_table(["Case", "Old", "New", "Change", "LV EF err."])
        self.structures.setAccessibleName("Old and new model by structure")
        self.cases.setAccessibleName("Old and new model by case")
        for table in (self.structures, self.cases):
            table.setTextElideMode(Qt.TextElideMode.ElideNone)
            table.horizontalHeader().setStretchLastSection(False)
        self.cases.setToolTip("Mean Dice over structures; error of the LV ejection fraction in points, old → new")
        self.cases.itemActivated.connect(lambda _item: self.show_case())
        self.show_button = QPushButton("Show the case under both models")
        self.show_button.setToolTip("Labels of the new model, contours of the old one and of the expert [Return]")
        self.show_button.clicked.connect(self.show_case)
        self.cases.setSortingEnabled(True)
        self.cases.sortByColumn(3, Qt.SortOrder.AscendingOrder)
        form = QFormLayout()
        form.addRow("Old", self.old)
        form.addRow("New", self.new)
        form.addRow("Cases", self.split)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        column = QVBoxLayout(self)
        set_margins(column, margin=0)
        column.addLayout(form)
        for widget in (self.sentence, self.structures, self.hint, self.cases, self.show_button):
            column.addWidget(widget)
        for combo in (self.old, self.new):
            combo.activated.connect(self._choose)
            combo.currentIndexChanged.connect(self._offer_splits)
        self.split.currentIndexChanged.connect(self._compare)

    def close_task(self) -> None:
        """End the thread."""
        self._task.close()

    def show_models(self, models: Sequence[Model]) -> None:
        """Offer these models; the promoted one and the newest candidate are compared unless the user chose others."""
        keep = (self.old.currentData(), self.new.currentData()) if self._chosen_by_hand else (None, None)
        self._models = list(models)
        known = {m.id for m in models}
        pair = keep if set(keep) <= known else tuple(m.id if m else None for m in default_pair(models))
        for combo, wanted in zip((self.old, self.new), pair, strict=True):
            combo.blockSignals(True)
            combo.clear()
            for model in reversed(models):
                combo.addItem(f"{model.id} ({model.state.value})", model.id)
            combo.setCurrentIndex(combo.findData(wanted))
            combo.blockSignals(False)
        self._offer_splits()

    def compare_with(self, old_id: str, new_id: str) -> None:
        """Compare these two models."""
        self._chosen_by_hand = True
        for combo, wanted in ((self.old, old_id), (self.new, new_id)):
            combo.setCurrentIndex(combo.findData(wanted))

    def show_case(self) -> None:
        """Ask for the selected case, the first without a selection, to be shown under both models."""
        row = max(0, self.cases.currentRow())
        old, new = self._pair()
        if old is not None and new is not None and self.cases.item(row, 0) is not None:
            self.case_chosen.emit(self.cases.item(row, 0).text(), old.id, new.id)

    def _choose(self) -> None:
        self._chosen_by_hand = True

    def _pair(self) -> tuple[Model | None, Model | None]:
        by_id = {m.id: m for m in self._models}
        return by_id.get(self.old.currentData()), by_id.get(self.new.currentData())

    def _offer_splits(self) -> None:
        old, new = self._pair()
        splits = shared_splits(old, new) if old and new else ()
        wanted = self.split.currentData()
        self.split.blockSignals(True)
        self.split.clear()
        for split in splits:
            self.split.addItem(f"{split.capitalize()} cases", split)
        self.split.setCurrentIndex(max(0, self.split.findData(wanted)) if splits else -1)
        self.split.blockSignals(False)
        self._compare()

    def _compare(self) -> None:
        old, new = self._pair()
        split = self.split.currentData()
        self._task.cancel()
        if old is None or new is None or old.id == new.id:
            self._show_problem("Train a second model to compare." if len(self._models) < 2 else "Choose two models.")
            return
        if split is None:
            self._show_problem("These models were not measured on the same cases; evaluate them on the test cases.")
            return
        first, second = old.metrics[split], new.metrics[split]

        def work(run: BackgroundRun) -> tuple[Any, list[CaseRow], str]:
            return compare(first, second), case_rows(first, second), split

        self._task.start(work)

    def _show(self, outcome: tuple[Any, list[CaseRow], str]) -> None:
        comparison, cases, split = outcome
        self.sentence.setText(comparison_sentence(comparison, split))
        self._rows = structure_rows(comparison)
        self._fill_structures()
        self._fill_cases(cases)
        self._set_tables_visible(True)
        self.compared.emit()

    def _show_problem(self, text: str) -> None:
        self._task.cancel()
        self.sentence.setText(text)
        self._set_tables_visible(False)

    def _set_tables_visible(self, visible: bool) -> None:
        for widget in (self.structures, self.hint, self.cases, self.show_button):
            widget.setVisible(visible)

    def _fill_structures(self) -> None:
        table, colours = self.structures, colours_of(self)
        table.setRowCount(len(self._rows))
        for r, row in enumerate(self._rows):
            mark = {1: "▲ ", -1: "▼ ", 0: ""}[row.good]
            for c, text in enumerate((row.title, row.old, row.new, mark + row.difference, row.interval)):
                item = QTableWidgetItem(text)
                if c:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                if c == 3 and row.good:
                    item.setForeground(QBrush(QColor(colours.good if row.good > 0 else colours.bad)))
                table.setItem(r, c, item)
        _fit_height(table, len(self._rows))

    def _fill_cases(self, rows: list[CaseRow]) -> None:
        table = self.cases
        table.setSortingEnabled(False)
        table.setRowCount(len(rows))
        for r, row in enumerate(rows):
            table.setItem(r, 0, QTableWidgetItem(row.case_id))
            for c, (value, text) in enumerate(
                (
                    (row.old_dice, _text(row.old_dice, "{:.3f}")),
                    (row.new_dice, _text(row.new_dice, "{:.3f}")),
                    (row.difference, _text(row.difference, "{:+.3f}")),
                    (
                        row.new_ef_error,
                        f"{_text(row.old_ef_error, '{:+.1f}')}→{_text(row.new_ef_error, '{:+.1f}')}",
                    ),
                ),
                start=1,
            ):
                table.setItem(r, c, _NumberItem(value, text))
        table.setSortingEnabled(True)
        _fit_height(table, min(len(rows), 8))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event) and self._rows:
            self._fill_structures()


def _text(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value).replace("-", "−")


def _fit_height(table: QTableWidget, n_rows: int) -> None:
    bar = table.horizontalScrollBar().sizeHint().height()
    table.setFixedHeight(table.horizontalHeader().sizeHint().height() + n_rows * ROW_PX + bar + 4)


def _model_combo() -> QComboBox:
    combo = QComboBox()
    combo.setMinimumContentsLength(8)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return combo
