"""Every key of the workspace does its one thing, whatever layer of napari is active and in whatever mode."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Points, Shapes
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest

from napari_ssl.gui.keys import ACTIONS

_LABELS = ("pan_zoom", "transform", "pick", "paint", "fill", "erase", "polygon")
_POINTS = ("pan_zoom", "transform", "add", "select")
_SHAPES = ("pan_zoom", "select", "direct", "add_rectangle", "add_polygon", "add_path", "vertex_insert", "vertex_remove")
_PLACE_VERDICTS = ("wrong_slice", "wrong_frame", "good_slice", "good_frame", "flag")


def _strokes() -> list[tuple[str, Qt.Key, Qt.KeyboardModifier]]:
    """Each key of each action as it is pressed."""
    found = []
    for action in ACTIONS:
        for text in action.keys:
            pressed = QKeySequence(text)[0]
            found.append((action.id, pressed.key(), pressed.keyboardModifiers()))
    return found


def _claimed_by_napari() -> set[str]:
    """The keys that napari's settings give to its viewer and its layers, in Qt's spelling."""
    texts = {str(key) for keys in get_settings().shortcuts.shortcuts.values() for key in keys}
    return {QKeySequence(text.replace("Escape", "Esc")).toString() for text in texts}


def test_many_keys_of_the_workspace_are_naparis_too_the_place_verdicts_among_them():
    """Otherwise the test below would show nothing."""
    ours = {a.id: {QKeySequence(k).toString() for k in a.keys} for a in ACTIONS}
    shared = {name for name, keys in ours.items() if keys & _claimed_by_napari()}
    assert len(shared) > 20 and shared >= {"accept", "reject", "wrong_slice"}


def test_place_verdicts_have_keys_of_their_own():
    keys = [k for a in ACTIONS if a.id in _PLACE_VERDICTS for k in a.keys]
    others = [k for a in ACTIONS if a.id not in _PLACE_VERDICTS for k in a.keys]
    assert len(keys) == len(set(keys)) == 5 and not set(keys) & set(others)


@pytest.fixture
def recorded(window, monkeypatch):
    """The window with actions that are noted instead of done, and what reached napari's own keys.

    A key that a menu takes reaches neither.
    """
    ours, naparis = [], []
    key_filter = window.widget._key_filter
    monkeypatch.setattr(key_filter, "_run", {a.id: lambda name=a.id: ours.append(name) for a in ACTIONS})
    handler = window.viewer.window._qt_viewer._key_map_handler
    modifiers = {"Ctrl", "Shift", "Alt", "Meta"}  # alone they do nothing
    note = lambda pressed: naparis.append(str(pressed)) if not set(str(pressed).split("+")) <= modifiers else None  # noqa: E731
    monkeypatch.setattr(handler, "press_key", note)
    return window, ours, naparis


def _press_all(window, ours, naparis, where: str) -> None:
    for name, key, modifiers in _strokes():
        ours.clear()
        naparis.clear()
        QTest.keyClick(window.canvas, key, modifiers)
        assert ours == [name], f"{where}: {modifiers} {key} should be {name}, was {ours}"
        assert naparis == [], f"{where}: {name} also reached napari: {naparis}"


@pytest.mark.parametrize("mode", _LABELS)
def test_while_labels_are_active(recorded, mode):
    window, ours, naparis = recorded
    layer = window.widget.reviewer.canvas.labels
    window.viewer.layers.selection.active = layer
    try:
        layer.mode = mode
        _press_all(window, ours, naparis, f"labels, {mode}")
    finally:
        layer.mode = "pan_zoom"


def test_while_the_image_is_active(recorded):
    window, ours, naparis = recorded
    canvas = window.widget.reviewer.canvas
    window.viewer.layers.selection.active = canvas.image
    _press_all(window, ours, naparis, "image")
    window.viewer.layers.selection.active = canvas.labels


@pytest.mark.parametrize("kind", ["points", "shapes"])
def test_while_a_layer_of_the_reader_is_active(recorded, kind):
    window, ours, naparis = recorded
    made = Points(np.zeros((1, 4))) if kind == "points" else Shapes(ndim=4)
    layer = window.viewer.add_layer(made)
    try:
        window.viewer.layers.selection.active = layer
        for mode in _POINTS if kind == "points" else _SHAPES:
            layer.mode = mode
            _press_all(window, ours, naparis, f"{kind}, {mode}")
    finally:
        layer.mode = "pan_zoom"
        window.viewer.layers.remove(layer)
        window.viewer.layers.selection.active = window.widget.reviewer.canvas.labels
