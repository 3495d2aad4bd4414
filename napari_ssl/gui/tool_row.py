"""Correction tools in two compact rows: mode, brush size, and the structure that is painted."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QSlider, QToolButton, QVBoxLayout, QWidget

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.gui.theme import colours_of, is_theme_change, state_icon

__all__ = ["TOOLS", "ToolRow"]

_SHEET = """
QToolButton {{ background: {fill}; color: {text}; border: 1px solid {fill}; border-radius: 3px; padding: 3px 2px; }}
QToolButton:hover {{ background: {hover}; }}
QToolButton:checked {{ background: #5E69D1; color: #FFFFFF; border-color: {edge}; }}
QToolButton:disabled {{ color: {faint}; background: {dull}; border-color: {dull}; }}
"""
_DARK = {
    "fill": "#414851",
    "text": "#F0F1F2",
    "hover": "#5A626C",
    "edge": "#C5CAF5",
    "faint": "#7A8087",
    "dull": "#2F343B",
}
_LIGHT = {
    "fill": "#C3C2C1",
    "text": "#1B1B1B",
    "hover": "#B0AFAE",
    "edge": "#2F3A9E",
    "faint": "#8A8886",
    "dull": "#DAD7D5",
}

TOOLS: dict[str, tuple[str, str]] = {
    "pan_zoom": ("Move", "Move and zoom the image"),
    "paint": ("Brush", "Paint the chosen structure"),
    "erase": ("Eraser", "Erase to background"),
    "fill": ("Fill", "Fill a connected area with the chosen structure"),
    "polygon": ("Polygon", "Outline an area with clicks; a double click fills it"),
    "pick": ("Pick", "Take the structure under the pointer"),
}
"""napari's mode: caption and explanation."""


class ToolRow(QWidget):
    """Emits what was chosen; `show_*` follow what napari does by its own keys, without emitting."""

    tool_chosen = Signal(str)
    size_chosen = Signal(int)
    structure_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._dark: bool | None = None
        self._recolour()
        self._tools = QButtonGroup(self)
        self._structures = QButtonGroup(self)
        self._tool_buttons: dict[str, QToolButton] = {}
        tools = QHBoxLayout()
        tools.setSpacing(2)
        for mode, (caption, tip) in TOOLS.items():
            button = self._button(caption, tip)
            button.clicked.connect(lambda _checked=False, mode=mode: self.tool_chosen.emit(mode))
            self._tools.addButton(button)
            self._tool_buttons[mode] = button
            tools.addWidget(button, 1)
        self.size = QSlider(Qt.Orientation.Horizontal)
        self.size.setRange(1, 40)
        self.size.setValue(6)
        self.size.setAccessibleName("Brush size in pixels")
        self.size.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._size_text = QLabel("6 px")
        self._size_text.setMinimumWidth(38)
        self.size.valueChanged.connect(self._resized)
        sizes = QHBoxLayout()
        sizes.addWidget(QLabel("Size"))
        sizes.addWidget(self.size, 1)
        sizes.addWidget(self._size_text)
        self._structure_row = QHBoxLayout()
        self._structure_row.setSpacing(2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for row in (tools, self._structure_row, sizes):
            column.addLayout(row)

    @staticmethod
    def _button(caption: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setText(caption)
        button.setToolTip(tip)
        button.setCheckable(True)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.setSizePolicy(button.sizePolicy().Policy.Expanding, button.sizePolicy().Policy.Fixed)
        return button

    def set_scheme(self, scheme: LabelScheme) -> None:
        """Offer the structures of a study."""
        for button in self._structures.buttons():
            self._structures.removeButton(button)
            self._structure_row.removeWidget(button)
            button.hide()
            button.deleteLater()
        for structure in scheme.structures:
            button = self._button(structure.name, f"{structure.name}: label value {structure.value}")
            button.setIcon(state_icon(QColor(structure.colour).name()))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.clicked.connect(lambda _c=False, value=structure.value: self.structure_chosen.emit(value))
            self._structures.addButton(button, structure.value)
            self._structure_row.addWidget(button, 1)

    def set_hints(self, hints: dict[str, str]) -> None:
        """Show the key of each mode in its explanation."""
        for mode, key in hints.items():
            self._tool_buttons[mode].setToolTip(TOOLS[mode][1] + (f"  [{key}]" if key else ""))

    def show_tool(self, mode: str) -> None:
        """Mark the mode that is active; modes of napari that have no button mark none."""
        self._tools.setExclusive(False)
        for name, button in self._tool_buttons.items():
            button.setChecked(name == mode)
        self._tools.setExclusive(True)

    def show_structure(self, value: int) -> None:
        """Mark the structure that is painted; background marks none."""
        self._structures.setExclusive(False)
        for button in self._structures.buttons():
            button.setChecked(self._structures.id(button) == value)
        self._structures.setExclusive(True)

    def show_size(self, pixels: float) -> None:
        """Follow the brush size."""
        self.size.blockSignals(True)
        self.size.setValue(round(pixels))
        self.size.blockSignals(False)
        self._size_text.setText(f"{round(pixels)} px")

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event):
            self._recolour()

    def _recolour(self) -> None:
        dark = colours_of(self).dark
        if dark != self._dark:
            self._dark = dark
            self.setStyleSheet(_SHEET.format(**(_DARK if dark else _LIGHT)))

    def _resized(self, pixels: int) -> None:
        self._size_text.setText(f"{pixels} px")
        self.size_chosen.emit(pixels)
