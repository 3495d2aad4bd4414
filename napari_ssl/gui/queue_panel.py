"""The queue: cases to review with filter, order and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QEvent, QModelIndex, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.case import Split
from napari_ssl.core.decision import ReviewState
from napari_ssl.gui.queue_model import COLUMNS, STATE_TEXTS, TO_DO, QueueModel
from napari_ssl.gui.theme import colours_of, is_theme_change, muted_label, set_margins, wrapped_label
from napari_ssl.review.audit import audit_of_rows
from napari_ssl.review.queue import ORDERS
from napari_ssl.study.queue_rows import QueueRow

__all__ = ["QueuePanel"]

_ORDER_TEXTS = {
    "worst-qc-first": "QC score: lowest first",
    "best-qc-first": "QC score: highest first",
    "worst-confidence-first": "Least confident first",
    "best-confidence-first": "Most confident first",
    "most-changed-first": "Most changed first",
    "foreground-aware-random": "Random, by labelled area",
    "case-id": "Case name",
}

_FILTER_HELP = (
    "All words must occur. Also: state:rejected,todo · reader:ada · reader:none · flag:yes, flag:qc, flag:rules · "
    "split:test · group:… · model:… · round:2 · audit:yes · disputed:yes · ef<40 · conf>80 · qc<0.5 · change>10; "
    "a minus before any of them: not"
)

_SCORE, _RULES = ([title for title, *_ in COLUMNS].index(title) for title in ("P(good)", "Rules"))


class _CaseTable(QTableView):
    """A table that leaves letters to the workspace's keys instead of searching by them."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        navigation = (
            Qt.Key.Key_Up,
            Qt.Key.Key_Down,
            Qt.Key.Key_PageUp,
            Qt.Key.Key_PageDown,
            Qt.Key.Key_Home,
            Qt.Key.Key_End,
            Qt.Key.Key_Return,
            Qt.Key.Key_Enter,
        )
        if event.key() in navigation:
            super().keyPressEvent(event)
        else:
            event.ignore()


class QueuePanel(QWidget):
    """Lists the cases of a study; `case_chosen` tells which one the reader wants to see.

    `arranged` tells that filter or order were changed.
    """

    case_chosen = Signal(str)
    arranged = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = QueueModel(self)
        self._is_first_page = False
        self.search = QLineEdit()
        self.search.setPlaceholderText("Filter: words, state:todo, reader:none …")
        self.search.setAccessibleName("Filter of the queue")
        self.search.setToolTip(_FILTER_HELP)
        self.search.setClearButtonEnabled(True)
        self.split = self._combo("Split", [("All splits", None), *((s.value.capitalize(), s.value) for s in Split)])
        self.state = self._combo(
            "State", [("All states", None), ("To do", TO_DO), *((t.capitalize(), (s,)) for s, t in STATE_TEXTS.items())]
        )
        self.order = self._combo("Order", [(_ORDER_TEXTS.get(name, name), name) for name in ORDERS])
        self.order.setToolTip("Order of the list; a click on a column's heading sorts by it instead")
        self.audit = QCheckBox("10 % audit")
        self.audit.setToolTip(
            "Every tenth case (◆) is drawn at random, whatever the order: the share of accepted ones among them is not "
            "biased by it"
        )
        self.team_button = QPushButton("Team …")
        self.team_button.setToolTip("Progress and agreement of readers; plan second reads")
        self.counts = muted_label()
        self.problem = wrapped_label()
        self.problem.setAccessibleName("What is wrong with the filter")
        self.problem.hide()
        self.table = self._make_table()
        self._lay_out()
        self.search.textChanged.connect(self._filter)
        self.split.currentIndexChanged.connect(self._filter)
        self.state.currentIndexChanged.connect(self._filter)
        self.order.currentIndexChanged.connect(self._reorder)
        self.audit.toggled.connect(self._filter)
        self.table.clicked.connect(self._choose)
        self.table.activated.connect(self._choose)
        self.table.horizontalHeader().sectionClicked.connect(self._sort_by)
        self.model.recolour(colours_of(self))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event):
            self.model.recolour(colours_of(self))

    @staticmethod
    def _combo(name: str, items: Sequence[tuple[str, object]]) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(name)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(6)
        for text, data in items:
            combo.addItem(text, data)
        return combo

    def _make_table(self) -> QTableView:
        table = _CaseTable()
        table.setModel(self.model)
        table.setAccessibleName("Queue of cases; Return opens one")
        table.setTabKeyNavigation(False)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        table.verticalHeader().hide()
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        table.verticalHeader().setDefaultSectionSize(22)
        header = table.horizontalHeader()
        header.setSectionsClickable(True)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for column, width in enumerate((80, 96, 58, 42, 46, 44, 56, 52, 80, 76)):
            table.setColumnWidth(column, width)
        return table

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setSpacing(4)
        grid.addWidget(self.search, 0, 0, 1, 4)
        grid.addWidget(self.split, 1, 0, 1, 2)
        grid.addWidget(self.state, 1, 2, 1, 2)
        grid.addWidget(self.order, 2, 0, 1, 3)
        grid.addWidget(self.audit, 2, 3)
        for column in (0, 1, 2):
            grid.setColumnStretch(column, 1)
        column = QVBoxLayout(self)
        set_margins(column)
        column.addLayout(grid)
        column.addWidget(self.table, 1)
        foot = QHBoxLayout()
        foot.addWidget(self.counts, 1)
        foot.addWidget(self.team_button, 0, Qt.AlignmentFlag.AlignBottom)
        column.addLayout(foot)
        column.insertWidget(1, self.problem)
        self.empty = QLabel()
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.hide()
        column.insertWidget(1, self.empty)

    # -- content -------------------------------------------------------------------------------------------------

    def set_rows(self, rows: Sequence[QueueRow], *, is_first_page: bool = False) -> None:
        """Show rows, keeping filter, order, position and the marked case; of a first page more are still to come."""
        self._is_first_page = is_first_page
        position = self.table.verticalScrollBar().value()
        self.model.set_rows(rows)
        self.table.verticalScrollBar().setValue(position)
        for column, known in ((_SCORE, "probability_good"), (_RULES, "n_flags")):
            self.table.setColumnHidden(column, all(getattr(r, known) is None for r in rows))
        self._refresh()

    def set_state(self, case_id: str, state: ReviewState) -> None:
        """Show a decision before the study has stored it."""
        self.model.set_state(case_id, state)
        self._count()

    def set_current(self, case_id: str | None) -> None:
        """Mark the case on screen."""
        self.model.set_current(case_id)
        self._mark()
        row = self.model.row_of(case_id)
        if row is not None:
            self.table.scrollTo(self.model.index(row, 0))

    def next_case(self, step: int = 1, *, to_do_only: bool = False) -> str | None:
        """Return the neighbour of the case on screen in the list as it is shown."""
        return self.model.neighbour(step, to_do_only=to_do_only)

    def arrangement(self) -> dict[str, Any]:
        """Return filter and order as plain JSON types, for `arrange` at another time or machine."""
        column = self.model.sorted_column
        return {
            "text": self.search.text(),
            "split": self.split.currentData(),
            "state": self.state.currentText(),
            "order": self.order.currentData(),
            "audit": self.audit.isChecked(),
            "sorted": None if column is None else [COLUMNS[column[0]][0], column[1] == Qt.SortOrder.AscendingOrder],
        }

    def arrange(self, kept: Mapping[str, Any]) -> None:
        """Bring filter and order back; what is not known here is left as it is."""
        self.search.setText(str(kept.get("text", "")))
        for combo, at in (
            (self.split, self.split.findData(kept.get("split"))),
            (self.state, self.state.findText(str(kept.get("state", "")))),
            (self.order, self.order.findData(kept.get("order"))),
        ):
            if at >= 0:
                combo.setCurrentIndex(at)
        self.audit.setChecked(bool(kept.get("audit")))
        heading, ascending = kept.get("sorted") or (None, True)
        column = next((i for i, (title, *_) in enumerate(COLUMNS) if title == heading), None)
        if column is not None:
            self.model.sorted_column = None if ascending else (column, Qt.SortOrder.AscendingOrder)
            self._sort_by(column)

    def show_split(self, split: str | None) -> None:
        """Choose a split in the filter."""
        self.split.setCurrentIndex(max(0, self.split.findData(split)))

    def _filter(self) -> None:
        self.model.text = self.search.text()
        self.model.split = self.split.currentData()
        states = self.state.currentData()
        self.model.states = None if states is None else tuple(ReviewState(s) for s in states)
        self.model.audit = self.audit.isChecked()
        self.model.arrange()
        self._refresh()
        self.arranged.emit()

    def _reorder(self) -> None:
        self.model.order = self.order.currentData()
        self.model.sorted_column = None
        self.table.horizontalHeader().setSortIndicatorShown(False)
        self.model.arrange()
        self._refresh()
        self.arranged.emit()

    def _sort_by(self, column: int) -> None:
        last = self.model.sorted_column
        ascending = last is None or last[0] != column or last[1] == Qt.SortOrder.DescendingOrder
        direction = Qt.SortOrder.AscendingOrder if ascending else Qt.SortOrder.DescendingOrder
        header = self.table.horizontalHeader()
        header.setSortIndicatorShown(True)
        header.setSortIndicator(column, direction)
        self.model.sort(column, direction)
        self._refresh()
        self.arranged.emit()

    def _count(self) -> None:
        lines = [_counts(self.model.all_rows, len(self.model.rows))]
        if self._is_first_page:
            lines = [f"The {len(self.model.all_rows):,} least confident cases; the others are being read…"]
        if self.audit.isChecked() and self.model.all_rows:
            lines.append(_audit_text(self.model.all_rows))
        self.counts.setText("\n".join(lines))

    def _choose(self, index: QModelIndex) -> None:
        if index.isValid():
            self.case_chosen.emit(self.model.rows[index.row()].case_id)

    def _mark(self) -> None:
        row = self.model.row_of(self.model.current_id)
        if row is None:
            self.table.clearSelection()
        else:
            self.table.selectRow(row)

    def _refresh(self) -> None:
        self._mark()
        rows = self.model.all_rows
        self._count()
        self.problem.setText(self.model.problem)
        self.problem.setVisible(bool(self.model.problem))
        self.empty.setVisible(not self.model.rows)
        self.empty.setText(
            "No case matches the filter." if rows else "The study has no cases yet. Import images first."
        )


def _audit_text(rows: Sequence[QueueRow]) -> str:
    """Return what the audit stream says so far about the share of proposals that this reader accepts."""
    found = audit_of_rows(rows)
    if not found["n"]:
        return "◆ audit: none decided yet"
    low, high = 100 * found["low"], 100 * found["high"]
    share = f"{100 * found['rate']:.0f} % ({low:.0f} to {high:.0f} %)"
    return f"◆ audit: {found['n_accepted']} of {found['n']} accepted, {share}"


def _counts(rows: Sequence[QueueRow], n_shown: int) -> str:
    """Return how many cases there are by split and, of those with proposals, by state."""
    if not rows:
        return ""
    splits = Counter(r.split for r in rows)
    states = Counter(r.state for r in rows if r.proposal_id is not None)
    by_split = " · ".join(f"{s.value} {splits[s]}" for s in Split if splits[s])
    by_state = " · ".join(f"{text} {states[s]}" for s, text in STATE_TEXTS.items() if states[s])
    shown = f"{n_shown:,} of {len(rows):,} cases shown" if n_shown != len(rows) else f"{len(rows):,} cases"
    return "\n".join(line for line in (f"{shown}: {by_split}", by_state) if line)
