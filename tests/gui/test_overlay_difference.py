import numpy as np
import pytest
from napari.components import ViewerModel

from napari_ssl.gui.overlay_difference import LabelDifference

SHAPE = (3, 2, 4, 5)


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    return rng.integers(0, 3, SHAPE, dtype=np.uint8), rng.integers(0, 3, SHAPE, dtype=np.uint8)


def expected(shown, other, frames):
    out = np.zeros(SHAPE, np.uint8)
    for place in np.ndindex(*SHAPE):
        a, b = shown[place], other[place]
        if place[0] in frames and a != b:
            out[place] = 1 if b == 0 else 2 if a == 0 else 3
    return out


@pytest.mark.parametrize("key", [1, (1, 0), (2, slice(None), 3), (slice(0, 2), 1), slice(None), (..., 2), ([0, 2], 1)])
def test_any_part_equals_that_of_the_whole(maps, key):
    difference = LabelDifference(*maps, frames=(0, 2))
    assert np.array_equal(difference[key], expected(*maps, (0, 2))[key])
    assert np.array_equal(np.asarray(difference), expected(*maps, (0, 2)))


def test_what_is_painted_shows_and_frames_without_labels_show_nothing(maps):
    shown, other = maps
    difference = LabelDifference(shown, other, frames=(1,))
    shown[1] = other[1]
    assert not np.asarray(difference).any()
    shown[1, 0, 0, 0] = 7
    other[1, 0, 0, 0] = 0
    assert difference[1, 0][0, 0] == 1
    assert not difference[0].any()


def test_napari_slices_it_without_computing_the_whole(maps, monkeypatch):
    difference = LabelDifference(*maps, frames=(0, 1, 2))
    monkeypatch.setattr(LabelDifference, "__array__", lambda *_a, **_k: pytest.fail("the whole was computed"))
    viewer = ViewerModel()
    layer = viewer.add_labels(difference)
    viewer.dims.set_current_step((0, 1), (2, 1))
    assert np.array_equal(layer._slice.image.raw, expected(*maps, (0, 1, 2))[2, 1])


def test_maps_of_other_shapes_are_refused(maps):
    with pytest.raises(ValueError, match="cannot be compared"):
        LabelDifference(maps[0], maps[1][:2], frames=())
