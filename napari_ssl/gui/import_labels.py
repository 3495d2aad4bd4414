"""What the values in label files mean: counted, proposed, and confirmed by the user before anything is written."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QTableWidgetItem, QVBoxLayout, QWidget

from napari_ssl.core.label_order import LabelOrder, LabelProposal
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.gui.import_finding import LabelCounts
from napari_ssl.gui.model_list import plain_table
from napari_ssl.gui.theme import muted_label, set_margins

__all__ = ["LabelOrderEditor"]

_HEADERS = ("Value in files", "Voxels", "Cases", "Documented as", "Becomes")


class LabelOrderEditor(QWidget):
    """One row a value; its structure in the study is chosen, and the whole confirmed.

    Nothing need be confirmed where the data set documents the study's own order, or documents none: the study's scheme
    was stated when the study was made.
    """

    changed = Signal()

    def __init__(self, scheme: LabelScheme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scheme = scheme
        self._proposals: list[LabelProposal] = []
        self._counts: LabelCounts | None = None
        self._targets: dict[int, QComboBox] = {}
        self._chosen: dict[int, int | None] = {}
        self.note = muted_label()
        self.table = plain_table(_HEADERS)
        self.table.setAccessibleName("What the label values mean")
        self.table.setMaximumHeight(170)
        self.confirm = QCheckBox("These meanings are right")
        self.confirm.toggled.connect(lambda _: self.changed.emit())
        column = QVBoxLayout(self)
        set_margins(column, margin=0)
        column.addWidget(self.note)
        column.addWidget(self.table)
        column.addWidget(self.confirm)
        self.hide()

    def set_files(self, proposals: Iterable[LabelProposal | None], *, labelled: bool) -> None:
        """Show what the layout proposes; hidden where no labels come along."""
        self._proposals = list(dict.fromkeys(p for p in proposals if p is not None))
        self._counts = None
        self._chosen = {}
        self.confirm.setChecked(False)
        self.setVisible(labelled)
        self._fill()

    def set_counts(self, counts: LabelCounts) -> None:
        """Show how often each value occurs."""
        self._counts = counts
        self._fill()

    @property
    def needs_confirmation(self) -> bool:
        """Whether what the data set documents is not the study's order."""
        return any(not p.agrees_with(self._scheme) for p in self._proposals)

    @property
    def is_complete(self) -> bool:
        """Whether images may be imported with these meanings."""
        if self.isHidden() or not (self.needs_confirmation or self._was_changed()):
            return True
        return self.confirm.isChecked() and None not in self._table().values()

    def order(self) -> LabelOrder | None:
        """Return what was confirmed; None where the study's own order holds without a word."""
        if self.isHidden() or not (self.needs_confirmation or self._was_changed()):
            return None
        return LabelOrder.of({v: t for v, t in self._table().items() if t is not None}, self._scheme)

    def _was_changed(self) -> bool:
        return any(target != self._suggested(value) for value, target in self._chosen.items())

    def _suggested(self, value: int) -> int | None:
        """Return what a value is thought to become: as documented, else as in the study."""
        for proposal in self._proposals:
            suggested = proposal.suggested(self._scheme)
            if value in suggested:
                return suggested[value]
        return value if value in self._scheme.values and not self.needs_confirmation else None

    def _values(self) -> list[int]:
        documented = {v for p in self._proposals for v, _ in p.meanings}
        counted = set(self._counts.voxels) if self._counts else set()
        return sorted(documented | counted | (set() if self._proposals else set(self._scheme.values)))

    def _table(self) -> dict[int, int | None]:
        return {v: self._chosen.get(v, self._suggested(v)) for v in self._values()}

    def _fill(self) -> None:
        values = self._values()
        meanings = {v: name for p in self._proposals for v, name in p.meanings}
        self._targets = {}
        self.table.setRowCount(len(values))
        for r, value in enumerate(values):
            voxels = f"{self._counts.voxels.get(value, 0):,}" if self._counts else "…"
            cases = str(self._counts.cases.get(value, 0)) if self._counts else "…"
            for c, text in enumerate((str(value), voxels, cases, meanings.get(value, "not documented"))):
                cell = QTableWidgetItem(text)
                if c < 3:
                    cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(r, c, cell)
            self.table.setCellWidget(r, 4, self._target_box(value))
        self._tell()
        self.changed.emit()

    def _target_box(self, value: int) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName("Structure of a label value")
        box.addItem("choose …", None)
        for structure in self._scheme.structures:
            box.addItem(f"{structure.name} ({structure.value})", structure.value)
        box.addItem("left out", 0)
        box.setCurrentIndex(max(0, box.findData(self._chosen.get(value, self._suggested(value)))))
        box.currentIndexChanged.connect(lambda _, v=value, b=box: self._choose(v, b.currentData()))
        self._targets[value] = box
        return box

    def _choose(self, value: int, target: int | None) -> None:
        self._chosen[value] = target
        self.confirm.setChecked(False)
        self._tell()
        self.changed.emit()

    def _tell(self) -> None:
        own = ", ".join(f"{s.value} = {s.name}" for s in self._scheme.structures)
        asks = self.needs_confirmation or self._was_changed()
        self.confirm.setVisible(asks)
        if not self._proposals:
            text = f"Labels are read as: {own} (the study's scheme; nobody documents the files')."
        elif not self.needs_confirmation:
            text = f"Labels are read as: {own} (the study's scheme, as {self._proposals[0].source} documents)."
        else:
            other = next(p for p in self._proposals if not p.agrees_with(self._scheme))
            text = f"Take care: {other.source} documents {other.text()}; the study has {own}. Say what holds."
        unreadable = len(self._counts.unreadable) if self._counts else 0
        self.note.setText(text + (f" {unreadable} label file(s) cannot be read." if unreadable else ""))
