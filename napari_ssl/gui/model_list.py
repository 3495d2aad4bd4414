"""The list of a study's models."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_ssl.core.catalogue import DEPLOYABLE, STRATEGIES
from napari_ssl.core.model import Model, ModelState
from napari_ssl.gui.model_rows import mean_dice
from napari_ssl.gui.theme import colours_of, is_theme_change, state_icon

__all__ = ["ROW_PX", "ModelList", "plain_table"]

ROW_PX = 20
_HEADERS = ("Model", "Test", "Val.", "State", "Round", "Strategy", "Network", "Parents")
_TIPS = {
    1: "Mean Dice over structures and test cases",
    2: "Mean Dice over structures and validation cases",
}


def plain_table(headers: Sequence[str]) -> QTableWidget:
    """Return a read-only table with slim rows."""
    table = QTableWidget(0, len(headers))
    table.setHorizontalHeaderLabels(list(headers))
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(ROW_PX)
    table.verticalHeader().setMinimumSectionSize(ROW_PX)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setWordWrap(False)
    table.setShowGrid(False)
    table.setTabKeyNavigation(False)  # Tab leaves the table; arrows move in it
    table.setAlternatingRowColors(False)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    table.horizontalHeader().setStretchLastSection(True)
    table.horizontalHeader().setHighlightSections(False)
    return table


class ModelList(QWidget):
    """One row a model, the newest on top; the promoted one bears a disc, the others a ring."""

    model_selected = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._models: list[Model] = []
        self.table = plain_table(_HEADERS)
        self.table.setAccessibleName("Models, the newest first")
        self.table.itemSelectionChanged.connect(self.model_selected)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table)
        self.setFixedHeight(132)

    def show_models(self, models: Sequence[Model]) -> None:
        """Show these models, given oldest first; the selected one stays selected unless a newer one has come."""
        before = {m.id for m in self._models}
        selected = self.selected_model() if models and models[-1].id in before else None
        self._models = list(reversed(models))
        self.table.blockSignals(True)
        self.table.setRowCount(len(self._models))
        for r, model in enumerate(self._models):
            self._fill_row(r, model)
        self.table.clearSelection()
        if self._models:
            self.table.selectRow(next((r for r, m in enumerate(self._models) if selected and m.id == selected.id), 0))
        self.table.blockSignals(False)
        self.model_selected.emit()

    def _fill_row(self, r: int, model: Model) -> None:
        colours = colours_of(self)
        hue = {ModelState.PROMOTED: colours.good, ModelState.CANDIDATE: colours.warning}.get(model.state, colours.muted)
        strategy, network = STRATEGIES.get(model.strategy), DEPLOYABLE.get(model.network)
        scores = [mean_dice(model, split) for split in ("test", "validation")]
        texts = (
            model.id,
            *("–" if score is None else f"{score:.3f}" for score in scores),
            model.state.value,
            str(model.round),
            strategy.title if strategy else model.strategy,
            network.title if network else model.network,
            ", ".join(model.parents) or "–",
        )
        for c, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(_TIPS.get(c, text))
            self.table.setItem(r, c, item)
        self.table.item(r, 0).setIcon(state_icon(hue, filled=model.state is ModelState.PROMOTED))
        self.table.item(r, 0).setData(Qt.ItemDataRole.UserRole, model.id)

    def selected_model(self) -> Model | None:
        """Return the model whose row is selected."""
        rows = self.table.selectionModel().selectedRows()
        return self._models[rows[0].row()] if rows and rows[0].row() < len(self._models) else None

    def select_model(self, model_id: str) -> None:
        """Select a model's row."""
        for r, model in enumerate(self._models):
            if model.id == model_id:
                self.table.selectRow(r)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event):
            for r, model in enumerate(self._models):
                self._fill_row(r, model)
