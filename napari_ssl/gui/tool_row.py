"""Correction tools in compact rows: mode, structure and its lock, brush size, commands, and what they are doing."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.gui.edit_status import EditStatus, lock_icon
from napari_ssl.gui.theme import colours_of, is_theme_change, state_icon

__all__ = ["COMMANDS", "TOOLS", "ToolRow"]

_SHEET = """
QToolButton {{ background: {fill}; color: {text}; border: 1px solid {fill}; border-radius: 3px; padding: 3px 2px; }}
QToolButton:hover {{ background: {hover}; }}
QToolButton:checked {{ background: #5E69D1; color: #FFFFFF; border-color: {edge}; }}
QToolButton::menu-button {{ width: 13px; border: 0px; }}
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


COMMANDS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "Smooth": (
        "smooth",
        (("smooth", "Smooth the chosen structure in this frame; every structure keeps its topology"),),
    ),
    "Islands": (
        "islands",
        (
            ("islands", "Keep the largest part of each structure in this frame"),
            ("islands_everywhere", "Keep the largest part of each structure in all frames"),
        ),
    ),
    "Between": (
        "fill_between",
        (
            ("fill_between", "Fill slices that are left out between labelled ones (shape-based interpolation)"),
            ("interpolate_slice", "Replace this slice by what lies between its labelled neighbours"),
        ),
    ),
    "Copy": (
        "copy_next",
        (
            ("copy_next", "Copy this slice's labels to the next frame"),
            ("copy_previous", "Copy this slice's labels to the previous frame"),
            ("copy_up", "Copy this slice's labels to the slice above"),
            ("copy_down", "Copy this slice's labels to the slice below"),
        ),
    ),
    "Propagate": (
        "propagate_next",
        (
            ("propagate_next", "Carry this frame's labels to the next frame by registration"),
            ("propagate_cycle", "Carry this frame's labels to all other frames by registration"),
            ("propagate_phases", "Carry the labels of ED and ES to the frames between them by registration"),
        ),
    ),
    "CRF": ("region", (("region", "Draw a region: inside it outlines move to the edges of the image (CRF)"),)),
}
"""Caption: what a click does, and all actions with their explanations, as in `keys.ACTIONS`."""


_COLUMNS = 3  # six in a row are wider than the panel on a small screen


class ToolRow(QWidget):
    """Emits what was chosen; `show_*` follow what napari does by its own keys, without emitting."""

    tool_chosen = Signal(str)
    command_chosen = Signal(str)
    lock_toggled = Signal(int, bool)
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
        self.size.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._size_text = QLabel("6 px")
        self._size_text.setMinimumWidth(38)
        self.size.valueChanged.connect(self._resized)
        self.lock = self._button("Lock", "")
        self.lock.setSizePolicy(self.lock.sizePolicy().Policy.Fixed, self.lock.sizePolicy().Policy.Fixed)
        self.lock.clicked.connect(lambda checked: self.lock_toggled.emit(self._structure, checked))
        self._structure = 0
        self._locked: frozenset[int] = frozenset()
        self._hues: dict[int, str] = {}
        self.status = EditStatus()
        self._command_buttons: dict[str, QToolButton] = {}
        self._command_tips: dict[str, str] = {}
        sizes = QHBoxLayout()
        sizes.addWidget(QLabel("Size"))
        sizes.addWidget(self.size, 1)
        sizes.addWidget(self._size_text)
        sizes.addWidget(self.lock)
        self._structure_row = QHBoxLayout()
        self._structure_row.setSpacing(2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for row in (tools, self._structure_row, sizes, self._build_commands()):
            column.addLayout(row)
        column.addWidget(self.status)

    def _build_commands(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(2)
        for n, (caption, (first, actions)) in enumerate(COMMANDS.items()):
            button = self._button(caption, "")
            button.setCheckable(first == "region")
            button.clicked.connect(lambda _checked=False, action=first: self.command_chosen.emit(action))
            if len(actions) > 1:
                menu = QMenu(button)
                menu.setToolTipsVisible(True)
                for action, text in actions:
                    menu.addAction(text, lambda action=action: self.command_chosen.emit(action)).setData(action)
                button.setMenu(menu)
                button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
            self._command_buttons[caption] = button
            grid.addWidget(button, n // _COLUMNS, n % _COLUMNS)
        self.set_command_hints({})
        return grid

    @staticmethod
    def _button(caption: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setText(caption)
        button.setToolTip(tip)
        button.setCheckable(True)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setSizePolicy(button.sizePolicy().Policy.Expanding, button.sizePolicy().Policy.Fixed)
        return button

    def set_scheme(self, scheme: LabelScheme) -> None:
        """Offer the structures of a study."""
        for button in self._structures.buttons():
            self._structures.removeButton(button)
            self._structure_row.removeWidget(button)
            button.hide()
            button.deleteLater()
        self._hues = {s.value: QColor(s.colour).name() for s in scheme.structures}
        for structure in scheme.structures:
            button = self._button(structure.name, f"{structure.name}: label value {structure.value}")
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.clicked.connect(lambda _c=False, value=structure.value: self.structure_chosen.emit(value))
            self._structures.addButton(button, structure.value)
            self._structure_row.addWidget(button, 1)
        self.show_locks(frozenset())

    def set_hints(self, hints: dict[str, str]) -> None:
        """Show the key of each mode in its explanation."""
        for mode, key in hints.items():
            self._tool_buttons[mode].setToolTip(TOOLS[mode][1] + (f"  [{key}]" if key else ""))

    def set_command_hints(self, hints: dict[str, str]) -> None:
        """Show the keys of the commands, by action, in explanations and menus."""
        for caption, (_first, actions) in COMMANDS.items():
            lines = [text + (f"  [{hints[action]}]" if hints.get(action) else "") for action, text in actions]
            button = self._command_buttons[caption]
            button.setToolTip("\n".join(lines))
            button.setAccessibleName(actions[0][1])
            for entry, (action, text) in zip(button.menu().actions() if button.menu() else (), actions, strict=False):
                entry.setText(text + (f"\t{hints[action]}" if hints.get(action) else ""))
        key = f"  [{hints['lock']}]" if hints.get("lock") else ""
        self.lock.setToolTip(f"Lock the chosen structure: no tool changes a locked one{key}")
        self.status.set_key(hints.get("next_unverified", ""))

    def show_locks(self, locked: frozenset[int]) -> None:
        """Mark the structures that are locked."""
        self._locked = locked
        for button in self._structures.buttons():
            value = self._structures.id(button)
            hue = self._hues[value]
            button.setIcon(lock_icon(hue) if value in locked else state_icon(hue))
            button.setAccessibleName(f"{button.text()}, locked" if value in locked else button.text())
        self.lock.setChecked(self._structure in locked)

    def show_drawing(self, wanted: bool) -> None:
        """Mark that a region is to be drawn."""
        self._command_buttons["CRF"].setChecked(wanted)

    def show_tool(self, mode: str) -> None:
        """Mark the mode that is active; modes of napari that have no button mark none."""
        self._tools.setExclusive(False)
        for name, button in self._tool_buttons.items():
            button.setChecked(name == mode)
        self._tools.setExclusive(True)

    def show_structure(self, value: int) -> None:
        """Mark the structure that is painted; background marks none."""
        self._structure = value
        self.lock.setChecked(value in self._locked)
        self.lock.setEnabled(value != 0)
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
