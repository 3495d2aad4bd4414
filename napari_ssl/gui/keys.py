"""Keys of the workspace: one table of actions, a filter that claims their keys before napari does, rebinding by file.

napari 0.9 and its layers claim many single keys, and its menus some combinations. The filter sits on the canvas, the
main window and the workspace's docks, accepts the ``ShortcutOverride`` of a claimed key (so that no menu fires) and
runs the action. Text fields keep their keys, and so do dialogs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

from napari_ssl.core.rating import SCALE
from napari_ssl.gui.settings import config_folder, read_json, write_json

__all__ = ["ACTIONS", "DIGITS", "WHILE_RATING", "Action", "KeyFilter", "KeyTable", "typing_in_text_field"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something a key does. `keys` are texts as in `QKeySequence`, e.g. ``"Ctrl+Return"``; the first is shown."""

    id: str
    text: str
    group: str
    keys: tuple[str, ...]
    repeats: bool = False


_SEE, _DECIDE, _PAINT, _GO, _RATE = "Look", "Decide", "Correct", "Go to", "Rate curves"

ACTIONS: tuple[Action, ...] = (
    Action(id="accept", text="Accept (saves edits) and next", group=_DECIDE, keys=("A",)),
    Action(id="reject", text="Reject, then a digit for the reason", group=_DECIDE, keys=("R",)),
    Action(id="save", text="Save correction", group=_DECIDE, keys=("Ctrl+Return", "Ctrl+Enter")),
    Action(id="defer", text="Defer and next", group=_DECIDE, keys=("Shift+D",)),
    Action(id="take_back", text="Take the last decision back", group=_DECIDE, keys=("Ctrl+Backspace",)),
    Action(id="flag", text="Flag frame and slice", group=_DECIDE, keys=("U",)),
    Action(id="wrong_slice", text="This slice is wrong", group=_DECIDE, keys=("O",)),
    Action(id="wrong_frame", text="This whole frame is wrong", group=_DECIDE, keys=("Shift+O",)),
    Action(id="good_slice", text="This slice is good", group=_DECIDE, keys=("Shift+Y",)),
    Action(id="good_frame", text="This whole frame is good", group=_DECIDE, keys=("Alt+Y",)),
    Action(id="history", text="History of the case", group=_DECIDE, keys=("Shift+H",)),
    Action(id="subject", text="Sex, height and weight of the subject", group=_DECIDE, keys=("Shift+B",)),
    Action(id="next_case", text="Next case", group=_GO, keys=("N",)),
    Action(id="previous_case", text="Previous case", group=_GO, keys=("Shift+N",)),
    Action(id="previous_frame", text="Previous frame", group=_GO, keys=("Left",), repeats=True),
    Action(id="next_frame", text="Next frame", group=_GO, keys=("Right",), repeats=True),
    Action(id="previous_slice", text="Previous slice", group=_GO, keys=("Up",), repeats=True),
    Action(id="next_slice", text="Next slice", group=_GO, keys=("Down",), repeats=True),
    Action(id="go_ed", text="End-diastole", group=_GO, keys=("D",)),
    Action(id="go_es", text="End-systole", group=_GO, keys=("S",)),
    Action(id="set_ed", text="This frame is end-diastole", group=_GO, keys=("Alt+D",)),
    Action(id="set_es", text="This frame is end-systole", group=_GO, keys=("Alt+S",)),
    Action(id="next_finding", text="Next finding of the rules", group=_GO, keys=("J",)),
    Action(id="previous_finding", text="Previous finding of the rules", group=_GO, keys=("Shift+J",)),
    *(
        Action(id=f"tab_{i}", text=f"Tab {name}", group=_GO, keys=(f"Alt+{i}",))
        for i, name in enumerate(("Review", "Rate", "Training", "Models", "Quality"), start=1)
    ),
    Action(id="team", text="Team: readers, agreement, second reads", group=_GO, keys=("Shift+T",)),
    Action(id="next_panel", text="Next part of the window", group=_GO, keys=("F6",)),
    Action(id="play", text="Play / stop", group=_SEE, keys=("Shift+P",)),
    Action(id="overlays", text="Hide / show all overlays", group=_SEE, keys=("H",)),
    Action(id="confidence", text="Uncertainty", group=_SEE, keys=("I",)),
    Action(id="confidence_kind", text="Next kind of uncertainty", group=_SEE, keys=("Shift+I",)),
    Action(id="difference", text="Difference to other labels", group=_SEE, keys=("X",)),
    Action(id="level", text="Next window and level", group=_SEE, keys=("W",)),
    Action(id="side_views", text="ED and ES, or the other planes, beside", group=_SEE, keys=("V",)),
    Action(id="planes_here", text="Cut the other planes at the pointer", group=_SEE, keys=("T",)),
    Action(id="contour", text="Filled / contour", group=_SEE, keys=("C",)),
    Action(id="export", text="Export from the study", group=_GO, keys=("Ctrl+Shift+E",)),
    Action(id="cheat_sheet", text="This list", group=_SEE, keys=("?",)),
    Action(id="tour", text="Tour of the window", group=_SEE, keys=("F1",)),
    Action(id="brush", text="Brush", group=_PAINT, keys=("P", "B")),
    Action(id="eraser", text="Eraser", group=_PAINT, keys=("E",)),
    Action(id="fill", text="Fill", group=_PAINT, keys=("F",)),
    Action(id="polygon", text="Polygon", group=_PAINT, keys=("G",)),
    Action(id="pick", text="Pick a structure", group=_PAINT, keys=("L",)),
    Action(id="move", text="Move and zoom", group=_PAINT, keys=("Z",)),
    Action(id="next_structure", text="Next structure", group=_PAINT, keys=("Q",)),
    Action(id="undo", text="Undo (shows where)", group=_PAINT, keys=("Ctrl+Z",), repeats=True),
    Action(id="redo", text="Redo (shows where)", group=_PAINT, keys=("Ctrl+Shift+Z", "Ctrl+Y"), repeats=True),
    Action(id="copy_up", text="Copy labels to the slice above", group=_PAINT, keys=("Ctrl+U",)),
    Action(id="copy_down", text="Copy labels to the slice below", group=_PAINT, keys=("Ctrl+D",)),
    Action(id="copy_next", text="Copy the slice to the next frame", group=_PAINT, keys=("Ctrl+Right",)),
    Action(id="copy_previous", text="Copy the slice to the previous frame", group=_PAINT, keys=("Ctrl+Left",)),
    Action(id="smooth", text="Smooth the chosen structure", group=_PAINT, keys=("M",)),
    Action(id="islands", text="Remove islands in this frame", group=_PAINT, keys=("Ctrl+I",)),
    Action(id="islands_everywhere", text="Remove islands in all frames", group=_PAINT, keys=("Ctrl+Shift+I",)),
    Action(id="fill_between", text="Fill slices left out", group=_PAINT, keys=("Ctrl+B",)),
    Action(id="interpolate_slice", text="This slice from its neighbours", group=_PAINT, keys=("Ctrl+Shift+B",)),
    Action(id="propagate_next", text="Propagate to the next frame", group=_PAINT, keys=("Ctrl+F",)),
    Action(id="propagate_cycle", text="Propagate to the whole cycle", group=_PAINT, keys=("Ctrl+Shift+F",)),
    Action(id="propagate_phases", text="Propagate between ED and ES", group=_PAINT, keys=("Ctrl+Alt+F",)),
    Action(id="region", text="Refine inside a drawn region (CRF)", group=_PAINT, keys=("Shift+G",)),
    Action(id="lock", text="Lock / unlock the chosen structure", group=_PAINT, keys=("Shift+L",)),
    Action(id="next_unverified", text="Next slice nobody has looked at", group=_GO, keys=("Y",)),
    Action(id="rate", text="Begin or leave rating", group=_RATE, keys=("K",)),
)
"""Everything that has a key that can be changed, in the order of the cheat sheet."""

DIGITS: tuple[tuple[str, str, str], ...] = (
    *((_RATE, SCALE[score], str(score)) for score in sorted(SCALE, key=lambda s: s or 9)),
    (_DECIDE, "Reason of a rejection, while it is asked for", "1 … 9"),
)
"""What the digits do, as (group, text, keys): only while a curve is rated or a reason is asked for."""

WHILE_RATING = frozenset(
    {
        *("rate", "take_back", "next_case", "next_finding", "previous_finding", "cheat_sheet", "move", "play"),
        *("tour", "next_panel", *(f"tab_{i}" for i in range(1, 6))),
        *("previous_frame", "next_frame", "previous_slice", "next_slice", "go_ed", "go_es"),
        *("overlays", "confidence", "confidence_kind", "contour", "level", "side_views", "planes_here"),
    }
)
"""Actions whose keys work while curves are rated; the others would decide about or change the labels."""

_MODIFIERS = (
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.MetaModifier,
)


def _normal(text: str) -> str:
    return QKeySequence(text).toString(QKeySequence.SequenceFormat.PortableText)


def _text_of(event: QKeyEvent) -> str:
    """Return the key and modifiers of an event as portable text; Shift is left out where it makes another sign."""
    key = event.key()
    if key in (Qt.Key.Key_Shift, Qt.Key.Key_Control, Qt.Key.Key_Alt, Qt.Key.Key_Meta, Qt.Key.Key_unknown, 0):
        return ""
    modifiers = Qt.KeyboardModifier.NoModifier
    for modifier in _MODIFIERS:
        if event.modifiers() & modifier:
            modifiers |= modifier
    sign = event.text()
    if len(sign) == 1 and sign.isprintable() and not sign.isalnum() and not sign.isspace():
        modifiers &= ~Qt.KeyboardModifier.ShiftModifier
    return QKeySequence(int(getattr(modifiers, "value", modifiers)) | int(key)).toString(
        QKeySequence.SequenceFormat.PortableText
    )


def typing_in_text_field(widget: QWidget | None) -> bool:
    """Whether keys belong to a field that a person types in."""
    if isinstance(widget, QComboBox):
        return widget.isEditable()
    return isinstance(widget, QLineEdit | QTextEdit | QPlainTextEdit | QAbstractSpinBox)


class KeyTable:
    """Which key does what. A file in the settings folder overrides defaults: ``{"accept": ["A"], …}``."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or config_folder() / "keys.json"
        self._keys: dict[str, tuple[str, ...]] = {}
        self.problems: list[str] = []
        self.load()

    def load(self) -> None:
        """Read the file; what it says wrongly is listed in `problems` and left at its default."""
        self._keys = {a.id: a.keys for a in ACTIONS}
        self.problems = []
        for name, keys in read_json(self.path).items():
            if name not in self._keys:
                self.problems.append(f"{self.path}: there is no action {name!r}")
                continue
            texts = (keys,) if isinstance(keys, str) else tuple(str(k) for k in keys)
            try:
                self.set_keys(name, texts)
            except ValueError as error:
                self.problems.append(f"{self.path}: {error}")

    def keys(self, action_id: str) -> tuple[str, ...]:
        """Return the keys of an action."""
        return self._keys[action_id]

    def shown_key(self, action_id: str) -> str:
        """Return the first key of an action as people read it, empty when it has none."""
        keys = self._keys[action_id]
        return QKeySequence(keys[0]).toString(QKeySequence.SequenceFormat.NativeText) if keys else ""

    def action_of(self, key: str) -> str | None:
        """Return the action that a key runs."""
        key = _normal(key)
        return next((a for a, keys in self._keys.items() if key in map(_normal, keys)), None)

    def set_keys(self, action_id: str, keys: tuple[str, ...]) -> None:
        """Give an action other keys; ValueError when one is unreadable or taken."""
        for key in keys:
            if not _normal(key):
                raise ValueError(f"{key!r} is not a key; write e.g. Ctrl+Return or N")
            taken = self.action_of(key)
            if taken not in (None, action_id):
                raise ValueError(f"{key} is taken by {next(a.text for a in ACTIONS if a.id == taken)!r}")
            if _normal(key).isdigit():
                raise ValueError(f"{key}: digits rate curves and choose the reason of a rejection")
        self._keys[action_id] = tuple(keys)

    def reset(self) -> None:
        """Return to the defaults."""
        self._keys = {a.id: a.keys for a in ACTIONS}

    def save(self) -> None:
        """Write what differs from the defaults; OSError when the settings folder cannot be written."""
        write_json(self.path, {a.id: list(self._keys[a.id]) for a in ACTIONS if self._keys[a.id] != a.keys})


class KeyFilter(QObject):
    """Runs actions on key presses in the widgets that it is installed on.

    Parameters
    ----------
    table : KeyTable
    run : mapping of action to callable
    digit : callable
        Called with a digit (a curve may be rated, a reason asked for). napari gets no digits: a second too late, the
        digit of a reason would choose its eraser, or its tool that moves the labels over the image.
    cancel : callable
        Called for Escape; returns whether there was something to call off.
    """

    def __init__(
        self,
        table: KeyTable,
        run: Mapping[str, Callable[[], object]],
        digit: Callable[[int], bool],
        cancel: Callable[[], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.table = table
        self._run = dict(run)
        self._digit = digit
        self._cancel = cancel
        self._watched: list[QWidget] = []
        self.active = True

    def install(self, widget: QWidget) -> None:
        """Watch a widget."""
        widget.installEventFilter(self)
        self._watched.append(widget)

    def remove(self) -> None:
        """Give all keys back."""
        self.active = False
        for widget in self._watched:
            try:
                widget.removeEventFilter(self)
            except RuntimeError:  # the widget was deleted before
                continue
        self._watched = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind not in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress) or not self.active:
            return False
        if typing_in_text_field(QApplication.focusWidget()) or QApplication.activeModalWidget() is not None:
            return False
        text = _text_of(event)
        action = self.table.action_of(text) if text else None
        digit = int(text) if action is None and text.removeprefix("Num+") in tuple("0123456789") else None
        if kind == QEvent.Type.ShortcutOverride:
            if action is not None:
                event.accept()
            return False
        if action is not None:
            if not event.isAutoRepeat() or next(a.repeats for a in ACTIONS if a.id == action):
                self._run[action]()
            event.accept()
            return True
        if digit is not None:
            if not event.isAutoRepeat():
                self._digit(digit)
            event.accept()
            return True
        return text == "Esc" and self._cancel()
