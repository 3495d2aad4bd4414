"""The queue as a Qt table model over plain rows; filter, order and neighbours of a case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor, QIcon

from napari_ssl.core.decision import ReviewState
from napari_ssl.errors import CatalogueError
from napari_ssl.gui.theme import Colours, state_icon
from napari_ssl.review.audit_draw import AUDIT_SEED, in_audit
from napari_ssl.review.queue import filter_rows, order_rows, with_audit
from napari_ssl.review.queue_filter import TO_DO, row_text
from napari_ssl.study.queue_rows import QueueRow

__all__ = ["COLUMNS", "STATE_COLOURS", "STATE_TEXTS", "TO_DO", "QueueModel"]

STATE_TEXTS = {
    ReviewState.UNREVIEWED: "to review",
    ReviewState.IN_PROGRESS: "in progress",
    ReviewState.ACCEPTED: "accepted",
    ReviewState.CORRECTED: "corrected",
    ReviewState.REJECTED: "rejected",
    ReviewState.DEFERRED: "deferred",
    ReviewState.SUPERSEDED: "new labels",
}

STATE_COLOURS = {
    ReviewState.UNREVIEWED: "#9AA0A6",
    ReviewState.IN_PROGRESS: "#F0E442",
    ReviewState.ACCEPTED: "#2FBF8F",
    ReviewState.CORRECTED: "#56B4E9",
    ReviewState.REJECTED: "#FF8A5C",
    ReviewState.DEFERRED: "#CC79A7",
    ReviewState.SUPERSEDED: "#E69F00",
}

_STATE_RANK = {state: rank for rank, state in enumerate(STATE_TEXTS)}
_AUDIT_MARK = "◆"
_TASK_TEXTS = {"adjudication": "to settle", "second-read": "second read"}


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _state_text(row: QueueRow) -> str:
    """Return the state, or why there is nothing to review."""
    if row.state is ReviewState.UNREVIEWED and row.proposal_id is None:
        return "expert" if row.has_reference else "no labels"
    if row.task is not None and row.state in TO_DO:
        return _TASK_TEXTS.get(row.task, row.task)
    return STATE_TEXTS[row.state]


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"


COLUMNS: tuple[tuple[str, str, Callable[[QueueRow], str], Callable[[QueueRow], Any]], ...] = (
    ("Case", "Case", lambda r: r.case_id, lambda r: r.case_id),
    (
        "State",
        "Where the review stands, for you",
        _state_text,
        lambda r: f"{_STATE_RANK[r.state]}{_state_text(r)}",
    ),
    (
        "P(good)",
        "What the QC classifier says about the newest proposal: the probability that a reader finds it good. "
        "⚑ marks those below its operating point",
        lambda r: "" if r.probability_good is None else f"{r.probability_good:.2f}{' ⚑' if r.is_flagged else ''}",
        lambda r: r.probability_good,
    ),
    (
        "Rules",
        "How many plausibility rules the newest proposal breaks; empty where they were not asked",
        lambda r: "" if r.n_flags is None else "✓" if r.n_flags == 0 else f"⚑ {r.n_flags}",
        lambda r: r.n_flags,
    ),
    (
        "Conf.",
        "Mean confidence of the labels on show; empty where a person painted them",
        lambda r: _percent(r.mean_confidence),
        lambda r: r.mean_confidence,
    ),
    ("EF", "LV ejection fraction of the labels on show", lambda r: _whole(r.lv_ef), lambda r: r.lv_ef),
    ("Change", "1 − Dice to the proposal before", lambda r: _percent(r.disagreement), lambda r: r.disagreement),
    (
        "Round",
        "Training round of the proposing model",
        lambda r: "" if r.round is None else str(r.round),
        lambda r: r.round,
    ),
    ("Reader", "Who made the newest decision", lambda r: r.reader_of_decision or "", lambda r: r.reader_of_decision),
    ("Split", "Fixed at import, by subject", lambda r: r.split.value, lambda r: r.split.value),
)
"""Heading, explanation, text and sort value."""


class QueueModel(QAbstractTableModel):
    """Visible rows are kept as a list: 10,000 cases are filtered and ordered in some 20 ms."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._all: list[QueueRow] = []
        self.rows: list[QueueRow] = []
        self._index: dict[str, int] = {}
        self._by_id: dict[str, QueueRow] = {}
        self._icons: dict[ReviewState, QIcon] = {}
        self._texts: dict[str, str] = {}
        self._ordered: dict[Any, list[QueueRow]] = {}
        self.text = ""
        self.problem = ""
        self.states: tuple[ReviewState, ...] | None = None
        self.split: str | None = None
        self.order = "worst-confidence-first"
        self.audit = False
        self.sorted_column: tuple[int, Qt.SortOrder] | None = None
        self.current_id: str | None = None
        self._last_row = 0
        self._follower: str | None = None  # where the review goes on though the case on screen changed its place
        self._muted, self._warning = STATE_COLOURS[ReviewState.UNREVIEWED], STATE_COLOURS[ReviewState.SUPERSEDED]

    def recolour(self, colours: Colours) -> None:
        """Write in colours that are read on the theme's background."""
        if (self._muted, self._warning) != (colours.muted, colours.warning):
            self._muted, self._warning = colours.muted, colours.warning
            if self.rows:
                last = self.index(len(self.rows) - 1, len(COLUMNS) - 1)
                self.dataChanged.emit(self.index(0, 0), last, [Qt.ItemDataRole.ForegroundRole])

    @property
    def all_rows(self) -> list[QueueRow]:
        """All rows of the study, whatever the filter."""
        return self._all

    def set_rows(self, rows: Sequence[QueueRow]) -> None:
        """Replace all rows."""
        self._all = list(rows)
        self._by_id = {r.case_id: r for r in self._all}
        self._texts, self._ordered = {}, {}
        at = self._index.get(self._follower, self._index.get(self.current_id, len(self.rows)) + 1)
        followers = [r.case_id for r in self.rows[at:]]
        self.arrange()
        self._follower = next((case_id for case_id in followers if case_id in self._index), None)

    def arrange(self) -> None:
        """Apply filter and order."""
        rows = self._in_order()
        if self.split is not None:
            rows = [r for r in rows if r.split == self.split]
        self.problem = ""
        try:
            rows = filter_rows(rows, self.text, self.states, text_of=self._text_of)
        except CatalogueError as error:  # the list stays; the reader is still typing
            self.problem = str(error)
            rows = filter_rows(rows, "", self.states)
        if self.audit and self.sorted_column is None:
            rows = with_audit(rows, AUDIT_SEED)
        self.beginResetModel()
        self.rows = rows
        self._follower = None
        self._index = {r.case_id: i for i, r in enumerate(rows)}
        self.endResetModel()

    def _in_order(self) -> list[QueueRow]:
        """All rows in the order on show; kept, since every filter leaves it as it is."""
        key = self.sorted_column or self.order
        if key not in self._ordered:
            rows = order_rows(self._all, self.order)
            if self.sorted_column is not None:
                column, direction = self.sorted_column
                values = [COLUMNS[column][3](r) for r in rows]  # no pairs: ten thousand tuples wake the collector
                known = [i for i, value in enumerate(values) if value is not None]
                known.sort(key=values.__getitem__, reverse=direction == Qt.SortOrder.DescendingOrder)
                rows = [rows[i] for i in known] + [r for r, value in zip(rows, values, strict=True) if value is None]
            self._ordered = {**self._ordered, key: rows} if self.sorted_column is None else {key: rows}
        return self._ordered[key]

    def _text_of(self, row: QueueRow) -> str:
        text = self._texts.get(row.case_id)
        if text is None:
            text = self._texts[row.case_id] = row_text(row)
        return text

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self.sorted_column = (column, order) if 0 <= column < len(COLUMNS) else None
        self.arrange()

    def set_state(self, case_id: str, state: ReviewState) -> None:
        """Change the state of one case in place, without sorting or filtering anew."""
        self._texts.pop(case_id, None)
        self._ordered = {}
        self._all = [replace(r, state=state) if r.case_id == case_id else r for r in self._all]
        self._by_id = {r.case_id: r for r in self._all}
        at = self._index.get(case_id)
        if at is not None:
            self.rows[at] = replace(self.rows[at], state=state)
            self.dataChanged.emit(self.index(at, 0), self.index(at, len(COLUMNS) - 1))

    def row_of(self, case_id: str | None) -> int | None:
        """Return the row of a case, None when it is not in the list."""
        return None if case_id is None else self._index.get(case_id)

    def row_by_id(self, case_id: str) -> QueueRow | None:
        """Return what is known of a case, in the list or filtered out."""
        return self._by_id.get(case_id)

    def set_current(self, case_id: str | None) -> None:
        """Remember the case on screen, from which next and previous count."""
        self.current_id, self._follower = case_id, None
        self._last_row = self._index.get(case_id, self._last_row) if case_id else 0

    def neighbour(self, step: int, *, to_do_only: bool = False) -> str | None:
        """Return the next (1) or previous (−1) case of the list, or None at its end.

        With `to_do_only` cases that are decided or have no labels are passed over, and the search goes on from the
        other end of the list.
        """
        if not self.rows:
            return None
        here = self._index.get(self.current_id) if self.current_id else None
        start = here if here is not None else self._last_row - (1 if step > 0 else 0)
        on = self._index.get(self._follower) if self._follower else None
        if on is not None and on - 1 != here:  # what was saved has other figures and stands elsewhere now
            start = on - 1 if step > 0 else on
        if not to_do_only:
            at = start + step
            return self.rows[at].case_id if 0 <= at < len(self.rows) else None
        for k in range(1, len(self.rows) + 1):
            row = self.rows[(start + step * k) % len(self.rows)]
            if row.case_id != self.current_id and row.state in TO_DO and row.proposal_id is not None:
                return row.case_id
        return None

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            text = COLUMNS[index.column()][2](row)
            return f"{_AUDIT_MARK} {text}" if index.column() == 0 and self.is_audit(row) else text
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 1:
            if row.state not in self._icons:
                filled = row.state is not ReviewState.UNREVIEWED
                self._icons[row.state] = state_icon(STATE_COLOURS[row.state], filled=filled)
            return self._icons[row.state]
        if role == Qt.ItemDataRole.TextAlignmentRole and 2 <= index.column() <= 7:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == 0 and row.proposal_id is None:
            return QColor(self._muted)
        if role == Qt.ItemDataRole.ForegroundRole and _is_marked(row, index.column()):
            return QColor(self._warning)
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tip(row) + (f" · {_AUDIT_MARK} drawn for the audit" if self.is_audit(row) else "")
        return None

    def is_audit(self, row: QueueRow) -> bool:
        """Whether a row is marked as one of the audit stream."""
        return self.audit and in_audit(row.case_id)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and 0 <= section < len(COLUMNS):
            if role == Qt.ItemDataRole.DisplayRole:
                return COLUMNS[section][0]
            if role == Qt.ItemDataRole.ToolTipRole:
                return COLUMNS[section][1]
        return None


def _is_marked(row: QueueRow, column: int) -> bool:
    """Whether a cell holds a flag."""
    heading = COLUMNS[column][0]
    return bool(row.is_flagged) if heading == "P(good)" else bool(row.n_flags) if heading == "Rules" else False


def _tip(row: QueueRow) -> str:
    parts = [row.case_id, f"subject {row.subject_id}", f"split {row.split.value}"]
    if row.group:
        parts.append(row.group)
    parts.append(f"labels by {row.model_id}" if row.model_id else "no proposal yet")
    if row.probability_good is not None:
        flagged = ", flagged" if row.is_flagged else ""
        parts.append(f"QC: P(good) {row.probability_good:.2f}{flagged}")
    if row.predicted_dice is not None:
        parts.append(f"Dice {row.predicted_dice:.2f} predicted from a second model")
    if row.n_flags:
        parts.append(f"{row.n_flags} findings of the rules")
    if row.is_disputed:
        parts.append("readers differ")
    if row.has_reference:
        parts.append("has expert labels")
    return " · ".join(parts)
