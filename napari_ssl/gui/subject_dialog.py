"""Sex, height, weight and year of birth of a subject: what normal ranges and volumes per m² need."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.subject import Subject
from napari_ssl.gui.theme import muted_label, set_margins, wrapped_label

__all__ = ["SubjectDialog", "subject_text"]

_NOT_KNOWN = "not known"


def subject_text(subject: Subject | None) -> str:
    """Return what is known of a body in one line; empty when nothing is."""
    if subject is None:
        return ""
    parts = [{"F": "female", "M": "male"}.get(subject.sex or "", "")]
    parts += [f"{subject.height_cm:g} cm"] if subject.height_cm else []
    parts += [f"{subject.weight_kg:g} kg"] if subject.weight_kg else []
    surface = subject.body_surface_area_m2
    parts += [f"{surface:.2f} m²"] if surface else []
    parts += [f"born {subject.birth_year}"] if subject.birth_year else []
    return " · ".join(p for p in parts if p)


class SubjectDialog(QDialog):
    """Asks for what is known; `values` holds the answer. `table_wanted` follows the button for a whole table."""

    table_wanted = Signal()

    def __init__(self, subject: Subject, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Subject {subject.id}")
        self._subject = subject
        self.sex = QComboBox()
        for title, value in ((_NOT_KNOWN, None), ("female", "F"), ("male", "M")):
            self.sex.addItem(title, value)
        self.height_cm = _box(QDoubleSpinBox(), 20.0, 260.0, " cm")
        self.weight_kg = _box(QDoubleSpinBox(), 0.3, 500.0, " kg")
        self.birth_year = _box(QSpinBox(), 1850, datetime.now(UTC).year, "")
        self.surface = wrapped_label()
        self._fill()
        form = QFormLayout()
        for title, field in (
            ("&Sex", self.sex),
            ("&Height", self.height_cm),
            ("&Weight", self.weight_kg),
            ("Year of &birth", self.birth_year),
        ):
            form.addRow(title, field)
        form.addRow("Body surface", self.surface)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        table = buttons.addButton("From a table …", QDialogButtonBox.ButtonRole.ActionRole)
        table.setToolTip("A CSV file with the columns subject, sex, height_cm, weight_kg, birth_year")
        table.setAutoDefault(False)
        column = QVBoxLayout(self)
        set_margins(column, margin=12, spacing=8)
        column.addLayout(form)
        column.addWidget(
            muted_label(
                "Normal ranges are by sex; volumes are given per m² of body surface (Mosteller 1987). The year alone "
                "is kept: a date of birth identifies."
            )
        )
        column.addWidget(buttons)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        table.clicked.connect(self._want_table)
        for field in (self.height_cm, self.weight_kg):
            field.valueChanged.connect(self._show_surface)
        self._show_surface()
        self.resize(400, self.sizeHint().height())

    def _fill(self) -> None:
        self.sex.setCurrentIndex(max(0, self.sex.findData(self._subject.sex)))
        for name in ("height_cm", "weight_kg", "birth_year"):
            box, value = getattr(self, name), getattr(self._subject, name)
            box.setValue(box.minimum() if value is None else value)

    @property
    def values(self) -> dict[str, Any]:
        """What the fields say; None where nothing is known."""
        found: dict[str, Any] = {"sex": self.sex.currentData()}
        for name in ("height_cm", "weight_kg", "birth_year"):
            box = getattr(self, name)
            found[name] = None if box.value() == box.minimum() else box.value()
        return found

    def _show_surface(self) -> None:
        found = self.values
        known = found["height_cm"] and found["weight_kg"]
        surface = (found["height_cm"] * found["weight_kg"] / 3600.0) ** 0.5 if known else None
        self.surface.setText(f"{surface:.2f} m²" if surface else "needs height and weight")

    def _want_table(self) -> None:
        self.reject()
        self.table_wanted.emit()


def _box(box: Any, low: float, high: float, suffix: str) -> Any:
    """Return a number field whose lowest step says that the number is not known."""
    step = 1
    box.setRange(low - step, high)
    box.setSingleStep(step)
    box.setSuffix(suffix)
    box.setSpecialValueText(_NOT_KNOWN)
    if isinstance(box, QDoubleSpinBox):
        box.setDecimals(1)
    return box
