"""The form that gives readers cases to read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_ssl.core.reading import ReadingKind, ReadingTask
from napari_ssl.gui.theme import wrapped_label
from napari_ssl.review.planning import plan_adjudications, plan_gold, plan_repeats, plan_second_reads
from napari_ssl.study.study import Study

__all__ = ["KIND_TEXTS", "PlanForm"]

KIND_TEXTS = {
    ReadingKind.SECOND_READ: "Second reads, blind",
    ReadingKind.REPEAT: "Hidden repeats",
    ReadingKind.GOLD: "Gold cases",
    ReadingKind.ADJUDICATION: "Cases on which readers differ",
}
_HELP = {
    ReadingKind.SECOND_READ: "A share of what others have decided, without their verdicts and labels.",
    ReadingKind.REPEAT: "A share of the reader's own decisions comes again, unmarked. Measures the reader alone.",
    ReadingKind.GOLD: "Proposals whose quality an expert's labels tell, unmarked: half good, half wrong.",
    ReadingKind.ADJUDICATION: "The reader sees what others said; the verdict settles the case.",
}


class PlanForm(QWidget):
    """Asks what is to be read again by whom; `planned` is emitted with the work, to be done in a thread."""

    planned = Signal(object)
    withdrawn = Signal(str)

    def __init__(self, by: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._by = by
        self.kind = QComboBox()
        for kind, text in KIND_TEXTS.items():
            self.kind.addItem(text, kind.value)
        self.reader = QComboBox()
        self.reader.setEditable(True)
        self.reader.lineEdit().setPlaceholderText("Name as in that reader's settings")
        self.share = QSpinBox()
        self.share.setRange(1, 100)
        self.share.setValue(20)
        self.share.setSuffix(" %")
        self.count = QSpinBox()
        self.count.setRange(1, 1000)
        self.count.setValue(10)
        self.days = QDoubleSpinBox()
        self.days.setDecimals(1)
        self.days.setRange(0, 365)
        self.days.setValue(7)
        self.days.setSuffix(" days")
        self.help = wrapped_label()
        self.form = QFormLayout(self)
        for title, field in (
            ("&What", self.kind),
            ("Who &reads", self.reader),
            ("&Share of cases", self.share),
            ("&Number", self.count),
            ("Decided at &least", self.days),
        ):
            self.form.addRow(title, field)
            field.setAccessibleName(title.replace("&", ""))
        self.form.addRow(self.help)
        self.plan_button = QPushButton("&Plan")
        self.withdraw_button = QPushButton("With&draw what nobody has begun")
        self.withdraw_button.setToolTip("Forgets planned reads of this kind for this reader that are not done")
        buttons = QHBoxLayout()
        buttons.addWidget(self.plan_button)
        buttons.addWidget(self.withdraw_button)
        buttons.addStretch(1)
        self.form.addRow(buttons)
        self.kind.currentIndexChanged.connect(self._show_fields)
        self.reader.currentTextChanged.connect(self._show_fields)
        self.plan_button.clicked.connect(lambda: self.planned.emit(self.work()))
        self.withdraw_button.clicked.connect(lambda: self.withdrawn.emit(self.chosen_kind.value))
        self._show_fields()

    @property
    def chosen_kind(self) -> ReadingKind:
        """What is to be planned."""
        return ReadingKind(self.kind.currentData())

    @property
    def name(self) -> str:
        """The reader who is to read."""
        return self.reader.currentText().strip()

    def set_readers(self, names: Sequence[str]) -> None:
        """Offer names; what was typed stays."""
        typed = self.reader.currentText()
        self.reader.clear()
        self.reader.addItems(list(names))
        self.reader.setEditText(typed)

    def work(self) -> Callable[[Study], list[ReadingTask]]:
        """Return what plans the reads, with the values as they are now."""
        kind, reader, by = self.chosen_kind, self.name, self._by
        share, count, days = self.share.value() / 100, self.count.value(), self.days.value()
        if kind is ReadingKind.SECOND_READ:
            return lambda study: plan_second_reads(study, reader, share=share, by=by)
        if kind is ReadingKind.REPEAT:
            return lambda study: plan_repeats(study, reader, share=share, by=by, after_days=days)
        if kind is ReadingKind.GOLD:
            return lambda study: plan_gold(study, reader, n=count, by=by)
        return lambda study: plan_adjudications(study, reader, by=by)

    def _show_fields(self) -> None:
        kind = self.chosen_kind
        self.form.setRowVisible(self.share, kind in (ReadingKind.SECOND_READ, ReadingKind.REPEAT))
        self.form.setRowVisible(self.count, kind is ReadingKind.GOLD)
        self.form.setRowVisible(self.days, kind is ReadingKind.REPEAT)
        self.help.setText(_HELP[kind])
        for button in (self.plan_button, self.withdraw_button):
            button.setEnabled(bool(self.name))
