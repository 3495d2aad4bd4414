"""A form made from a parameter type: titles, units, limits and sources come from `core.parameters.describe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QSpinBox, QVBoxLayout, QWidget

from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import ParameterInfo, describe, from_mapping
from napari_ssl.errors import CatalogueError
from napari_ssl.gui.parameter_editors import LengthEditor, editor_for
from napari_ssl.gui.theme import Fold, WheelGuard, colours_of, is_theme_change, wrapped_label

__all__ = ["ParameterForm"]

_FIELD_WIDTH = 160


def _tooltip(info: ParameterInfo, preset_value: Any) -> str:
    lines = [f"<b>{info.title}</b>"]
    if info.low is not None or info.high is not None:
        low = "−∞" if info.low is None else f"{info.low:g}"
        high = "∞" if info.high is None else f"{info.high:g}"
        lines.append(f"Allowed: {low} to {high} {info.unit}".rstrip())
    lines.append(f"Preset: {preset_value}")
    if info.source:
        lines.append(f"Source: {info.source}")
    lines.append(f"<i>{info.name}</i>")
    return "<br>".join(lines)


class _Row:
    """One parameter: title, editor, and the error under it."""

    def __init__(self, info: ParameterInfo) -> None:
        self.info = info
        self.title = wrapped_label(f"{info.title} ({info.unit})" if info.unit else info.title)
        self.editor = editor_for(info)
        self.editor.setObjectName(info.name)
        for field in (self.editor, *self.editor.findChildren(QWidget)):
            field.setAccessibleName(f"{info.title} ({info.unit})" if info.unit else info.title)
        self.editor.setFixedWidth(_FIELD_WIDTH)
        self.error = wrapped_label()
        self.error.hide()
        self.preset_value = info.default

    def set_preset_value(self, value: Any) -> None:
        self.preset_value = value
        for widget in (self.title, self.editor):
            widget.setToolTip(_tooltip(self.info, value))

    def mark_changed(self) -> None:
        """A title in bold tells that the value is not the preset's."""
        font = self.title.font()
        font.setBold(self.editor.value() != self.preset_value)
        self.title.setFont(font)

    def show_error(self, text: str, colour: str) -> None:
        self.error.setText(text)
        self.error.setStyleSheet(f"QLabel {{ color: {colour}; }}")
        self.error.setVisible(bool(text))


class ParameterForm(QWidget):
    """Edits the values of one parameter type; the main parameters on top, the others collapsed.

    `changed` follows each edit by the user. Values are checked by the type itself, and what it refuses is told under
    the field.
    """

    changed = Signal()

    def __init__(self, advanced_title: str = "Advanced") -> None:
        super().__init__()
        self._type: type | None = None
        self._rows: dict[str, _Row] = {}
        self._filling = False
        self._guard = WheelGuard(self)
        self._main = QWidget()
        self._advanced_page = QWidget()
        self.advanced = Fold(advanced_title)
        self.advanced.toggled.connect(lambda expanded: self._advanced_page.setVisible(expanded))
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self._main)
        self._column.addWidget(self.advanced)

    def set_type(self, parameter_type: type, values: Mapping[str, Any], main: Sequence[str]) -> None:
        """Rebuild the form for a parameter type; `values` are the preset's, `main` names what is always on show."""
        was_open = self.advanced.isExpanded()
        self._type = parameter_type
        for page in (self._main, self._advanced_page):
            page.hide()
            page.deleteLater()
        self._column.removeWidget(self._main)
        infos = {info.name: info for info in describe(parameter_type)}
        self._rows = {name: _Row(info) for name, info in infos.items()}
        self._main = self._page([n for n in main if n in infos])
        self._advanced_page = self._page([n for n in infos if n not in main])
        self._column.insertWidget(0, self._main)
        self.advanced.setContent(self._advanced_page)
        self.advanced.setVisible(len(infos) > len(main))
        if was_open:
            self.advanced.expand(animate=False)
        else:
            self.advanced.collapse(animate=False)
        self._advanced_page.setVisible(was_open)  # collapsed fields take no keyboard focus
        self.set_values(values)

    def _page(self, names: Sequence[str]) -> QWidget:
        page = QWidget()
        grid = QGridLayout(page)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(0, 1)
        for index, name in enumerate(names):
            row = self._rows[name]
            grid.addWidget(row.title, 2 * index, 0)
            grid.addWidget(row.editor, 2 * index, 1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            grid.addWidget(row.error, 2 * index + 1, 0, 1, 2)
            row.editor.value_changed.connect(lambda name=name: self._edited(name))
            for widget in (row.editor, *row.editor.findChildren(QWidget)):
                if isinstance(widget, QComboBox | QSpinBox):
                    self._guard.protect(widget)
        return page

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Fill the form with a preset's values, which count as unchanged from now on."""
        self._filling = True
        try:
            for name, row in self._rows.items():
                value = values.get(name, row.info.default)
                row.editor.set_value(value)
                row.set_preset_value(value)
            self._check()
        finally:
            self._filling = False

    def values(self) -> dict[str, Any]:
        """Return all values as they stand, valid or not."""
        return {name: row.editor.value() for name, row in self._rows.items()}

    def overrides(self) -> dict[str, Any]:
        """Return the values that differ from the preset's."""
        return {n: row.editor.value() for n, row in self._rows.items() if row.editor.value() != row.preset_value}

    def errors(self) -> dict[str, str]:
        """Return what is wrong, by parameter name; empty when the form can be used."""
        return {name: row.error.text() for name, row in self._rows.items() if row.error.text()}

    def editor(self, name: str) -> QWidget:
        """Return the widget that edits a parameter."""
        return self._rows[name].editor

    def _edited(self, name: str) -> None:
        if not self._filling:
            self._check(name)
            self.changed.emit()

    def _check(self, edited: str = "") -> None:
        """Say under the fields what is wrong.

        Values count together, as when folds and teachers are both lowered. What is wrong is told under the field whose
        value the preset's others do not go with, else where it was told before or under the one that was edited last.
        """
        values = self.values()
        problem, blamed = self._problem(values), {}
        if problem:
            presets = {n: row.preset_value for n, row in self._rows.items()}
            changed = {n: value for n, value in values.items() if value != presets[n]}
            blamed = {n: found for n, value in changed.items() if (found := self._problem({**presets, n: value}))}
            told = [n for n, row in self._rows.items() if row.error.text()]
            blamed = blamed or dict.fromkeys(told or [edited], problem)
        for name, row in self._rows.items():
            if self._filling or row.error.text() or name in blamed:
                row.show_error(blamed.get(name, ""), colours_of(self).bad)
            row.mark_changed()

    def _problem(self, values: Mapping[str, Any]) -> str:
        """Return what is wrong with values for the whole form, in words; empty when they can be used."""
        try:
            for name, row in self._rows.items():
                if isinstance(row.editor, LengthEditor):
                    Duration.parse(values[name])
            from_mapping(self._type, values)
        except CatalogueError as error:
            problem = str(error).partition("): ")[2] or str(error)
            return problem[0].upper() + problem[1:]
        return ""

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event):
            for row in self._rows.values():
                row.show_error(row.error.text(), colours_of(self).bad)
