"""What is shown beside the labels: kind of confidence, comparison, window and level, legend, other views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QWidget

from napari_ssl.gui.level_presets import LevelPreset

__all__ = ["KINDS", "ViewOptions"]

KINDS = {
    "probability": "Largest probability",
    "entropy": "Entropy",
    "network": "Confidence network",
    "variance": "Ensemble variance",
}
"""What the kinds of confidence are called."""

_OFF = "Off"
_OWN = "Own"


class ViewOptions(QWidget):
    """Shows what it is given and emits what the reader chooses; indices of texts, −1 for none."""

    kind_chosen = Signal(str)
    target_chosen = Signal(str)
    level_chosen = Signal(int)
    legend_toggled = Signal(bool)
    side_views_toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = self._combo("Kind of confidence")
        self.target = self._combo("Difference to")
        self.level = self._combo("Window and level")
        self.legend = QCheckBox("Legend")
        self.side_views = QCheckBox("Views beside")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for row, (text, combo) in enumerate(
            (("Uncertainty", self.kind), ("Difference", self.target), ("Window", self.level))
        ):
            label = QLabel(text)
            label.setBuddy(combo)
            grid.addWidget(label, row, 0)
            grid.addWidget(combo, row, 1)
        grid.addWidget(self.legend, 3, 0)
        grid.addWidget(self.side_views, 3, 1)
        grid.setColumnStretch(1, 1)
        self.legend.clicked.connect(self.legend_toggled)
        self.side_views.clicked.connect(self.side_views_toggled)
        self.kind.activated.connect(lambda _index: self.kind_chosen.emit(self.kind.currentData()))
        self.target.activated.connect(lambda _index: self.target_chosen.emit(self.target.currentData()))
        self.level.activated.connect(self._level_activated)

    @staticmethod
    def _combo(name: str) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(name)
        combo.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(8)
        combo.setEnabled(False)
        return combo

    def _level_activated(self, index: int) -> None:
        if self.level.itemText(index) != _OWN:
            self.level_chosen.emit(index)

    def show_kinds(self, kinds: Sequence[str], chosen: str | None) -> None:
        """Offer the kinds of confidence that a proposal has."""
        self.kind.clear()
        for kind in kinds:
            self.kind.addItem(KINDS.get(kind, kind), kind)
        if not kinds:
            self.kind.addItem("none stored", "")
        self.kind.setEnabled(bool(kinds))
        self.kind.setCurrentIndex(max(0, self.kind.findData(chosen)))

    def show_targets(self, names: Sequence[str], chosen: str) -> None:
        """Offer the label maps that the labels can be compared with."""
        self.target.clear()
        self.target.addItem(_OFF if names else "nothing to compare with", "")
        for name in names:
            self.target.addItem(f"to {name[:1].lower()}{name[1:]}", name)
        self.target.setEnabled(bool(names))
        self.target.setCurrentIndex(max(0, self.target.findData(chosen)))

    def show_levels(self, presets: Sequence[LevelPreset], limits: tuple[float, float]) -> None:
        """Offer window presets and mark the one in use; limits that the reader dragged are their own."""
        names = [f"{p.name}  ({p.low:.4g} to {p.high:.4g})" for p in presets]
        if [self.level.itemText(i) for i in range(self.level.count()) if self.level.itemText(i) != _OWN] != names:
            self.level.clear()
            self.level.addItems(names)
        index = matching(presets, limits)
        own = self.level.findText(_OWN)
        if index is None and own < 0:
            self.level.addItem(_OWN)
        elif index is not None and own >= 0:
            self.level.removeItem(own)
        self.level.setEnabled(bool(presets))
        self.level.setCurrentIndex(self.level.findText(_OWN) if index is None else index)

    def set_hints(self, keys: Mapping[str, str]) -> None:
        """Show the keys in the explanations: ``kind``, ``difference``, ``level``, ``side_views``."""
        tips = {
            self.kind: ("What the uncertainty overlay shows; the proposal has these", "kind"),
            self.target: ("Where the labels differ from others", "difference"),
            self.level: ("Grey values from black to white", "level"),
            self.side_views: ("ED and ES of a cine, the other planes of a volume, beside the canvas", "side_views"),
            self.legend: ("Names and colours over the canvas", ""),
        }
        for widget, (text, name) in tips.items():
            key = keys.get(name, "")
            widget.setToolTip(f"{text}  [{key}]" if key else text)


def matching(presets: Sequence[LevelPreset], limits: tuple[float, float]) -> int | None:
    """Return the index of the preset with these limits, None when they are the reader's own."""
    for index, preset in enumerate(presets):
        near = 1e-3 * (preset.high - preset.low)
        if abs(preset.low - limits[0]) <= near and abs(preset.high - limits[1]) <= near:
            return index
    return None
