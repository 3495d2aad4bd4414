"""A structure is chosen, and a region made another structure, by a click on it."""

from __future__ import annotations

import numpy as np
import pytest
from gui_driver import CTRL, wait
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_ssl.gui.relabel import relabel_edit


@pytest.fixture
def tools(window):
    """The window is shared: it gets its tool and structure back."""
    layer = window.widget.reviewer.canvas.labels
    before = layer.selected_label
    yield window
    window.widget._clicks._drop_menu()
    layer.selected_label = before
    window.press(Qt.Key.Key_Z)


@pytest.fixture
def labels():
    array = np.zeros((2, 2, 6, 6), np.uint8)
    array[0, 0, 1:3, 1:3] = 1
    array[0, 0, 4:, 4:] = 1
    array[0, 1, 1:3, 1:3] = 1
    array[0, 0, 1:3, 3] = 2
    return array


def test_the_connected_region_of_the_slice_becomes_another_structure_and_comes_back(labels):
    before = labels.copy()
    edit = relabel_edit(labels, (0, 0, 1, 1), 3)
    edit.paint(labels)
    assert (labels[0, 0, 1:3, 1:3] == 3).all() and (labels == 3).sum() == 4
    assert (labels[0, 0, 4:, 4:] == 1).all() and (labels[0, 1] == before[0, 1]).all()
    edit.paint(labels, backwards=True)
    assert np.array_equal(labels, before)


def test_all_of_a_structure_in_the_frame_is_erased_and_no_other_frame(labels):
    labels[1] = labels[0]
    relabel_edit(labels, (0, 0, 1, 1), 0, whole_frame=True).paint(labels)
    assert not (labels[0] == 1).any() and (labels[1] == 1).any() and (labels[0] == 2).any()


@pytest.mark.parametrize(("place", "value", "locked"), [
    ((0, 0, 0, 0), 2, ()),  # background has no region
    ((0, 0, 1, 1), 1, ()),  # it is that already
    ((0, 0, 1, 1), 2, (1,)),
    ((0, 0, 1, 1), 2, (2,)),
])  # fmt: skip
def test_nothing_changes_where_nothing_may(labels, place, value, locked):
    assert relabel_edit(labels, place, value, locked=locked) is None


def _click(canvas, at: QPointF, button, modifiers=Qt.KeyboardModifier.NoModifier, to: QPointF | None = None):
    for kind, held, where in (
        (QEvent.Type.MouseButtonPress, button, at),
        (QEvent.Type.MouseButtonRelease, Qt.MouseButton.NoButton, to or at),
    ):
        world = QPointF(canvas.mapToGlobal(where.toPoint()))
        QApplication.sendEvent(canvas, QMouseEvent(kind, where, world, button, held, modifiers))
    QApplication.processEvents()


def _entry(menu, *path):
    for text in path[:-1]:
        menu = next(a.menu() for a in menu.actions() if a.text() == text)
    return next(a for a in menu.actions() if a.text() == path[-1])


def test_clicks_on_canvas_and_legend_choose_a_structure_and_change_a_region(tools):
    window = tools
    layer, session = window.widget.reviewer.canvas.labels, window.session
    before = session.loaded.labels.copy()
    window.press(Qt.Key.Key_P)
    layer.selected_label = 1
    _click(window.canvas, window.at(24, 20), Qt.MouseButton.LeftButton, CTRL)  # the LV, in the middle
    assert layer.selected_label == 3 and str(layer.mode) == "paint"
    legend = window.widget.view.legend
    myo = QPointF(legend.x() + 20, legend.y() + 8 + 18 + 6)
    _click(window.canvas, myo, Qt.MouseButton.LeftButton)
    assert layer.selected_label == 2
    assert np.array_equal(session.loaded.labels, before)  # none of the clicks painted
    _click(window.canvas, window.at(24, 20), Qt.MouseButton.RightButton)
    menu = window.widget._clicks.menu
    assert menu.isVisible()
    assert np.array_equal(session.loaded.labels, before)  # napari's brush paints with the right button, too
    _entry(menu, "This region becomes", "RV").trigger()
    menu.close()
    frame, slice_ = window.widget.navigator.place
    changed = session.loaded.labels != before
    assert changed[frame, slice_].any() and changed.sum() == (before[frame, slice_] == 3).sum()
    assert (session.loaded.labels[changed] == 1).all()
    wait(lambda: "Unsaved strokes: 1" in window.widget.review.edited.text())
    window.press(Qt.Key.Key_Z, CTRL)
    assert np.array_equal(session.loaded.labels, before)


@pytest.mark.parametrize("key", [Qt.Key.Key_E, Qt.Key.Key_F, Qt.Key.Key_L, Qt.Key.Key_Z])
def test_a_right_click_changes_nothing_by_itself_in_any_tool(tools, key):
    window = tools
    before = window.session.loaded.labels.copy()
    window.press(key)
    _click(window.canvas, window.at(24, 20), Qt.MouseButton.RightButton)
    assert window.widget._clicks.menu.isVisible()
    assert np.array_equal(window.session.loaded.labels, before)


def test_a_right_drag_still_zooms_and_a_locked_structure_offers_to_be_unlocked(tools):
    window, clicks = tools, tools.widget._clicks
    window.press(Qt.Key.Key_Z)
    at = window.at(24, 20)
    _click(window.canvas, at, Qt.MouseButton.RightButton, to=at + QPointF(30, 30))
    assert clicks.menu is None
    window.widget.reviewer.set_locked(3, True)
    _click(window.canvas, at, Qt.MouseButton.RightButton)
    assert not _entry(clicks.menu, "This region becomes", "RV").isEnabled()
    _entry(clicks.menu, "Unlock LV").trigger()
    assert 3 not in window.widget.reviewer.locked
