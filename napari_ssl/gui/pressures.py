"""Blood pressures of a case, which turn the change of the aortic area into distensibility."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QSpinBox, QVBoxLayout, QWidget

from napari_ssl.core.case import Case
from napari_ssl.core.curve import VolumeCurve
from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.gui.theme import muted_label, wrapped_label
from napari_ssl.measures.aorta import AreaCurve, aortic_indices

__all__ = ["PressureDialog", "aortic_rows", "has_aortic_area"]


def has_aortic_area(scheme: LabelScheme, case: Case) -> bool:
    """Whether a case shows the area of the aorta: a single slice, and an aorta in the scheme."""
    return case.n_slices == 1 and scheme.by_role(StructureRole.AORTA) is not None


def aortic_rows(
    curves: Mapping[str, VolumeCurve], scheme: LabelScheme, case: Case, pressures: tuple[float, float] | None
) -> list[tuple[str, str, str]]:
    """Return rows (title, value, tooltip) of what is read off the area curve."""
    curve = curves[scheme.by_role(StructureRole.AORTA).name]
    area = AreaCurve(
        case_id=case.id, structure=curve.structure, area_mm2=1000.0 * curve.volume_ml / case.spacing_zyx_mm[0]
    )
    found = aortic_indices(area, pressures)
    strain = f"{found.strain_percent:.0f} %" if math.isfinite(found.strain_percent) else "–"
    value = 1000.0 * found.distensibility_per_mmhg
    stretch = f"{value:.1f}·10⁻³/mmHg" if math.isfinite(value) else "–"
    known = "needs blood pressures" if pressures is None else "at {:g}/{:g} mmHg".format(*pressures)
    return [
        ("Strain", strain, "(largest − smallest) / smallest area"),
        ("Distens.", stretch, f"Distensibility: strain / pulse pressure; {known}"),
    ]


class PressureDialog(QDialog):
    """Asks for systolic and diastolic pressure; `pressures` is None after "Forget"."""

    def __init__(self, case_id: str, pressures: tuple[float, float] | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Blood pressures of {case_id}")
        self._forget = False
        self.systolic, self.diastolic = QSpinBox(), QSpinBox()
        self.problem = wrapped_label()
        form = QFormLayout()
        for title, box, value in zip(
            ("Systolic", "Diastolic"), (self.systolic, self.diastolic), pressures or (120, 80), strict=True
        ):
            box.setRange(20, 300)
            box.setSuffix(" mmHg")
            box.setValue(round(value))
            box.valueChanged.connect(self._check)
            form.addRow(title, box)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.forget_button = self.buttons.addButton("Forget", QDialogButtonBox.ButtonRole.DestructiveRole)
        self.forget_button.setEnabled(pressures is not None)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.forget_button.clicked.connect(self._forget_them)
        column = QVBoxLayout(self)
        column.addWidget(muted_label("Measured at the scan; central pressures where they are known."))
        column.addLayout(form)
        column.addWidget(self.problem)
        column.addWidget(self.buttons)

    @property
    def pressures(self) -> tuple[float, float] | None:
        """Systolic and diastolic pressure in mmHg."""
        return None if self._forget else (float(self.systolic.value()), float(self.diastolic.value()))

    def _check(self) -> None:
        good = self.diastolic.value() < self.systolic.value()
        self.problem.setText("" if good else "The diastolic pressure must be below the systolic one.")
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(good)

    def _forget_them(self) -> None:
        self._forget = True
        self.accept()
