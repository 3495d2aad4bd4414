"""Fails when napari moves what `compat` relies on; no screen needed."""

import sys

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_ssl.gui import compat
from napari_ssl.gui.edit import EditTracker


@pytest.fixture
def layer():
    data = np.zeros((4, 3, 20, 16), np.uint8)
    layer = Labels(data)
    layer.n_edit_dimensions = 2
    return layer


def tracked(layer):
    changes, shown = [], []
    tracker = EditTracker(layer, on_change=lambda c, d: changes.append((c, d)), show=lambda t, z: shown.append((t, z)))
    return tracker, changes, shown


def stroke(layer, *points, label=2):
    with layer.block_history():
        for point in points:
            layer.paint(point, label)


def test_a_stroke_is_told_with_what_was_there_before(layer):
    layer.data[1, 2, 10, :] = 1
    layer.brush_size = 3
    _tracker, changes, _ = tracked(layer)  # napari holds it weakly
    stroke(layer, (1, 2, 10, 5), (1, 2, 10, 6), (1, 2, 10, 5))
    [(parts, direction)] = changes
    [change] = parts
    assert (change.frame, direction, change.label) == (1, 1, 2)
    z, y, _ = np.unravel_index(change.indices, (3, 20, 16))
    assert set(z) == {2}
    assert np.array_equal(change.before, np.where(y == 10, 1, 0))
    assert set(change.after) == {2}
    assert np.array_equal(layer.data[1].reshape(-1)[change.indices], change.after)


def test_undo_shows_the_frame_of_the_stroke_and_tells_the_reverse(layer):
    tracker, changes, shown = tracked(layer)
    stroke(layer, (0, 1, 8, 8))
    stroke(layer, (3, 2, 8, 8))
    tracker.undo()
    tracker.undo()
    assert shown == [(3, 2), (0, 1)]
    assert [d for _, d in changes] == [1, 1, -1, -1]
    assert not layer.data.any()
    first, last = changes[0][0][0], changes[-1][0][0]
    assert np.array_equal(first.indices, last.indices)
    assert np.array_equal(first.after, last.before)
    tracker.redo()
    assert shown[-1] == (0, 1)
    assert layer.data[0, 1].any() and not layer.data[3].any()


def test_replaying_what_was_told_gives_the_same_labels(layer):
    rng = np.random.default_rng(0)
    tracker, changes, _ = tracked(layer)
    layer.brush_size = 5
    for _ in range(30):
        if rng.random() < 0.3:
            tracker.undo()
        elif rng.random() < 0.2:
            tracker.redo()
        else:
            t, z = rng.integers(0, (4, 3))
            points = [(t, z, *rng.integers(0, (20, 16))) for _ in range(3)]
            stroke(layer, *points, label=int(rng.integers(0, 4)))
    copy = np.zeros_like(layer.data)
    for parts, _ in changes:
        for change in parts:
            copy[change.frame].reshape(-1)[change.indices] = change.after
    assert np.array_equal(copy, layer.data)


def test_fill_and_assign_are_told_too(layer):
    tracker, changes, _ = tracked(layer)
    layer.fill((1, 1, 0, 0), 3)
    tracker.assign(1, 2, layer.data[1, 1])
    assert [c[0][0].frame for c in changes] == [1, 1]
    assert len(changes[0][0][0].indices) == len(changes[1][0][0].indices) == 20 * 16
    tracker.undo()
    assert not layer.data[1, 2].any() and layer.data[1, 1].all()


def test_nothing_to_undo_tells_nothing(layer):
    tracker, changes, shown = tracked(layer)
    assert tracker.undo() == [] and tracker.redo() == []
    assert changes == [] and shown == []


def test_clear_history_forgets_both_ways(layer):
    stroke(layer, (0, 0, 5, 5))
    compat.clear_history(layer)
    assert compat.peek_undo(layer) is None and compat.peek_redo(layer) is None


def test_qt_does_not_use_up_none(qapp):
    """PySide6 6.12.0 on Python 3.11 drops a reference to None with most calls, until the process dies."""
    before = sys.getrefcount(None)
    for _ in range(1000):
        qapp.processEvents()
    assert sys.getrefcount(None) > before - 500


def test_layers_that_change_together_are_sliced_once(monkeypatch):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 3, 20, 16), np.uint8))
    hidden = viewer.add_labels(np.zeros((4, 3, 20, 16), np.uint8), visible=False)
    labels = viewer.add_labels(np.zeros((4, 3, 20, 16), np.uint8))
    drawn = []
    for layer in (image, hidden, labels):
        layer.events.set_data.connect(lambda event: drawn.append(event.source.name))
    data = np.arange(6 * 5 * 8 * 9, dtype=np.uint8).reshape(6, 5, 8, 9) % 4
    with compat.changed_at_once(viewer, (image, hidden, labels), (5, 2)):
        for layer in (image, hidden, labels):
            layer.data = data
            layer.scale = (1, 10, 2, 2)
    assert sorted(drawn) == sorted([image.name, labels.name])
    assert viewer.dims.current_step[:2] == (5, 2)
    assert viewer.dims.nsteps == (6, 5, 8, 9)
    assert np.array_equal(labels._slice.image.raw, data[5, 2])
    viewer.dims.set_current_step(0, 1)
    assert np.array_equal(image._slice.image.raw, data[1, 2])
    hidden.visible = True
    assert np.array_equal(hidden._slice.image.raw, data[1, 2])
