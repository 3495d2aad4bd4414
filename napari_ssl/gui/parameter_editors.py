"""Widgets that each edit one value: ``value``, ``set_value`` and the signal ``value_changed``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLineEdit, QSpinBox, QWidget

from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import ParameterInfo
from napari_ssl.errors import CatalogueError

__all__ = ["LengthEditor", "editor_for"]

_LARGEST_INT = 2**31 - 1


class NumberEditor(QLineEdit):
    """A float as people write it, 0.001 or 1e-3; a text that is no number is handed on as text and refused there."""

    value_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._given: float | None = None
        self._shown = ""
        self.textEdited.connect(lambda _: self.value_changed.emit())

    def value(self) -> Any:
        if self._given is not None and self.text() == self._shown:
            return self._given  # 2/3 is shown with six digits and stays 2/3
        try:
            return float(self.text().strip().replace(",", "."))
        except ValueError:
            return self.text()

    def set_value(self, value: float) -> None:
        self._given, self._shown = value, f"{value:g}"
        self.setText(self._shown)


class WholeEditor(QSpinBox):
    """An integer within its limits."""

    value_changed = Signal()

    def __init__(self, info: ParameterInfo) -> None:
        super().__init__()
        low = -_LARGEST_INT if info.low is None else max(-_LARGEST_INT, int(info.low))
        high = _LARGEST_INT if info.high is None else min(_LARGEST_INT, int(info.high))
        self.setRange(low, high)
        self.valueChanged.connect(lambda _: self.value_changed.emit())

    def set_value(self, value: int) -> None:
        self.setValue(value)


class ChoiceEditor(QComboBox):
    """One of several words."""

    value_changed = Signal()

    def __init__(self, info: ParameterInfo) -> None:
        super().__init__()
        self.addItems(info.choices)
        self.currentIndexChanged.connect(lambda _: self.value_changed.emit())

    def value(self) -> str:
        return self.currentText()

    def set_value(self, value: str) -> None:
        self.setCurrentText(value)


class SwitchEditor(QCheckBox):
    """Yes or no."""

    value_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.toggled.connect(lambda _: self.value_changed.emit())

    def value(self) -> bool:
        return self.isChecked()

    def set_value(self, value: bool) -> None:
        self.setChecked(value)


class LengthEditor(QWidget):
    """A duration: a number and "epochs" or "iterations"."""

    value_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.amount = QLineEdit()
        self.unit = QComboBox()
        self.unit.addItems(["iterations", "epochs"])
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        self.amount.setFixedWidth(52)
        row.addWidget(self.amount)
        row.addWidget(self.unit, 1)
        self.amount.textEdited.connect(lambda _: self.value_changed.emit())
        self.unit.currentIndexChanged.connect(lambda _: self.value_changed.emit())

    def value(self) -> str:
        return f"{self.amount.text().strip()} {self.unit.currentText()}"

    def set_value(self, value: str) -> None:
        duration = Duration.parse(value)
        self.amount.setText(str(duration.amount))
        self.unit.setCurrentText(duration.unit)


class TextEditor(QLineEdit):
    """Free text."""

    value_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.textEdited.connect(lambda _: self.value_changed.emit())

    def value(self) -> str:
        return self.text()

    def set_value(self, value: str) -> None:
        self.setText(value)


def _is_duration(info: ParameterInfo) -> bool:
    try:
        Duration.parse(info.default)
    except (CatalogueError, TypeError):
        return False
    return True


def editor_for(info: ParameterInfo) -> Any:
    """Return the widget that suits a parameter: choices, yes or no, numbers, durations, text."""
    if info.choices:
        return ChoiceEditor(info)
    makers: dict[type, Callable[[], QWidget]] = {
        bool: SwitchEditor,
        int: lambda: WholeEditor(info),
        float: NumberEditor,
    }
    if info.type in makers:
        return makers[info.type]()
    return LengthEditor() if _is_duration(info) else TextEditor()
