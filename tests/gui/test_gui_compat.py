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


def tracked(layer, **wishes):
    edits = []
    return EditTracker(layer, on_edit=edits.append, **wishes), edits


def stroke(layer, *points, label=2):
    with layer.block_history():
        for point in points:
            layer.paint(point, label)


def test_a_stroke_is_told_with_what_was_there_before(layer):
    layer.data[1, 2, 10, :] = 1
    layer.brush_size = 3
    _tracker, edits = tracked(layer)  # napari holds it weakly
    stroke(layer, (1, 2, 10, 5), (1, 2, 10, 6), (1, 2, 10, 5))
    [edit] = edits
    [told] = edit.strokes
    assert (told.frame, told.label) == (1, 2)
    z, y, _ = np.unravel_index(told.flat_indices, (3, 20, 16))
    assert set(z) == {2}
    assert np.array_equal(told.before, np.where(y == 10, 1, 0))
    assert set(told.after) == {2}
    assert np.array_equal(layer.data[1].reshape(-1)[told.flat_indices], told.after)


def test_edits_are_taken_back_and_made_again_without_napari(layer):
    tracker, edits = tracked(layer)
    stroke(layer, (0, 1, 8, 8))
    stroke(layer, (3, 2, 8, 8))
    both = layer.data.copy()
    layer.undo()  # napari's own history holds nothing
    assert np.array_equal(layer.data, both)
    tracker.apply(edits[1], backwards=True)
    assert layer.data[0, 1].any() and not layer.data[3].any()
    tracker.apply(edits[0], backwards=True)
    assert not layer.data.any()
    tracker.apply(edits[0])
    tracker.apply(edits[1])
    assert np.array_equal(layer.data, both) and len(edits) == 2


def test_replaying_what_was_told_gives_the_same_labels(layer):
    rng = np.random.default_rng(0)
    _tracker, edits = tracked(layer)
    layer.brush_size = 5
    for _ in range(30):
        t, z = rng.integers(0, (4, 3))
        points = [(t, z, *rng.integers(0, (20, 16))) for _ in range(3)]
        stroke(layer, *points, label=int(rng.integers(0, 4)))
    copy = np.zeros_like(layer.data)
    for edit in edits:
        edit.paint(copy)
    assert np.array_equal(copy, layer.data)
    for edit in reversed(edits):
        edit.paint(copy, backwards=True)
    assert not copy.any()


def test_fill_and_polygon_are_told_too(layer):
    _tracker, edits = tracked(layer)
    layer.fill((1, 1, 0, 0), 3)
    layer.paint_polygon([(2, 0, 2, 2), (2, 0, 2, 12), (2, 0, 12, 2)], 1)
    assert [e.frames for e in edits] == [(1,), (2,)]
    assert len(edits[0].strokes[0].flat_indices) == 20 * 16
    assert layer.data[2, 0, 4, 4] == 1 and not layer.data[2, 0, 14, 14]


def test_a_locked_value_is_neither_painted_over_nor_painted(layer):
    layer.data[1, 1, 5:10] = 3
    refused = []
    tracker, edits = tracked(layer, on_refused=refused.append)
    tracker.locked = frozenset({3})
    layer.brush_size = 9
    stroke(layer, (1, 1, 5, 8))
    assert (layer.data[1, 1, 5:10] == 3).all() and (layer.data[1, 1] == 2).any()
    layer.fill((1, 1, 7, 8), 1)
    stroke(layer, (1, 1, 7, 8), label=0)
    layer.paint_polygon([(1, 1, 0, 0), (1, 1, 0, 15), (1, 1, 19, 15), (1, 1, 19, 0)], 1)
    assert (layer.data[1, 1, 5:10] == 3).all() and (layer.data[1, 1] == 1).any()
    n = len(edits)
    stroke(layer, (0, 0, 5, 8), label=3)
    assert refused == [3] and len(edits) == n and not layer.data[0].any()
    tracker.locked = frozenset()
    stroke(layer, (1, 1, 7, 8))
    assert (layer.data[1, 1, 7] == 2).any()


def test_a_polygon_that_is_wanted_as_a_region_is_not_painted(layer):
    regions = []
    tracker, edits = tracked(layer, on_region=lambda corners: regions.append(corners) or True)
    corners = [(2, 0, 2, 2), (2, 0, 2, 12), (2, 0, 12, 2)]
    layer.paint_polygon(corners, 1)
    assert np.array_equal(regions[0], corners) and not edits and not layer.data.any()
    tracker.disconnect()
    layer.paint_polygon(corners, 1)
    assert layer.data.any() and not edits


def test_naparis_histories_can_be_emptied(layer):
    stroke(layer, (0, 0, 5, 5))
    before = layer.data.copy()
    compat.clear_history(layer)
    layer.undo()
    assert np.array_equal(layer.data, before)


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
